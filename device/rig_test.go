package device

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// settings are what most tests declare.
type settings struct {
	Name     string        `device:"name,min=1,max=8" help:"How it is called."`
	Interval time.Duration `device:"interval,unit=ms,min=200,max=10000,step=100" group:"Sampling"`
	Mode     string        `device:",enum=auto|on|off"`
	WiFi     struct {
		SSID     string `device:"ssid,max=32,restart"`
		Password string `device:"password,secret,role=admin"`
	} `device:"wifi" group:"Network"`
	Celsius float64 `device:"celsius,unit=°C,readonly"`
	Fan     bool
}

func defaults() settings { return settings{Name: "box", Interval: time.Second, Mode: "auto"} }

const atFirst = `{"name":"box","interval":1000,"mode":"auto","wifi":{"ssid":""},"celsius":0,"fan":false}`

// A rig is a device on a loop that runs.
type rig struct {
	t    *testing.T
	dev  *Device[settings]
	m    *mgr.Manager
	addr string
	log  *lines
}

// lines is a log that tests read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start runs a device. The header Role of a request names the role of its sender; without it the
// sender is an admin.
func start(t *testing.T, poller mgr.Poller, o Options, setup ...func(d *Device[settings])) *rig {
	t.Helper()
	r := &rig{t: t, log: &lines{}}
	m := looptest.New(t, poller)
	o.Log = slog.New(slog.NewTextHandler(r.log, nil))
	if o.Who == nil {
		o.Who = func(_ *conn.Conn, r *http.Request) Who {
			role, ok := ParseRole(string(r.Header("Role")))
			if !ok {
				role = Admin
			}
			return Who{Name: "ann", Role: role, Via: "test"}
		}
	}
	var err error
	if r.dev, err = New(m, defaults(), o); err != nil {
		t.Fatal(err)
	}
	for _, f := range setup {
		f(r.dev)
	}
	x := http.NewMux()
	r.dev.Mount(x, "/api")
	r.m, r.addr = m, looptest.Listen(t, m, "http://127.0.0.1:0", x.Serve)
	looptest.Run(t, m)
	return r
}

// ask sends a request; fields are names and values.
func (r *rig) ask(method, path, body string, fields ...string) (*nethttp.Response, string) {
	r.t.Helper()
	if body != "" {
		fields = append([]string{"Content-Type", "application/json"}, fields...)
	}
	return looptest.Ask(r.t, nil, method, "http://"+r.addr+path, strings.NewReader(body), fields...)
}

// want is ask, and checks the reply.
func (r *rig) want(method, path, body string, status int, text string, fields ...string) {
	r.t.Helper()
	if resp, got := r.ask(method, path, body, fields...); resp.StatusCode != status || got != text {
		r.t.Errorf("%s %s %s: %d %s, want %d %s", method, path, body, resp.StatusCode, got, status, text)
	}
}

// A peer speaks JSON-RPC.
type peer struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

func (r *rig) dial(fields ...string) *peer {
	r.t.Helper()
	header := nethttp.Header{}
	for i := 0; i < len(fields); i += 2 {
		header.Set(fields[i], fields[i+1])
	}
	c, br, _, err := ws.Dialer{Header: ws.HandshakeHeaderHTTP(header)}.Dial(context.Background(), "ws://"+r.addr+"/api/rpc")
	if err != nil {
		r.t.Fatal(err)
	}
	if br == nil {
		br = bufio.NewReader(c)
	}
	r.t.Cleanup(func() { c.Close() })
	return &peer{r.t, c, br}
}

func (p *peer) send(text string) {
	p.t.Helper()
	if err := wsutil.WriteClientText(p.c, []byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) next() string {
	p.t.Helper()
	p.c.SetReadDeadline(time.Now().Add(time.Minute))
	got, err := wsutil.ReadServerText(struct {
		io.Reader
		io.Writer
	}{p.r, p.c})
	if err != nil {
		p.t.Fatal(err)
	}
	return string(got)
}

func (p *peer) want(text string) {
	p.t.Helper()
	if got := p.next(); got != text {
		p.t.Fatalf("%s, want %s", got, text)
	}
}

// merge applies an RFC 7396 merge patch, as a client would.
func merge(to, patch any) any {
	from, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := to.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range from {
		if value == nil {
			delete(object, name)
		} else {
			object[name] = merge(object[name], value)
		}
	}
	return object
}

func parse(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}
