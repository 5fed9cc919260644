package files

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

const patience = time.Minute

// A rig serves the files below dir, which is in a directory with a secret.
type rig struct {
	t    *testing.T
	f    *Files
	m    *mgr.Manager
	dir  string
	addr string

	mu    sync.Mutex
	audit []string
}

const secret = "nobody may see this"

func serve(t *testing.T, p mgr.Poller, o Options, opts ...http.Options) *rig {
	t.Helper()
	return serveIn(t, t.TempDir(), p, o, opts...)
}

func serveIn(t *testing.T, base string, p mgr.Poller, o Options, opts ...http.Options) *rig {
	t.Helper()
	r := &rig{t: t, dir: filepath.Join(base, "files")}
	if err := os.WriteFile(r.outside(), []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Root, o.Log = r.dir, slog.New(slog.DiscardHandler)
	o.Who = func(c *conn.Conn, _ *http.Request) device.Who { return device.Who{Name: "ann", Via: "test"} }
	o.Audit = func(e device.Entry) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.audit = append(r.audit, fmt.Sprintf("%s %s %q %q", e.Who, e.What, e.From, e.To))
	}
	var err error
	if r.f, err = New(o); err != nil {
		t.Fatal(err)
	}
	r.m = looptest.New(t, p, mgr.Options{Queue: 16})
	x := http.NewMux()
	r.f.Mount(x, "/files", looptest.Unless("Nobody"), looptest.Unless("Stranger"))
	r.addr = looptest.Listen(t, r.m, "http://127.0.0.1:0", x.Serve, opts...)
	stop := looptest.Run(t, r.m)
	t.Cleanup(func() {
		stop()
		if err := r.f.Close(); err != nil {
			t.Error(err)
		}
		r.wantSecret()
	})
	return r
}

// outside is the file with the secret.
func (r *rig) outside() string { return filepath.Join(filepath.Dir(r.dir), "secret") }

// wantSecret fails if something outside of the directory has changed.
func (r *rig) wantSecret() {
	r.t.Helper()
	text, err := os.ReadFile(r.outside())
	list, bad := os.ReadDir(filepath.Dir(r.dir))
	for _, e := range list {
		if n := e.Name(); n != "secret" && n != "files" && n != "elsewhere" {
			r.t.Errorf("there is %s outside", n)
		}
	}
	if err != nil || bad != nil || string(text) != secret {
		r.t.Errorf("the secret is %q, %v %v", text, err, bad)
	}
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// write puts a file there as another program would.
func (r *rig) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.recount()
}

// recount has the next request count anew.
func (r *rig) recount() {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	r.f.counted = time.Time{}
}

func (r *rig) request(method, target string, body io.Reader, fields ...string) *nethttp.Request {
	r.t.Helper()
	req, err := nethttp.NewRequest(method, "http://"+r.addr+"/files"+target, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	return req
}

func (r *rig) ask(method, target, body string, fields ...string) (*nethttp.Response, string) {
	r.t.Helper()
	resp, err := nethttp.DefaultClient.Do(r.request(method, target, strings.NewReader(body), fields...))
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, string(b)
}

// want is ask, and checks the status and that the body has text in it.
func (r *rig) want(status int, text, method, target, body string, fields ...string) string {
	r.t.Helper()
	resp, got := r.ask(method, target, body, fields...)
	if resp.StatusCode != status || !strings.Contains(got, text) {
		r.t.Errorf("%s %s: %d %.300s, want %d %s", method, target, resp.StatusCode, got, status, text)
	}
	return got
}

// wantFile checks what the disk has.
func (r *rig) wantFile(name, text string) {
	r.t.Helper()
	if got, err := os.ReadFile(r.path(name)); err != nil || string(got) != text {
		r.t.Errorf("%s: %.100q %v, want %.100q", name, got, err, text)
	}
}

// wantNothingLeft waits until no upload is under way, and checks that none has left anything.
func (r *rig) wantNothingLeft() {
	r.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		list, err := os.ReadDir(r.path(uploads))
		r.f.mu.Lock()
		under, puts, u := r.f.under, len(r.f.puts), r.f.usage
		r.f.mu.Unlock()
		if err == nil && len(list) == 0 && under == 0 && puts == 0 && u.received == 0 && u.coming == 0 {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("%d files of uploads, %d under way, %d connections, %+v, %v", len(list), under, puts, u, err)
		}
	}
}

// until waits for what is looked at with the lock held.
func (r *rig) until(f func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		r.f.mu.Lock()
		ok := f()
		r.f.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(end) {
			r.t.Fatal("it does not come")
		}
	}
}

func (r *rig) listing(dir string) (l Listing) {
	r.t.Helper()
	resp, text := r.ask("GET", dir, "")
	if err := json.Unmarshal([]byte(text), &l); err != nil || resp.StatusCode != 200 {
		r.t.Fatalf("%d %s %v", resp.StatusCode, text, err)
	}
	return l
}

// raw sends a request whose target is as it is, and returns the reply.
func (r *rig) raw(method, target, body string) (status int, text string) {
	r.t.Helper()
	c := r.dial()
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", method, target, len(body), body)
	resp, err := nethttp.ReadResponse(bufio.NewReader(c), &nethttp.Request{Method: method})
	if err != nil {
		r.t.Fatalf("%s %q: %v", method, target, err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	b.ReadFrom(resp.Body)
	return resp.StatusCode, b.String()
}

func (r *rig) dial() net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}
