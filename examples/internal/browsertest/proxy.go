package browsertest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// A Proxy passes connections on to a program, until it is told otherwise. Its methods are safe for
// concurrent use.
type Proxy struct {
	URL string // of the page behind it

	mu     sync.Mutex
	open   []io.Closer
	frozen *atomic.Bool // of the connections that are open now
	deaf   bool         // new connections are frozen too
}

// NewProxy starts one that ends with the test. target is HOST:PORT.
func NewProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{URL: "http://" + l.Addr().String() + "/", frozen: new(atomic.Bool)}
	t.Cleanup(func() {
		l.Close()
		p.Cut()
	})
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			p.mu.Lock()
			f := p.frozen
			if p.deaf {
				f.Store(true)
			}
			p.open = append(p.open, in, out)
			p.mu.Unlock()
			go pass(in, out, f)
			go pass(out, in, f)
		}
	}()
	return p
}

// Freeze stops all traffic on the open connections, which stay open: as behind a cable that is
// pulled.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen.Store(true)
	p.frozen = new(atomic.Bool)
}

// Deaf is Freeze, for all connections to come too: as of a program that hangs.
func (p *Proxy) Deaf() {
	p.Freeze()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = true
}

// Cut closes the connections that are open.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		c.Close()
	}
	p.open = nil
}

func pass(from, to net.Conn, frozen *atomic.Bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if frozen.Load() {
			if err != nil {
				return // and the other end hears nothing of it
			}
			continue
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			to.Close()
			return
		}
	}
}
