// Command gnet is the peer for panjf2000/gnet: a canned response for each blank line, and nothing
// else, so the bare limit of that loop. It runs one event loop on the one processor that it has.
package main

import (
	"bytes"
	"log"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"

	"github.com/seed4930a636/mangusta/bench/peer/internal/setup"
)

var (
	reply = []byte("HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/plain\r\n" +
		"Content-Length: 13\r\n\r\nHello, World!")
	blank = []byte("\r\n\r\n")
)

// canned answers; out is the loop's.
type canned struct {
	gnet.BuiltinEventEngine
	out []byte
}

// OnTraffic takes what is whole and leaves the rest in the connection's buffer.
func (h *canned) OnTraffic(c gnet.Conn) gnet.Action {
	in, err := c.Peek(-1)
	if err != nil {
		return gnet.Close
	}
	h.out = h.out[:0]
	used := 0
	for {
		i := bytes.Index(in[used:], blank)
		if i < 0 {
			break
		}
		used += i + len(blank)
		h.out = append(h.out, reply...)
	}
	c.Discard(used)
	c.Write(h.out)
	return gnet.None
}

func main() {
	f := setup.Parse()
	var h gnet.EventHandler = new(canned)
	if f.Wake > 0 {
		h = &waker{f: f, seen: make(chan time.Time, 1)}
	}
	err := gnet.Run(h, "tcp://"+f.Listen, gnet.WithNumEventLoop(1), gnet.WithTCPNoDelay(gnet.TCPNoDelay),
		gnet.WithLogLevel(logging.ErrorLevel))
	if err != nil {
		log.Fatal(err)
	}
}
