package browsertest

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// FreezingProxy passes connections on to target. After freeze, those that are open stay so, and nothing moves on them.
func FreezingProxy(t *testing.T, target string) (url string, freeze func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	frozen := new(atomic.Bool) // of the connections that are open now
	closeAll := []func() error{l.Close}
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, end := range closeAll {
			end()
		}
	})
	pass := func(from, to net.Conn, frozen *atomic.Bool) {
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
			mu.Lock()
			f := frozen
			closeAll = append(closeAll, in.Close, out.Close)
			mu.Unlock()
			go pass(in, out, f)
			go pass(out, in, f)
		}
	}()
	return "http://" + l.Addr().String() + "/", func() {
		mu.Lock()
		defer mu.Unlock()
		frozen.Store(true)
		frozen = new(atomic.Bool)
	}
}
