package stdhttp

import (
	"bufio"
	"context"
	"io"
	nethttp "net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// listen runs a loop with handler until the test ends.
func listen(t *testing.T, mo mgr.Options, ho http.Options, handler nethttp.HandlerFunc) *rig {
	m, err := mgr.New(mo)
	if err != nil {
		t.Fatal(err)
	}
	h := New(m, handler, Options{})
	l, err := http.Listen(m, "http://127.0.0.1:0", h.Handle, ho)
	if err != nil {
		t.Fatal(err)
	}
	addr := l.LocalAddr().String()
	ran := make(chan error, 1)
	go func() { ran <- m.Run(context.Background()) }()
	t.Cleanup(func() {
		m.Close()
		<-ran
	})
	return &rig{t, m, h, addr}
}

// The loop's queue has room for one message: the others wait, and no byte is lost.
func TestAFullQueueOfTheLoopLosesNothing(t *testing.T) {
	r := listen(t, mgr.Options{Queue: 1}, http.Options{}, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		for range 20 {
			io.WriteString(w, strings.Repeat("x", 30_000))
		}
	})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			resp, err := r.client().Get("http://" + r.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if n, err := io.Copy(io.Discard, resp.Body); n != 600_000 || err != nil {
				t.Error(n, err)
			}
		})
	}
	wg.Wait()
}

func TestAHandlerThatMissesTheReplyTimeoutIsLetKnow(t *testing.T) {
	cancelled := make(chan error, 1)
	r := listen(t, mgr.Options{}, http.Options{ReplyTimeout: 100 * time.Millisecond}, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		<-r.Context().Done()
		_, err := w.Write(make([]byte, 100_000))
		cancelled <- err
	})
	if resp, _ := r.get("/"); resp.StatusCode != 503 {
		t.Error(resp.Status)
	}
	if err := await(t, cancelled, "the handler"); err == nil {
		t.Error("an answer that nobody gets was taken")
	}
}

func TestManagerCloseEndsWritesAndReads(t *testing.T) {
	for _, path := range []string{"/write", "/read"} {
		started, result := make(chan struct{}, 1), make(chan error, 1)
		r := listen(t, mgr.Options{}, http.Options{}, func(w nethttp.ResponseWriter, r *nethttp.Request) {
			started <- struct{}{}
			var err error
			for err == nil && r.URL.Path == "/write" {
				_, err = w.Write(make([]byte, 100_000))
			}
			if r.URL.Path == "/read" {
				_, err = r.Body.Read(make([]byte, 1))
			}
			result <- err
		})
		r.dial(strings.Replace(chunkedPost, "/x", path, 1) + "\r\n")
		await(t, started, "the handler")
		r.m.Close()
		if err := await(t, result, path); err == nil {
			t.Error(path, ": no error")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := r.h.Wait(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	}
}

// A send limit below Options.Buffer bounds what is queued.
func TestASmallSendLimit(t *testing.T) {
	o := http.Options{}
	o.Limits.Send = 20_000
	r := listen(t, mgr.Options{}, o, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		for range 100 {
			w.Write(make([]byte, 100_000))
		}
	})
	c, b := r.dial("")
	io.WriteString(c, getX+getX)
	for range 2 {
		if n := bodyLength(r, b); n != 10_000_000 {
			t.Error(n)
		}
	}
}

func bodyLength(r *rig, b *bufio.Reader) int {
	_, body := r.read(b)
	return len(body)
}

// A handler whose request got its reply by other means reaches no other request of the connection:
// neither a reply nor a cut.
func TestAHandlerWhoseRequestIsOverReachesNoOther(t *testing.T) {
	for _, path := range []string{"/write", "/large", "/panic"} {
		started, let, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
		m, err := mgr.New(mgr.Options{})
		if err != nil {
			t.Fatal(err)
		}
		h := New(m, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
			defer close(done)
			close(started)
			<-let
			switch r.URL.Path {
			case "/write":
				io.WriteString(w, "secret")
			case "/large":
				io.WriteString(w, strings.Repeat("secret", 100_000))
			case "/panic":
				panic(nethttp.ErrAbortHandler)
			}
		}), Options{})
		l, err := http.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
			r, ok := ev.(*http.Message)
			switch {
			case !ok:
			case r.Match("/next"):
				later := r.Later()
				close(let)
				go func() {
					<-done
					h.Wait(context.Background())
					later.Do(func() {}) // after what the handler has posted
					later.Do(func() { later.Reply(200, "", "next") })
				}()
			default:
				later := r.Later()
				h.Serve(c, r)
				go func() {
					<-started
					later.Do(func() { later.Error(504) })
				}()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{t, m, h, l.LocalAddr().String()}
		ran := make(chan error, 1)
		go func() { ran <- m.Run(context.Background()) }()
		c, b := r.dial("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, _ := r.read(b); resp.StatusCode != 504 {
			t.Error(resp)
		}
		io.WriteString(c, "GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, body := r.read(b); resp.StatusCode != 200 || body != "next" {
			t.Error(path, resp, body)
		}
		m.Close()
		<-ran
	}
}
