package stdhttp

import (
	"errors"
	"io"
	"net"
	nethttp "net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// reset closes c so that its peer gets an RST.
func reset(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

func TestAClientThatGoesAwayEndsTheContextAndTheWrites(t *testing.T) {
	for name, leave := range map[string]func(net.Conn){"fin": func(c net.Conn) { c.Close() }, "rst": reset} {
		t.Run(name, func(t *testing.T) {
			started, ended := make(chan struct{}, 1), make(chan error, 1)
			both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
				started <- struct{}{}
				<-r.Context().Done()
				var err error
				for err == nil {
					_, err = w.Write(make([]byte, 64<<10))
				}
				ended <- err
			}), Options{}, func(r *rig) {
				c, _ := r.dial(getX)
				await(r, started, "the handler")
				leave(c)
				if err := await(r, ended, "the end of the writes"); !errors.Is(err, ErrConnection) {
					r.Error(err)
				}
			})
		})
	}
}

func TestAClientThatStopsReadingHoldsTheHandlerAndLittleMemory(t *testing.T) {
	const size = 50 << 20
	written := make(chan error, 1)
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		var err error
		p := make([]byte, 32<<10)
		for n := 0; n < size && err == nil; n += len(p) {
			_, err = w.Write(p)
		}
		written <- err
	}), Options{}, func(r *rig) {
		c, b := r.dial("")
		// Some segments of loopback, of 64 KiB each: with a window below one the kernel sends by
		// its persist timer, which backs off to seconds (RFC 9293 3.8.6.1).
		c.(*net.TCPConn).SetReadBuffer(256 << 10)
		var before, during runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		io.WriteString(c, getX)
		resp, err := nethttp.ReadResponse(b, nil)
		if err != nil {
			r.Fatal(err)
		}
		part := make([]byte, 1<<20)
		var most uint64
		for range size / len(part) {
			if _, err := io.ReadFull(resp.Body, part); err != nil {
				r.Fatal(err)
			}
			runtime.GC() // garbage is not held, and how much of it there is depends on the load of the machine
			runtime.ReadMemStats(&during)
			most = max(most, during.HeapAlloc)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != 0 || err != nil {
			r.Error(n, err)
		}
		if err := await(r, written, "the handler"); err != nil {
			r.Error(err)
		}
		if most > before.HeapAlloc+16<<20 {
			r.Errorf("the heap grew from %d to %d bytes", before.HeapAlloc, most)
		}
	})
}

func TestWriteDeadlineCutsAStalledAnswer(t *testing.T) {
	result := make(chan error, 1)
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		rc := nethttp.NewResponseController(w)
		if err := rc.Flush(); err != nil { // the head, however slow this machine is
			t.Error(err)
		}
		err := rc.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		for err == nil {
			_, err = w.Write(make([]byte, 64<<10))
		}
		result <- err
	}), Options{}, func(r *rig) {
		_, b := r.dial(getX)
		if err := await(r, result, "the deadline"); !errors.Is(err, os.ErrDeadlineExceeded) {
			r.Error(err)
		}
		resp, err := nethttp.ReadResponse(b, nil)
		if err != nil {
			r.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err == nil {
			r.Error("the answer looks complete")
		}
	})
}

func TestResponseController(t *testing.T) {
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		rc := nethttp.NewResponseController(w)
		if err := rc.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		if err := rc.Flush(); err != nil {
			t.Error(err)
		}
	}), Options{}, func(r *rig) { r.get("/") })
}

func TestPanicsCutTheConnectionAndAreCounted(t *testing.T) {
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		switch r.URL.Path {
		case "/late":
			io.WriteString(w, strings.Repeat("x", 100_000))
			panic("late")
		case "/abort":
			panic(nethttp.ErrAbortHandler)
		case "/exit":
			runtime.Goexit()
		case "/short":
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "short")
		case "/fine":
		default:
			panic("early")
		}
	}), Options{Workers: 1}, func(r *rig) {
		for _, path := range []string{"/early", "/late", "/abort", "/exit", "/short"} {
			resp, err := r.client().Get("http://" + r.addr + path)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if err == nil {
				r.Errorf("%s: the answer looks complete", path)
			}
			if resp, _ := r.get("/fine"); resp.StatusCode != 200 {
				r.Errorf("after %s: %s", path, resp.Status)
			}
		}
		panics := make(chan uint64, 1)
		r.m.Do(func() { panics <- r.m.Stats().Panics })
		if n := await(r, panics, "the statistics"); n != 2 {
			r.Errorf("%d panics counted, want 2", n)
		}
	})
}

func TestWritesAfterTheHandlerHasReturnedFail(t *testing.T) {
	writers := make(chan nethttp.ResponseWriter, 1)
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) { writers <- w }), Options{}, func(r *rig) {
		r.get("/")
		w := await(r, writers, "the writer")
		eventually(r, "the handler to return", func() bool { n, _ := r.h.Running(); return n == 0 })
		if _, err := io.WriteString(w, "late"); err != errFinished {
			r.Error(err)
		}
		if err := nethttp.NewResponseController(w).Flush(); err != errFinished {
			r.Error(err)
		}
	})
}
