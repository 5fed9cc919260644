package owner

import (
	"fmt"
	"io/fs"
	"log/slog"
	nethttp "net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// A rig is an Owner on a loop that runs, with a clock of the test and cheap digests.
type rig struct {
	t    *testing.T
	o    *Owner
	url  string
	loop *mgr.Manager
	hub  *broadcast.Hub

	mu    sync.Mutex
	code  string
	audit []string
	clock time.Time
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clock
}

func (r *rig) sleep(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = r.clock.Add(d)
}

// options are those of the rig; they can be used for a second Owner, too.
func (r *rig) options() Options {
	return Options{Memory: 64, Passes: 1, Log: slog.New(slog.DiscardHandler), now: r.now,
		Code: func(code string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.code = code
		},
		Audit: func(e device.Entry) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.audit = append(r.audit, e.Who+" "+e.What+": "+e.To)
		}}
}

func start(t *testing.T, p mgr.Poller, change ...func(*Options)) *rig {
	t.Helper()
	return startWith(t, p, http.Options{}, change...)
}

func startWith(t *testing.T, p mgr.Poller, h http.Options, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, clock: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}
	opts := r.options()
	for _, f := range change {
		f(&opts)
	}
	var err error
	if r.o, err = New(opts); err != nil {
		t.Fatal(err)
	}
	loop := looptest.New(t, p, mgr.Options{Queue: 16})
	r.loop = loop
	x := http.NewMux()
	r.o.Mount(x, "/owner")
	mountSettings(t, loop, r.o, x)
	r.mountHub(loop, x)
	who := r.o.Who("settings")
	x.MustHandle("GET /who", func(c *conn.Conn, m *http.Message) {
		w := who(c, &m.Request)
		http.Reply(c, 200, "text/plain", "%s %s", w.Name, w.Role)
	})
	x.MustHandle("POST /update", func(c *conn.Conn, m *http.Message) { http.Reply(c, 200, "text/plain", "ok") },
		http.Guard(r.o.Allow(device.Admin, "update")))
	r.url = "http://" + looptest.Listen(t, loop, "http://127.0.0.1:0", x.Serve, h)
	looptest.Run(t, loop)
	return r
}

// A client has a cookie, or a token.
type client struct {
	r      *rig
	cookie string
	fields []string // names and values, for each request
}

func (r *rig) client(fields ...string) *client { return &client{r: r, fields: fields} }

func (c *client) ask(method, path, body string) (*nethttp.Response, string) {
	c.r.t.Helper()
	fields := slices.Clone(c.fields)
	if body != "" {
		fields = append([]string{"Content-Type", "application/json"}, fields...)
	}
	if c.cookie != "" {
		fields = append([]string{"Cookie", c.cookie}, fields...)
	}
	resp, text := looptest.Ask(c.r.t, nil, method, c.r.url+path, strings.NewReader(body), fields...)
	for _, k := range resp.Cookies() {
		if !k.HttpOnly || k.SameSite != nethttp.SameSiteStrictMode || k.Path != "/" {
			c.r.t.Errorf("the cookie is %s", k)
		}
		if c.cookie = k.Name + "=" + k.Value; k.MaxAge < 0 {
			c.cookie = ""
		}
	}
	return resp, strings.TrimSpace(text)
}

// want is ask, and checks the reply.
func (c *client) want(status int, text, method, path, body string) {
	c.r.t.Helper()
	if resp, got := c.ask(method, path, body); resp.StatusCode != status || text != "*" && got != text {
		c.r.t.Errorf("%s %s %s: %d %s, want %d %s", method, path, body, resp.StatusCode, got, status, text)
	}
}

func says(code, text string) string { return fmt.Sprintf(`{"error":%q,"code":%q}`, text, code) }

const password = "correct horse"

// owned is a rig that ann has set up, and her client.
func owned(t *testing.T, p mgr.Poller, change ...func(*Options)) (*rig, *client) {
	t.Helper()
	r := start(t, p, change...)
	ann := r.client()
	ann.want(200, "{}", "POST", "/owner/setup", r.setup("ann", password))
	return r, ann
}

func (r *rig) setup(name, password string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf(`{"code":%q,"name":%q,"password":%q}`, r.code, name, password)
}

func login(name, password string) string {
	return fmt.Sprintf(`{"name":%q,"password":%q}`, name, password)
}

var far = netip.MustParseAddr("203.0.113.7")

// A disk that fills is full at times.
type fills struct {
	disk.FS
	full atomic.Bool
}

func (f *fills) Create(name string, perm fs.FileMode) (disk.File, error) {
	if f.full.Load() {
		return nil, syscall.ENOSPC
	}
	return f.FS.Create(name, perm)
}

// A failing disk is full.
type failing struct{ disk.FS }

func (failing) Create(string, fs.FileMode) (disk.File, error) { return nil, syscall.ENOSPC }
