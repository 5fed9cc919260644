package mgr_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The servers of the simulation of the HTTP client's pool. A server reads requests to the letter,
// and does with each of them what the dice say.

// poolTry is one sending of a request.
type poolTry struct {
	call    *poolCall
	method  string // of the request
	first   bool   // on a connection that has carried no other
	begun   bool   // the client has read a byte of a response
	head    string // once it is complete
	body    []byte
	chunked bool
	left    int // of a body with a length
	whole   bool
	planned bool
	ended   bool // the final response has begun
	early   bool // the response was sent before it was whole
	asks    bool // Expect: 100-continue
}

// pastEarly goes on after a request whose response was sent before all of it was read.
func (f *poolFile) pastEarly() {
	if t := f.now; t != nil && t.early {
		if f.readBody(t); t.whole {
			f.now = nil
		}
	}
}

// serve reads what has come.
func (f *poolFile) serve() {
	s := f.s
	f.pastEarly()
	t := f.now
	if t == nil || f.sick {
		return
	}
	if t.head == "" {
		head, rest, ok := bytes.Cut(f.got, []byte("\r\n\r\n"))
		if !ok {
			return
		}
		t.head, f.got = string(head), rest
		if want := fmt.Sprintf("%s /%d/%d HTTP/1.1\r\n", t.call.method, t.call.id, t.call.hop()); !strings.HasPrefix(t.head, want) {
			s.fail("%v: %q, want %q", f, t.head, want)
		}
		for line := range strings.SplitSeq(t.head, "\r\n") {
			switch name, value, _ := strings.Cut(line, ": "); name {
			case "Content-Length":
				t.left, _ = strconv.Atoi(value)
			case "Transfer-Encoding":
				t.chunked = true
			case "Expect":
				t.asks = true
			}
		}
		s.note("%v: request %d: %q", f, t.call.id, t.head)
		f.plan(t, false)
	}
	f.readBody(t)
	if t.whole && !t.planned {
		if want := t.call.body; string(t.body) != want {
			s.fail("%v: request %d has the body %q, want %q", f, t.call.id, t.body, want)
		}
		f.plan(t, true)
	}
}

func (f *poolFile) readBody(t *poolTry) {
	for !t.whole && len(f.got) > 0 || !t.chunked && t.left == 0 {
		if !t.chunked {
			n := min(t.left, len(f.got))
			t.body = append(t.body, f.got[:n]...)
			f.got = f.got[n:]
			t.left -= n
			t.whole = t.left == 0
			return
		}
		size, rest, ok := bytes.Cut(f.got, []byte("\r\n"))
		if !ok {
			return
		}
		n, err := strconv.ParseUint(string(size), 16, 31)
		if err != nil {
			f.s.fail("%v: chunk %q", f, size)
			return
		}
		if len(rest) < int(n)+2 {
			return
		}
		t.body = append(t.body, rest[:n]...)
		f.got = rest[n+2:]
		t.whole = n == 0
	}
}

// poolText is the body of the response to a request.
func poolText(id, hop int) string {
	return strings.Repeat(fmt.Sprintf("<%d.%d>", id, hop), 1+(id*7+hop)%50)
}

// plan decides what becomes of a request: when its head is there, and when all of it is.
func (f *poolFile) plan(t *poolTry, whole bool) {
	s := f.s
	if t.planned {
		return
	}
	if !whole {
		switch {
		case t.asks && s.r.IntN(3) > 0:
			f.later(50, func() {
				if !t.ended {
					f.send(t, "HTTP/1.1 100 Continue\r\n\r\n")
				}
			})
		case s.r.IntN(12) == 0 && !(t.left == 0 && !t.chunked): // before the body is there
			f.later(50, func() { f.respond(t) })
			t.planned = true
		}
		return
	}
	t.planned = true
	f.later([]int{1, 20, 200, 6000}[s.r.IntN(4)%(1+s.r.IntN(4))], func() { f.respond(t) })
}

// respond sends a response, or does what else may come of a request.
func (f *poolFile) respond(t *poolTry) {
	r := f.s.r
	t.ended = true
	id, hop := t.call.id, t.call.hop()
	text := poolText(id, hop)
	head := fmt.Sprintf("X-Id: %d.%d\r\n", id, hop)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(text))
	chunked := "Transfer-Encoding: chunked\r\n\r\n"
	for p := text; len(p) > 0; {
		n := 1 + r.IntN(len(p))
		chunked += fmt.Sprintf("%x\r\n%s\r\n", n, p[:n])
		p = p[n:]
	}
	chunked += "0\r\n\r\n"
	const ok = "HTTP/1.1 200 OK\r\n"
	if t.call.method == "HEAD" {
		f.good(t, ok+head+length+"\r\n", "")
		return
	}
	switch k := r.IntN(32); k {
	case 0, 1, 2, 3, 4, 5, 6, 7, 8:
		f.good(t, ok+head+length+"\r\n"+text, "")
	case 9, 10, 11:
		f.good(t, ok+head+chunked, "")
	case 12:
		f.good(t, "HTTP/1.1 204 No Content\r\n"+head+"\r\n", "")
	case 13:
		f.good(t, "HTTP/1.1 103 Early Hints\r\n\r\n"+ok+head+length+"\r\n"+text, "")
	case 14:
		f.good(t, ok+head+length+"Connection: close\r\n\r\n"+text, "close")
	case 15:
		f.good(t, ok+head+length+"\r\n"+text, "close") // without a word
	case 16, 30, 31:
		f.good(t, ok+head+length+"\r\n"+text, "later")
	case 17:
		f.good(t, ok+head+"\r\n"+text, "end")
	case 18:
		f.good(t, ok+head+length+"\r\n"+text, "unasked")
	case 19, 20:
		to := fmt.Sprintf("Location: http://127.0.0.1:%d/%d/%d\r\n", 1+r.IntN(poolHosts), id, hop+1)
		status := []string{"302", "307"}[r.IntN(2)]
		if t.call.method == "POST" && status == "302" { // RFC 9110 15.4.3
			t.call.method, t.call.body = "GET", ""
		}
		f.good(t, "HTTP/1.1 "+status+" Found\r\n"+head+to+"Content-Length: 3\r\n\r\nold", "")
	case 21:
		f.bad("closes without a response")
		f.end()
	case 22:
		f.bad("resets")
		f.breaks()
	case 23:
		f.bad("is silent for ever")
	case 24:
		f.bad("ends in the head")
		f.send(t, ok[:5+r.IntN(10)])
		f.later(30, f.end)
	case 25:
		f.bad("ends in the body")
		f.send(t, ok+head+length+"\r\n"+text[:r.IntN(len(text))])
		f.later(30, f.end)
	case 26:
		f.bad("stops in the body")
		f.send(t, ok+head+length+"\r\n"+text[:r.IntN(len(text))])
	case 27:
		f.bad("speaks something else")
		f.send(t, []string{"SSH-2.0-x\r\n", ok + length + length + "\r\n", ok + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
			"HTTP/1.1 101 Go\r\n\r\n"}[r.IntN(4)])
	case 28:
		f.bad("resets in the body")
		f.send(t, ok+head+chunked[:len(chunked)-3])
		f.later(30, f.breaks)
	case 29:
		f.dribble(t, ok+head+length+"\r\n"+text)
	}
}

// good sends a response that is in order.
func (f *poolFile) good(t *poolTry, text, then string) {
	if t.call.method == "HEAD" && then == "end" {
		then = "close"
	}
	f.send(t, text)
	f.answered(t, then)
}

// answered is after the last byte of a response that is in order.
func (f *poolFile) answered(t *poolTry, then string) {
	f.marks = append(f.marks, poolMark{f.sent - 1, t, true})
	f.served++
	t.early = !t.whole
	if t.whole {
		f.now = nil
	}
	f.pastEarly()
	switch then {
	case "close":
		f.sick = true
		f.end()
	case "later":
		f.later([]int{30, 300, 2000}[f.s.r.IntN(3)], func() {
			if f.now != nil {
				return
			}
			if f.sick = true; f.s.r.IntN(3) == 0 {
				f.smuggle(t)
			} else {
				f.s.note("%v: the server closes an idle connection", f)
				f.end()
			}
		})
	case "end":
		f.sick = true
		f.end()
	case "unasked":
		f.smuggle(t)
	}
}

// smuggle sends a response that nobody has asked for.
func (f *poolFile) smuggle(t *poolTry) {
	f.sick, f.unasked = true, true
	f.send(t, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled")
}

func (f *poolFile) dribble(t *poolTry, text string) {
	every := []int{1, 20, 400}[f.s.r.IntN(3)]
	var next func()
	next = func() {
		n := 1 + f.s.r.IntN(40)
		if n >= len(text) {
			f.send(t, text)
			f.answered(t, "")
			return
		}
		f.send(t, text[:n])
		text = text[n:]
		f.later(every, next)
	}
	next()
}

func (f *poolFile) send(t *poolTry, text string) {
	f.s.note("%v: the server sends %q", f, text)
	f.marks = append(f.marks, poolMark{f.sent, t, false})
	f.in = append(f.in, text...)
	f.sent += len(text)
}

func (f *poolFile) bad(what string) {
	f.s.note("%v: the server %s", f, what)
	f.sick = true
	f.now.call.faults++
}

func (f *poolFile) end() {
	f.fin, f.gone = true, true
	f.room = max(f.room, 1)
}

func (f *poolFile) breaks() {
	f.gone = true
	f.reset = unix.ECONNRESET
}
