// Command gobwas is the peer for gobwas/ws with one goroutine for each connection: the upgrade
// without net/http, frames read and written through buffers of bufio, and for broadcast one frame
// that is compiled once and written as it is.
package main

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net"
	"sync"

	"github.com/gobwas/ws"

	"github.com/seed4930a636/mangusta/bench/peer/internal/setup"
)

func main() {
	f := setup.Parse()
	if f.Buffer == 0 {
		f.Buffer = 4096
	}
	s := &subs{conns: make(map[net.Conn]bool)}
	publish := f.Publisher(s.publish)
	l, err := net.Listen("tcp", f.Listen)
	if err != nil {
		log.Fatal(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go s.serve(c, f.Buffer, publish)
	}
}

// subs are the subscribers.
type subs struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
}

// publish writes the compiled frame to each connection; it is for the kernel's buffers to be large
// enough.
func (s *subs) publish(p []byte) {
	frame, err := ws.CompileFrame(ws.NewTextFrame(p))
	if err != nil {
		log.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Write(frame)
	}
}

func (s *subs) serve(c net.Conn, buffer int, publish func([]byte)) {
	defer c.Close()
	sub := false
	u := ws.Upgrader{OnRequest: func(uri []byte) error {
		sub = bytes.Equal(uri, []byte("/sub"))
		return nil
	}}
	if _, err := u.Upgrade(c); err != nil {
		return
	}
	if sub {
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		}()
	}
	r, w := bufio.NewReaderSize(c, buffer), bufio.NewWriterSize(c, buffer)
	read(r, func(op ws.OpCode, p []byte) error {
		if sub {
			publish(p)
			return nil
		}
		if err := ws.WriteFrame(w, ws.NewFrame(op, true, p)); err != nil || r.Buffered() > 0 {
			return err
		}
		return w.Flush()
	})
}

// read gives each frame to message; the payload is valid until that returns. The load sends
// messages of one frame.
func read(r *bufio.Reader, message func(op ws.OpCode, p []byte) error) {
	var buf []byte
	for {
		h, err := ws.ReadHeader(r)
		if err != nil || h.OpCode == ws.OpClose || h.Length > 16<<20 {
			return
		}
		if int64(cap(buf)) < h.Length {
			buf = make([]byte, h.Length)
		}
		p := buf[:h.Length]
		if _, err := io.ReadFull(r, p); err != nil {
			return
		}
		ws.Cipher(p, h.Mask, 0)
		if err := message(h.OpCode, p); err != nil {
			return
		}
	}
}
