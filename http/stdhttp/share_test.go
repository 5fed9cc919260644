package stdhttp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// slowly is a handler whose routes depend on what their clients do. It has no other clients than
// slow ones, but for /.
var slowly = nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
	switch r.URL.Path {
	case "/upload":
		io.Copy(io.Discard, r.Body)
	case "/download":
		for range 1000 {
			if _, err := w.Write(make([]byte, 100_000)); err != nil {
				return
			}
		}
	case "/stream":
		w.(nethttp.Flusher).Flush()
		<-r.Context().Done()
	case "/hijack":
		c, _, err := w.(nethttp.Hijacker).Hijack()
		if err == nil {
			io.Copy(io.Discard, c)
			c.Close()
		}
	}
	io.WriteString(w, "done")
})

// Clients that are slow, in each of the ways there are, hold no workers: others are served at once.
func TestSlowClientsHoldNoWorkers(t *testing.T) {
	post := "POST /upload HTTP/1.1\r\nHost: x\r\n"
	for name, in := range map[string]string{
		"short body": post + "Content-Length: 10000\r\n\r\nabc",
		"long body":  post + "Content-Length: 10000000\r\n\r\nabc",
		"chunks":     post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"download":   "GET /download HTTP/1.1\r\nHost: x\r\n\r\n",
		"stream":     "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n",
		"hijack":     "GET /hijack HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			both(t, slowly, Options{Workers: 4, Queue: -1, Streams: 16, Part: -1}, func(r *rig) {
				for i := range 16 {
					r.dial(in)
					eventually(r, "the handler to give its worker away", func() bool {
						working, streams := r.counts()
						return working == 0 && (streams == i+1 || name == "short body")
					})
				}
				if resp, body := r.get("/"); resp.StatusCode != 200 || body != "done" {
					r.Error(resp.Status, body)
				}
			})
		})
	}
}

func (r *rig) counts() (working, streams int) {
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	return r.h.workers.used, r.h.streams.used
}

// Where Options.Streams are used up, a handler that waits for its client keeps its worker for a
// while, and no longer, even when the client goes on slowly.
func TestCrowdedStreams(t *testing.T) {
	failed := make(chan error, 3)
	crowd := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.URL.Path == "/" {
			return
		}
		_, err := io.Copy(io.Discard, r.Body)
		failed <- err
	})
	both(t, crowd, Options{Workers: 2, Queue: 2, Streams: 1, Part: -1}, func(r *rig) {
		set := make(chan struct{})
		r.m.Do(func() { r.h.patience = 500 * time.Millisecond; close(set) })
		<-set
		var held []net.Conn
		for range 3 {
			c, _ := r.dial(chunkedPost + "\r\n3\r\nabc\r\n")
			held = append(held, c)
		}
		stop := make(chan struct{})
		defer close(stop)
		for _, c := range held {
			go func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(2 * time.Millisecond): // always within its patience
						io.WriteString(c, "1\r\nx\r\n")
					}
				}
			}()
		}
		if resp, _ := r.get("/"); resp.StatusCode != 200 {
			r.Error(resp.Status)
		}
		for n := 0; n < 2; {
			if err := await(r, failed, "a handler to be let go"); errors.Is(err, ErrBusy) {
				n++ // else it is of the loop before
			}
		}
	})
}

// One address has a part of each share. Others find room in the rest.
func TestOneAddressHasAPart(t *testing.T) {
	let := make(chan struct{})
	var next netip.Addr
	client := func(*conn.Conn, *http.Request) netip.Addr { return next }
	h := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.URL.Path == "/stream" {
			w.(nethttp.Flusher).Flush()
		}
		select {
		case <-let:
		case <-r.Context().Done():
		}
	})
	both(t, h, Options{Workers: 4, Queue: 4, Streams: 4, Part: 50, Client: client}, func(r *rig) {
		from := func(addr, path string) *bufio.Reader {
			set := make(chan struct{})
			r.m.Do(func() { next = netip.MustParseAddr(addr); close(set) })
			<-set
			_, b := r.dial("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
			return b
		}
		var held []*bufio.Reader
		ask := func(addr, path string, workers, queued, streams int) {
			r.Helper()
			held = append(held, from(addr, path))
			eventually(r, fmt.Sprint(path, " of ", addr), func() bool {
				r.h.mu.Lock()
				defer r.h.mu.Unlock()
				return r.h.workers.used == workers && r.h.queue.used == queued && r.h.streams.used == streams
			})
		}
		ask("2001:db8::1", "/stream", 0, 0, 1)
		ask("2001:db8::2", "/stream", 0, 0, 2)
		if resp, _ := r.read(from("2001:db8::3", "/stream")); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			r.Error(resp)
		}
		ask("2001:db8::1", "/", 1, 0, 2)
		ask("2001:db8::2", "/", 2, 0, 2)
		ask("2001:db8::3", "/", 2, 1, 2)
		ask("2001:db8::4", "/", 2, 2, 2)
		if resp, _ := r.read(from("2001:db8::5", "/")); resp.StatusCode != 503 {
			r.Error(resp)
		}
		ask("2001:db8:0:1::1", "/", 3, 2, 2) // of the next network
		ask("192.0.2.1", "/stream", 3, 2, 3)
		ask("192.0.2.1", "/", 4, 2, 3)
		ask("192.0.2.2", "/", 4, 3, 3)
		for range held {
			let <- struct{}{}
		}
		for _, b := range held {
			if resp, _ := r.read(b); resp.StatusCode != 200 {
				r.Error(resp)
			}
		}
		eventually(r, "all places to be free", func() bool {
			r.h.mu.Lock()
			defer r.h.mu.Unlock()
			return r.h.workers.used+r.h.queue.used+r.h.streams.used+len(r.h.workers.by)+len(r.h.queue.by)+len(r.h.streams.by) == 0
		})
	})
}

// A handler that comes back from its client has a worker at once: the handlers that have the
// workers may be waiting for it.
func TestAHandlerWithALockComesBack(t *testing.T) {
	lock := make(chan struct{}, 1)
	h := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		lock <- struct{}{}
		defer func() { <-lock }()
		io.Copy(io.Discard, r.Body)
	})
	both(t, h, Options{Workers: 1, Queue: 4}, func(r *rig) {
		c, b := r.dial(chunkedPost + "\r\n")
		eventually(r, "it to wait", func() bool { _, n := r.counts(); return n == 1 })
		_, b2 := r.dial(getX)
		eventually(r, "the other to run", func() bool { n, _ := r.counts(); return n == 1 })
		io.WriteString(c, "3\r\nabc\r\n0\r\n\r\n")
		for _, b := range []*bufio.Reader{b, b2} {
			if resp, _ := r.read(b); resp.StatusCode != 200 {
				r.Error(resp)
			}
		}
	})
}

// The memory of bodies and replies between loop and handlers is bounded in all, and no request
// stops for ever.
func TestMemoryOfAll(t *testing.T) {
	const n, each, memory = 20, 2 << 20, 1 << 20
	let := make(chan struct{})
	h := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		<-let
		k, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, k, err)
	})
	both(t, h, Options{Memory: memory, Part: -1}, func(r *rig) {
		done := make(chan string, n)
		for range n {
			go func() {
				req, _ := nethttp.NewRequest("POST", "http://"+r.addr, io.LimitReader(zeros{}, each))
				for {
					resp, err := r.client().Do(req)
					if err != nil {
						done <- err.Error()
						return
					}
					b, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					if done <- fmt.Sprint(resp.StatusCode, " ", string(b)); true {
						return
					}
				}
			}()
		}
		eventually(r, "the memory to be full", func() bool { return r.h.held.Load() >= memory })
		if used := r.h.budget.Used(); used < memory {
			r.Errorf("%d bytes are charged to the manager's budget, less than %d", used, memory)
		}
		most := int64(memory + n*(64<<10))
		for range n * 4 {
			select {
			case let <- struct{}{}:
			case text := <-done:
				if want := fmt.Sprintf("200 %d <nil>", each); text != want && !strings.HasPrefix(text, "503") && !strings.Contains(text, "reset") && !strings.Contains(text, "pipe") {
					r.Errorf("%q, want %q", text, want)
				}
				if len(done) == 0 && r.h.held.Load() == 0 {
					if running, waiting := r.h.Running(); running+waiting == 0 {
						return
					}
				}
			}
			if held := r.h.held.Load(); held > most {
				r.Fatalf("%d bytes held, want %d at most", held, most)
			}
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A whole body has its time, for a handler that waits for it and before one is called.
func TestBodyTime(t *testing.T) {
	failed := make(chan error, 1)
	h := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		_, err := io.ReadAll(r.Body)
		failed <- err
		w.WriteHeader(408)
	})
	both(t, h, Options{BodyTime: 50 * time.Millisecond}, func(r *rig) {
		for _, head := range []string{"Content-Length: 100\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"} {
			c, b := r.dial("POST / HTTP/1.1\r\nHost: x\r\n" + head)
			stop := make(chan struct{})
			go func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(10 * time.Millisecond):
						if _, err := io.WriteString(c, "1\r\nx\r\n"); err != nil {
							return
						}
					}
				}
			}()
			if resp, _ := r.read(b); resp.StatusCode != 408 {
				r.Error(head, resp)
			}
			close(stop)
		}
		if err := await(r, failed, "the handler"); !errors.Is(err, os.ErrDeadlineExceeded) {
			r.Error(err)
		}
		if held := r.h.held.Load(); held != 0 {
			r.Error(held, " bytes are still counted")
		}
	})
}

// A handler that has a worker gives it to a request of the queue while it waits for its client, and
// counts as working when it comes back.
func TestAWorkerGoesFromHandToHand(t *testing.T) {
	begun, let, read := make(chan string, 4), make(chan struct{}), make(chan struct{})
	h := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		begun <- r.Method
		if r.Method == "POST" {
			<-let
			io.Copy(io.Discard, r.Body)
			read <- struct{}{}
			<-let
		}
	})
	both(t, h, Options{Workers: 1, Queue: 4, Part: -1}, func(r *rig) {
		c, b := r.dial(chunkedPost + "\r\n")
		await(r, begun, "the first")
		_, b2 := r.dial(getX)
		eventually(r, "the second to be queued", func() bool { return r.used(&r.h.queue) == 1 })
		let <- struct{}{} // the first waits for its client
		if await(r, begun, "the second") != "GET" {
			r.Error("the first began twice")
		}
		if resp, _ := r.read(b2); resp.StatusCode != 200 {
			r.Error(resp)
		}
		io.WriteString(c, "3\r\nabc\r\n0\r\n\r\n")
		await(r, read, "the body")
		eventually(r, "one to have a worker, and none to wait for its client", func() bool { // the second ends after its reply
			working, streams := r.counts()
			return working == 1 && streams == 0
		})
		let <- struct{}{}
		if resp, _ := r.read(b); resp.StatusCode != 200 {
			r.Error(resp)
		}
	})
}

// A request whose address has its part of the workers does not keep those behind it from the
// others.
func TestTheQueuePassesThoseThatHaveTheirPart(t *testing.T) {
	begun := make(chan string, 8)
	letA, letB := make(chan struct{}), make(chan struct{})
	var next netip.Addr
	client := func(*conn.Conn, *http.Request) netip.Addr { return next }
	h := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		switch begun <- r.URL.Path; r.URL.Path {
		case "/a":
			<-letA
		case "/b":
			<-letB
		}
	})
	both(t, h, Options{Workers: 2, Queue: 8, Part: 50, Client: client}, func(r *rig) {
		var held []*bufio.Reader
		ask := func(addr, path string) {
			set := make(chan struct{})
			r.m.Do(func() { next = netip.MustParseAddr(addr); close(set) })
			<-set
			_, b := r.dial("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
			held = append(held, b)
		}
		want := func(path string) {
			r.Helper()
			if got := await(r, begun, path); got != path {
				r.Errorf("%s began, want %s", got, path)
			}
		}
		ask("192.0.2.1", "/a")
		want("/a")
		ask("192.0.2.2", "/b")
		want("/b")
		ask("192.0.2.1", "/a2")
		eventually(r, "/a2 to be queued", func() bool { return r.used(&r.h.queue) == 1 })
		ask("192.0.2.2", "/b2")
		eventually(r, "/b2 to be queued", func() bool { return r.used(&r.h.queue) == 2 })
		letB <- struct{}{}
		want("/b2") // the first address has its part: /a2 waits for /a
		letA <- struct{}{}
		want("/a2")
		for _, b := range held {
			if resp, _ := r.read(b); resp.StatusCode != 200 {
				r.Error(resp)
			}
		}
	})
}

// used returns how many places of a share are taken.
func (r *rig) used(s *share) int {
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	return s.used
}

// A request that is gone before its turn comes leaves the queue, and its place.
func TestARequestThatIsGoneLeavesTheQueue(t *testing.T) {
	let := make(chan struct{})
	h := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) { <-let })
	both(t, h, Options{Workers: 1, Queue: 1, Part: -1}, func(r *rig) {
		_, b := r.dial(getX)
		eventually(r, "the first to run", func() bool { return r.used(&r.h.workers) == 1 })
		c, _ := r.dial(getX)
		eventually(r, "the second to be queued", func() bool { return r.used(&r.h.queue) == 1 })
		r.m.Broadcast(func(x *conn.Conn) {
			if x.RemoteAddr().String() == c.LocalAddr().String() {
				x.Close() // as after a reset
			}
		})
		eventually(r, "the second to be gone", func() bool { return r.used(&r.h.queue) == 0 })
		_, b3 := r.dial(getX)
		eventually(r, "the third to be queued", func() bool { return r.used(&r.h.queue) == 1 })
		for _, b := range []*bufio.Reader{b, b3} {
			let <- struct{}{}
			if resp, _ := r.read(b); resp.StatusCode != 200 {
				r.Error(resp)
			}
		}
	})
}
