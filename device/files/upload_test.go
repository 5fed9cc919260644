package files

import (
	"bufio"
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestQuota(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := serve(t, p, Options{MaxBytes: 1000, MaxFileBytes: 600, MaxFiles: 3})
		text := strings.Repeat("x", 600)
		r.want(413, "too large", "PUT", "/a", text+"x")
		r.want(413, "too large", "PUT", "/a", text+"x", "Transfer-Encoding", "chunked")
		chunked := func(status int, want, name string, size int) {
			t.Helper()
			resp, err := nethttp.DefaultClient.Do(r.request("PUT", name, struct{ io.Reader }{strings.NewReader(text[:size])}))
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != status || !strings.Contains(string(b), want) {
				t.Errorf("%s: %d %s, want %d", name, resp.StatusCode, b, status)
			}
		}
		r.want(201, "", "PUT", "/a", text)
		r.want(507, "no room left", "PUT", "/b", text)
		chunked(507, "no room left", "/b", 401)
		r.want(507, "no room left", "PUT", "/a", text[:401]) // the old one counts until the new one is whole
		chunked(200, "", "/a", 400)
		if l := r.listing(""); l.Used != 400 || l.Files != 1 {
			t.Errorf("%+v", l)
		}
		r.want(201, "", "PUT", "/b", text)
		if l := r.listing(""); l.Used != 1000 {
			t.Errorf("%+v", l)
		}
		r.want(507, "no room left", "PUT", "/c", "x")
		r.want(201, "", "PUT", "/c", "")
		r.want(507, "too many files", "PUT", "/d", "")
		r.want(507, "too many files", "POST", "/d?mkdir", "")
		r.want(200, "", "PUT", "/c", "")
		r.want(200, "", "DELETE", "/b", "")
		r.want(201, "", "PUT", "/d", "x")
		r.wantNothingLeft()

		// A file that the program has put there counts after the next count.
		r.want(200, "", "DELETE", "/d", "")
		r.write("own", text[:550])
		r.want(507, "no room left", "PUT", "/c", text[:51])
		if l := r.listing(""); l.Used != 950 || l.Files != 3 {
			t.Errorf("%+v", l)
		}
	})
}

// Uploads that are under way count, each for itself.
func TestQuotaOfSeveralUploads(t *testing.T) {
	r := serve(t, 0, Options{MaxBytes: 1000, MaxFiles: 3, MaxUploads: 3})
	one, two := r.begin("/a", 500, 10), r.begin("/b", 400, 10)
	r.until(func() bool { return r.f.usage.received == 900 })
	r.want(507, "no room left", "PUT", "/c", strings.Repeat("x", 101))
	three := r.begin("/c", 100, 10)
	r.until(func() bool { return r.f.usage.received == 1000 })
	r.want(503, "try again", "PUT", "/d", "")
	three.c.Close()
	r.until(func() bool { return r.f.usage.received == 900 && r.f.under == 2 })
	r.want(201, "", "PUT", "/c", "")
	r.until(func() bool { return r.f.under == 2 })
	r.want(507, "too many files", "PUT", "/d", "")
	r.want(200, "", "PUT", "/c", "")
	one.end(201)
	two.end(201)
	r.wantNothingLeft()
	if l := r.listing(""); l.Used != 900 || l.Files != 3 {
		t.Errorf("%+v", l)
	}
}

// A slow is an upload of which a part was sent.
type slow struct {
	r *rig
	c interface {
		io.ReadWriteCloser
	}
	rest int
}

// begin announces size bytes, and sends some of them.
func (r *rig) begin(target string, size, some int) *slow {
	r.t.Helper()
	c := r.dial()
	fmt.Fprintf(c, "PUT /files%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", target, size, strings.Repeat("x", some))
	return &slow{r, c, size - some}
}

// end sends the rest.
func (s *slow) end(status int) {
	s.r.t.Helper()
	io.WriteString(s.c, strings.Repeat("x", s.rest))
	if got := s.status(); got != status {
		s.r.t.Errorf("the upload ends with %d, want %d", got, status)
	}
}

// status reads the reply.
func (s *slow) status() int {
	s.r.t.Helper()
	resp, err := nethttp.ReadResponse(bufio.NewReader(s.c), nil)
	if err != nil {
		s.r.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// An upload that breaks off leaves nothing, and what was there stays.
func TestUploadThatBreaksOff(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := serve(t, p, Options{})
		r.write("a", "old")
		for _, size := range []int{1, 1000, 100_000, 2 << 20} {
			u := r.begin("/a", size+1, size)
			r.until(func() bool { return r.f.usage.received == int64(size+1) })
			u.c.Close()
			r.wantNothingLeft()
			r.wantFile("a", "old")
		}
		// Broken chunks, too.
		c := r.dial()
		io.WriteString(c, "PUT /files/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnew\r\nnonsense\r\n")
		if resp, err := nethttp.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 400 {
			t.Error(resp, err)
		}
		r.wantNothingLeft()
		r.wantFile("a", "old")
	})
}

// The tree may change while an upload is under way.
func TestUploadMeetsAChange(t *testing.T) {
	r := serve(t, 0, Options{})
	r.want(201, "", "POST", "/dir?mkdir", "")
	u := r.begin("/dir/a", 10, 5)
	r.until(func() bool { return r.f.usage.received == 10 })
	r.want(200, "", "DELETE", "/dir", "")
	u.end(409)
	r.want(201, "", "PUT", "/b", "first")
	u = r.begin("/b", 10, 5)
	r.until(func() bool { return r.f.usage.received == 10 })
	r.want(200, "", "POST", "/b?rename=c", "")
	r.want(201, "", "POST", "/b?mkdir", "")
	u.end(409)
	r.wantFile("c", "first")
	r.wantNothingLeft()
}

// Clear ends what is under way, too.
func TestClear(t *testing.T) {
	r := serve(t, 0, Options{})
	r.want(201, "", "POST", "/dir?mkdir", "")
	r.want(201, "", "PUT", "/dir/a", "1")
	if err := os.Symlink("..", r.path("up")); err != nil {
		t.Fatal(err)
	}
	waits, whole := r.begin("/b", 10, 5), r.begin("/c", 10, 0)
	r.until(func() bool { return r.f.usage.received == 20 })
	r.f.disk.Lock()
	io.WriteString(whole.c, strings.Repeat("x", 10)) // it waits for the disk
	cleared := make(chan error)
	go func() { cleared <- r.f.Clear() }()
	r.f.disk.Unlock()
	if err := <-cleared; err != nil {
		t.Fatal(err)
	}
	whole.rest, waits.rest = 0, 0
	waits.end(409)
	waits.c.Close() // the rest of the body would be waited for
	if status := whole.status(); status != 409 && status != 201 {
		t.Error(status)
	} else if l := r.listing(""); status == 409 && len(l.Entries) > 0 || l.Files != len(l.Entries) {
		t.Errorf("%d, %+v", status, l)
	}
	r.want(201, "", "PUT", "/d", "x")
	r.wantNothingLeft()
	r.wantSecret()
}

// The connection goes on after an upload that was refused in its middle.
func TestConnectionGoesOnAfterARefusal(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := serve(t, p, Options{MaxBytes: 1000})
		c := r.dial()
		body := strings.Repeat("x", 300<<10)
		go fmt.Fprintf(c, "PUT /files/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\nPUT /files/b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok", len(body), body)
		in := bufio.NewReader(c)
		for _, status := range []int{413, 201} {
			resp, err := nethttp.ReadResponse(in, nil)
			if err != nil || resp.StatusCode != status {
				t.Fatal(resp, err)
			}
			io.Copy(io.Discard, resp.Body)
			if resp.Close {
				return // the server need not read what it does not want
			}
		}
		r.wantFile("b", "ok")
	})
}

// A client that is faster than the disk has to wait: the upload holds no more than its bound.
func TestUploadIsBounded(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := serve(t, p, Options{})
		const size = 8 << 20
		r.f.disk.Lock() // the disk takes its time
		var sent atomic.Int64
		done := make(chan string)
		go func() {
			body := io.TeeReader(io.LimitReader(zeros{}, size), counter{&sent})
			req := r.request("PUT", "/big", body)
			req.ContentLength = size
			resp, err := nethttp.DefaultClient.Do(req)
			if err != nil {
				done <- err.Error()
				return
			}
			resp.Body.Close()
			done <- resp.Status
		}()
		var u *upload
		r.until(func() bool {
			for _, u = range r.f.puts {
				u.mu.Lock()
				defer u.mu.Unlock()
				return u.held
			}
			return false
		})
		r.want(403, "", "GET", "", "", "Nobody", "1") // the loop is free
		u.mu.Lock()
		room := 0
		for _, b := range u.blocks {
			room += cap(b)
		}
		waiting := u.waiting
		u.mu.Unlock()
		if waiting > 224<<10 || room > 256<<10 {
			t.Errorf("%d bytes wait, in %d", waiting, room)
		}
		r.f.disk.Unlock()
		if got := <-done; got != "201 Created" {
			t.Error(got)
		}
		if sent.Load() != size {
			t.Errorf("%d bytes were sent", sent.Load())
		}
		if info, err := os.Stat(r.path("big")); err != nil || info.Size() != size {
			t.Error(info, err)
		}
	})
}

// While other goroutines fill the loop's queue, uploads and replies go on all the same.
func TestFullQueueOfTheLoop(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := serve(t, p, Options{})
		const size = 1 << 20
		r.f.disk.Lock()
		type result struct {
			status int
			text   string
		}
		done := make(chan result, 2)
		for method, target := range map[string]string{"PUT": "/big", "GET": ""} {
			body := strings.Repeat("x", size)
			if method == "GET" {
				body = ""
			}
			go func() {
				resp, text := r.ask(method, target, body)
				done <- result{resp.StatusCode, text}
			}()
		}
		var u *upload
		r.until(func() bool {
			for _, u = range r.f.puts {
				u.mu.Lock()
				defer u.mu.Unlock()
				return u.held && r.f.waiting == 1
			}
			return false
		})
		goOn, stands := make(chan struct{}), make(chan struct{})
		r.m.Do(func() {
			close(stands)
			<-goOn
		})
		<-stands
		for r.m.Do(func() {}) == nil {
		}
		r.f.disk.Unlock()
		// All that has come is written, and the listing is made, while the loop takes nothing.
		r.until(func() bool {
			u.mu.Lock()
			defer u.mu.Unlock()
			return u.waiting == 0 && r.f.waiting == 0
		})
		close(goOn)
		for range 2 {
			select {
			case got := <-done:
				if got.status != 200 && got.status != 201 {
					t.Errorf("%+v", got)
				}
			case <-time.After(patience):
				t.Fatal("a request has no reply")
			}
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// A client may send single bytes.
func TestSingleBytes(t *testing.T) {
	u := &upload{}
	for range ahead {
		u.append([]byte{1})
	}
	room := 0
	for _, b := range u.blocks {
		room += cap(b)
	}
	if room != ahead || len(u.blocks) != ahead/block {
		t.Errorf("%d bytes in %d blocks", room, len(u.blocks))
	}
}

// A slow upload has all the time that the server gives: the wait for it is no wait for a reply.
func TestSlowUpload(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := serve(t, p, Options{}, http.Options{ReplyTimeout: time.Second, MinRate: -1})
		u := r.begin("/a", 40, 0)
		for range 30 { // longer than the timeout in all
			time.Sleep(50 * time.Millisecond)
			io.WriteString(u.c, "x")
		}
		u.rest = 10
		u.end(201)
		r.wantFile("a", strings.Repeat("x", 40))
	})
}

// Of several uploads to one name each is whole, and so is what readers see meanwhile.
func TestUploadsToOneName(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		const size = 200_000
		r := serve(t, p, Options{MaxUploads: 8})
		content := func(i int) string { return strings.Repeat(string(rune('a'+i)), size) }
		r.write("a", content(0))
		whole := func(text string) bool { return len(text) == size && text == strings.Repeat(text[:1], size) }

		// A reader that has begun keeps what it reads.
		slow, err := nethttp.DefaultClient.Do(r.request("GET", "/a", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Body.Close()
		var writers, readers sync.WaitGroup
		var stop atomic.Bool
		for i := range 4 {
			writers.Go(func() {
				for j := range 5 {
					r.want(200, "", "PUT", "/a", content(1+i*5+j))
				}
			})
		}
		for range 2 {
			readers.Go(func() {
				for !stop.Load() {
					resp, text := r.ask("GET", "/a", "")
					if resp.StatusCode != 200 || !whole(text) {
						t.Errorf("%d, %d bytes, %.20q", resp.StatusCode, len(text), text)
					}
				}
			})
		}
		writers.Wait()
		stop.Store(true)
		readers.Wait()
		if text, err := io.ReadAll(slow.Body); err != nil || string(text) != content(0) {
			t.Errorf("the slow reader has %d bytes, %.20q, %v", len(text), text, err)
		}
		if _, text := r.ask("GET", "/a", ""); !whole(text) {
			t.Errorf("%d bytes in the end", len(text))
		}
		r.wantNothingLeft()
		if l := r.listing(""); l.Used != size || l.Files != 1 {
			t.Errorf("%+v", l)
		}

		// One of the uploads that replace nothing is the first; the others fail.
		made := make(chan int, 4)
		for range 4 {
			go func() {
				resp, _ := r.ask("PUT", "/new", content(0), "If-None-Match", "*")
				made <- resp.StatusCode
			}()
		}
		n := map[int]int{}
		for range 4 {
			n[<-made]++
		}
		if n[201] != 1 || n[412] != 3 {
			t.Error(n)
		}
	})
}

// An upload of a gigabyte takes no more memory than its buffers.
func TestGigabyte(t *testing.T) {
	size := int64(32 << 20)
	if exhaustive.On() {
		size = 1 << 30
	}
	r := serve(t, 0, Options{MaxBytes: 2 << 30})
	var stop atomic.Bool
	most := make(chan uint64)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	go func() {
		peak := uint64(0)
		for !stop.Load() {
			var now runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
			time.Sleep(5 * time.Millisecond)
		}
		most <- peak
	}()
	req := r.request("PUT", "/big", io.LimitReader(zeros{}, size))
	req.ContentLength = size
	resp, err := nethttp.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != 201 {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	stop.Store(true)
	if grown := int64(<-most) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("%d bytes more on the heap", grown)
	} else {
		t.Logf("%d bytes more on the heap at most", grown)
	}
}
