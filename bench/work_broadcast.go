package main

import "fmt"

// broadcastWorks are all combinations; those that differ from the first one in one respect are
// measured usually.
func broadcastWorks() []work {
	var ws []work
	for _, subs := range []int{2000, 10_000} {
		for _, inFlight := range []int{4, 1} {
			for _, b := range []broadcast{
				{subs, 64, inFlight, false}, {subs, 1 << 10, inFlight, false}, {subs, 1 << 10, inFlight, true},
			} {
				ws = append(ws, broadcastWork(b, "loop"), broadcastWork(b, "goroutine"))
			}
		}
	}
	return ws
}

func broadcastWork(b broadcast, publisher string) work {
	servers := []server{floorServer("ws"), ringServer("ws")}
	for _, s := range []server{peer("mangusta", "mangusta"), peer("gws", "gws"), peer("gorilla", "gorilla"), peer("coder", "coder"),
		peer("gobwas", "gobwas"), peer("nbio", "nbio")} {
		servers = append(servers, server{name: s.name, program: s.program, args: append(s.args, "-publisher", publisher)})
	}
	w := work{name: fmt.Sprintf("broadcast-%s-%dx%d", size(b.size), b.subs, b.inFlight), servers: servers, run: under(b)}
	how, from, others := "", "its handler", 0
	if b.size != 64 {
		others++
	}
	if b.subs != 2000 {
		others++
	}
	if b.inFlight != 4 {
		others++
	}
	if b.deflated {
		w.name += "-deflated"
		w.servers = without(servers, "floor", "floor io_uring", "gobwas")
		how = ", deflated"
	}
	if publisher == "goroutine" {
		others++
		w.name += "-goroutine"
		from = "another goroutine"
	}
	w.title = fmt.Sprintf("broadcast of %d bytes%s to %d subscribers, %d in flight, published by %s; each delivery",
		b.size, how, b.subs, b.inFlight, from)
	switch others {
	case 0:
		w.pick = always
	case 1:
		w.pick = usually
	default:
		w.pick = onlyAll
	}
	return w
}
