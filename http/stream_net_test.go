package http

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	stdhttp "net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// echoStream sends each body back while it comes.
func echoStream(*mgr.Manager) conn.Handler {
	return func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *Head:
			StreamBody(c)
			Begin(c, 200, "application/octet-stream")
		case *Chunk:
			WriteChunk(c, ev.Data)
			if ev.Last {
				End(c)
			}
		}
	}
}

// A body that is sent back while it comes, through buffers much smaller than it.
func TestNetStreamEcho(t *testing.T) {
	body := make([]byte, 20<<20)
	for i := range body {
		body[i] = byte(rand.Uint32())
	}
	o := Options{MaxBody: 1, Limits: conn.Limits{Send: 256 << 10}}
	underBoth(t, o, echoStream, func(t *testing.T, m *mgr.Manager, addr string) {
		postEachWay(t, addr, body)
	})
}

// A handler that pauses is not sent more than the buffers on the way hold.
func TestNetPauseStopsTheClient(t *testing.T) {
	const limit = 64 << 20
	var got, stopped int64
	h := func(m *mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *Head:
				got, stopped = 0, 0
				StreamBody(c)
			case *Chunk:
				if got += int64(len(ev.Data)); stopped == 0 {
					stopped = got
					c.Pause()
					m.AfterFunc(200*time.Millisecond, func() {
						if got != stopped {
							t.Errorf("%d bytes came while the connection was paused", got-stopped)
						}
						c.Resume()
					})
				}
				if ev.Last {
					Reply(c, 200, "", "%d", got)
				}
			}
		}
	}
	underBoth(t, Options{}, h, func(t *testing.T, m *mgr.Manager, addr string) {
		c := dial(t, addr)
		go func() {
			fmt.Fprintf(c, "%sContent-Length: %d\r\n\r\n", post, limit)
			for range limit >> 16 {
				c.Write(make([]byte, 64<<10))
			}
		}()
		wantBody(t, bufio.NewReader(c), 200, strconv.Itoa(limit))
	})
}

func TestNetSaveBody(t *testing.T) {
	dir := t.TempDir()
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	failed := make(chan error, 1)
	h := func(m *mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			head, ok := ev.(*Head)
			if !ok {
				return
			}
			sum := sha256.New()
			err := SaveBody(c, SaveOptions{Path: filepath.Join(dir, string(head.Path)), MaxSize: 8 << 20, Hash: sum,
				Done: func(c *conn.Conn, size int64, err error) {
					if err != nil {
						failed <- err
						return
					}
					Reply(c, 201, "", "%d %x", size, sum.Sum(nil))
				}})
			if err != nil {
				t.Error(err)
			}
		}
	}
	underBoth(t, Options{}, h, func(t *testing.T, m *mgr.Manager, addr string) {
		for _, chunked := range []bool{false, true} {
			req, _ := stdhttp.NewRequest("PUT", "http://"+addr+"/ok", bytes.NewReader(body))
			if chunked {
				req.ContentLength = -1
			}
			resp, err := stdhttp.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if want := fmt.Sprintf("%d %x", len(body), sha256.Sum256(body)); resp.StatusCode != 201 || string(got) != want {
				t.Fatal(resp.Status, string(got))
			}
			saved, err := os.ReadFile(filepath.Join(dir, "ok"))
			if err != nil || !bytes.Equal(saved, body) {
				t.Fatal(len(saved), err)
			}
		}
		c := dial(t, addr)
		io.WriteString(c, "PUT /cut HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
		c.Write(body[:500_000])
		c.SetLinger(0)
		c.Close() // a reset
		select {
		case <-failed:
		case <-time.After(time.Minute):
			t.Fatal("Done was not called")
		}
		names, _ := os.ReadDir(dir)
		if len(names) != 1 {
			t.Fatal(names)
		}
	})
}

// HTTP/1.0: a reply that is given up ends in a reset, since a plain end of the stream would look
// like the end of the body.
func TestNetAbortedReply(t *testing.T) {
	h := func(m *mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if r, ok := ev.(*Message); ok {
				s, _ := r.Later().Begin(200, "text/plain")
				s.Write([]byte("half"))
				m.AfterFunc(20*time.Millisecond, func() { s.Abort() })
			}
		}
	}
	underBoth(t, Options{}, h, func(t *testing.T, m *mgr.Manager, addr string) {
		for _, version := range []string{"1.0", "1.1"} {
			c := dial(t, addr)
			fmt.Fprintf(c, "GET / HTTP/%s\r\nHost: h\r\n\r\n", version)
			resp, err := stdhttp.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("HTTP/%s: %q looks complete", version, b)
			}
		}
	})
}

// One event, made once by another goroutine, reaches many subscribers; shutdown completes their
// streams.
func TestNetEvents(t *testing.T) {
	const subscribers, events = 20, 50
	h := func(*mgr.Manager) conn.Handler { return subscribe(t) }
	underBoth(t, Options{}, h, func(t *testing.T, m *mgr.Manager, addr string) {
		var ready, done sync.WaitGroup
		ready.Add(subscribers)
		for range subscribers {
			done.Go(func() {
				resp, err := stdhttp.Get("http://" + addr)
				ready.Done()
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				n := strings.Count(string(got), "data: tick\n\n")
				if err != nil || n != events || !strings.Contains(string(got), "id: 49\n") {
					t.Error(n, "events,", err)
				}
			})
		}
		ready.Wait()
		for i := range events {
			e, err := PrepareEvent(strconv.Itoa(i), "", "tick")
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Broadcast(func(c *conn.Conn) {
				if s := EventStream(c); s != nil {
					s.SendPreparedEvent(e)
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := m.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		done.Wait()
	})
}

// A subscriber that does not read shows in Pending, and then meets the send limit; the others do
// not notice.
func TestNetSlowSubscriber(t *testing.T) {
	ended := make(chan conn.Reason, 2)
	h := func(*mgr.Manager) conn.Handler {
		sub := subscribe(t)
		return func(c *conn.Conn, ev conn.Event) {
			sub(c, ev)
			if ev, ok := ev.(*conn.Close); ok && !c.IsListener() {
				ended <- ev.Reason
			}
		}
	}
	underBoth(t, Options{Limits: conn.Limits{Send: 1 << 20, Backlog: conn.Backlog{Bytes: -1}}}, h, func(t *testing.T, m *mgr.Manager, addr string) {
		c := dial(t, addr)
		c.SetReadBuffer(4 << 10)
		io.WriteString(c, getLine)
		if _, err := c.Read(make([]byte, 20)); err != nil {
			t.Fatal(err)
		}
		e, _ := PrepareEvent("", "", strings.Repeat("x", 100_000))
		most := 0
		for range 1000 {
			err := m.Broadcast(func(c *conn.Conn) {
				s := EventStream(c)
				if s == nil {
					return // the listener is told too
				}
				switch err := s.SendPreparedEvent(e); err {
				case nil, conn.ErrSendLimit, conn.ErrClosed:
				default:
					t.Error(err)
				}
				most = max(most, c.Pending())
			})
			if err != nil {
				t.Fatal(err)
			}
			select {
			case r := <-ended:
				if r != conn.SendLimit || most < 900_000 || most > 1<<20+100_100 {
					t.Error(r, most)
				}
				return
			default:
			}
		}
		t.Error("the slow subscriber lives on, with", most, "bytes pending")
	})
}
