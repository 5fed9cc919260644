package main

// loopsWorks compare several loops with one. With two processors in all, the load has one of them:
// the second loop can gain only what the load leaves, and the processor time for each operation
// tells what it costs.
func loopsWorks() []work {
	one := testee
	one.name = "mangusta, 1 loop, 1 processor"
	beside := testee
	beside.name, beside.both = "mangusta, 1 loop, 2 processors", true
	two := beside
	two.name, two.args = "mangusta, 2 loops, 2 processors", append([]string{"-loops", "2"}, testee.args...)
	fast := peer("fasthttp, 1 processor", "fasthttp")
	both := peer("fasthttp, 2 processors", "fasthttp")
	both.both = true
	hub := peer("mangusta, 1 loop, 1 processor", "mangusta")
	hubBeside, hubTwo := hub, hub
	hubBeside.name, hubBeside.both = beside.name, true
	hubTwo.name, hubTwo.both, hubTwo.args = two.name, true, append([]string{"-loops", "2"}, hub.args...)
	return []work{
		{name: "loops-plain", title: "GET /plaintext, 64 keep-alive connections, 1 loop and 2", pick: usually, needs: []tool{wrkTool},
			servers: []server{floorServer("http"), one, beside, two, fast, both}, run: under(wrk{conns: 64, path: "/plaintext"})},
		{name: "loops-broadcast", title: "broadcast of 64 bytes to 2000 subscribers, 4 in flight, 1 loop and 2; each delivery", pick: usually,
			servers: []server{floorServer("ws"), hub, hubBeside, hubTwo}, run: under(broadcast{2000, 64, 4, false})},
	}
}
