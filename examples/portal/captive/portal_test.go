package captive

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/examples/portal/wifi"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// rig is a portal on a loop that runs, and a browser.
type rig struct {
	t    *testing.T
	m    *mgr.Manager
	p    *Portal
	fake *wifi.Fake
	addr string
	c    *nethttp.Client
}

func newRig(t *testing.T, p mgr.Poller, network func(*wifi.Fake) wifi.Network, points ...wifi.AccessPoint) *rig {
	t.Helper()
	m, err := mgr.New(mgr.Options{Poller: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := m.Stats().Panics; n != 0 {
			t.Errorf("%d panics", n)
		}
	})
	r := &rig{t: t, m: m, fake: &wifi.Fake{M: m, Points: points, Passphrases: map[string]string{"Home": "correct horse"}}}
	l, err := http.Listen(m, "tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if r.p != nil {
			r.p.Serve(c, ev)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.LocalAddr().String()
	o := Options{URL: "http://" + r.addr + "/", Name: "Box <1>", Network: r.fake}
	if network != nil {
		o.Network = network(r.fake)
	}
	if r.p, err = New(o); err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- m.Run(t.Context()) }()
	r.c = &nethttp.Client{Timeout: 20 * time.Second, CheckRedirect: func(*nethttp.Request, []*nethttp.Request) error { return nethttp.ErrUseLastResponse }}
	t.Cleanup(func() { r.c.CloseIdleConnections(); <-ran; m.Close() })
	return r
}

// do asks for a path at a host. fields are names and values.
func (r *rig) do(method, host, path, body string, fields ...string) (*nethttp.Response, string) {
	r.t.Helper()
	req, err := nethttp.NewRequest(method, "http://"+r.addr+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	if method == "POST" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := r.c.Do(req)
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

// until reloads the page until it has a text.
func (r *rig) until(text string) (page string) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(page, text); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("the page has no %q: %s", text, page)
		}
		_, page = r.do("GET", "", "/", "")
	}
	return page
}

func (r *rig) join(fields ...string) {
	r.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	if resp, _ := r.do("POST", "", "/join", form.Encode()); resp.StatusCode != 303 || resp.Header.Get("Location") != "/" {
		r.t.Errorf("POST /join: %s, %v", resp.Status, resp.Header)
	}
}

// on runs f on the loop.
func (r *rig) on(f func()) {
	done := make(chan bool)
	r.m.Do(func() { f(); close(done) })
	<-done
}

var home = wifi.AccessPoint{SSID: "Home", Signal: -50, Security: wifi.Personal}

func TestEverythingElseLeadsToThePortal(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := newRig(t, p, nil, home)
		for _, u := range []string{
			"connectivitycheck.gstatic.com/generate_204", "www.google.com/gen_204", "captive.apple.com/hotspot-detect.html",
			"www.msftconnecttest.com/connecttest.txt", "www.msftconnecttest.com/redirect", "detectportal.firefox.com/canonical.html",
			"detectportal.firefox.com/success.txt?ipv4", "nmcheck.gnome.org/check_network_status.txt", "example.org/", "example.org:8080/a?b=c", "192.0.2.1/", "[2001:db8::1]/",
			"localhost.evil.example/",
		} {
			host, path, _ := strings.Cut(u, "/")
			for _, method := range []string{"GET", "POST"} {
				resp, _ := r.do(method, host, "/"+path, "")
				if resp.StatusCode != 302 || resp.Header.Get("Location") != "http://"+r.addr+"/" || resp.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s %s: %s, %v", method, u, resp.Status, resp.Header)
				}
			}
		}
		for _, host := range []string{r.addr, strings.ToUpper(r.addr), "127.0.0.1"} {
			if resp, page := r.do("GET", host, "/", ""); resp.StatusCode != 200 || !strings.Contains(page, "<h1>Box &lt;1&gt;</h1>") {
				t.Errorf("%s: %s", host, resp.Status)
			}
		}
		resp, page := r.do("GET", "", "/", "")
		if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'self'") || strings.Contains(page, "<script") || strings.Contains(page, "style=") {
			t.Errorf("CSP %q of %s", csp, page)
		}
		if resp, body := r.do("GET", "", "/style.css", ""); resp.StatusCode != 200 || !strings.Contains(body, "color-scheme") {
			t.Errorf("style: %s", resp.Status)
		}
		if resp, _ := r.do("GET", "", "/nothing", ""); resp.StatusCode != 404 {
			t.Errorf("a path that is not there: %s", resp.Status)
		}
		// A large body does not have to be read.
		if resp, _ := r.do("POST", "example.org", "/upload", strings.Repeat("x", 1<<20), "Expect", "100-continue"); resp.StatusCode != 302 {
			t.Errorf("a large body: %s", resp.Status)
		}
	})
}

func (r *rig) captive() (captive bool, page string) {
	r.t.Helper()
	resp, body := r.do("GET", "", Path, "")
	if resp.Header.Get("Content-Type") != "application/captive+json" || resp.Header.Get("Cache-Control") != "private, no-store" {
		r.t.Errorf("API: %v", resp.Header)
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		r.t.Fatalf("%v: %s", err, body)
	}
	return v["captive"].(bool), v["user-portal-url"].(string)
}

func TestSetUp(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := newRig(t, p, nil, home, wifi.AccessPoint{SSID: "Cafe", Signal: -70}, wifi.AccessPoint{SSID: "Office", Signal: -80, Security: wifi.Unsupported})
		if captive, page := r.captive(); !captive || page != "http://"+r.addr+"/" {
			t.Errorf("captive %v, %q", captive, page)
		}
		page := r.until("Office")
		for _, want := range []string{`value="486f6d65"> <label for="n0">Home 🔒</label> <small>-50 dBm</small>`, `<label for="n1">Cafe</label>`, `value="4f6666696365" disabled>`} {
			if !strings.Contains(page, want) {
				t.Errorf("no %q in %s", want, page)
			}
		}
		r.join("ssid", hex.EncodeToString([]byte("Home")), "passphrase", "wrong horse")
		r.until("The passphrase is wrong.")
		r.join("ssid", hex.EncodeToString([]byte("Home")), "passphrase", "short")
		r.until("A passphrase has 8 to 63 characters.")
		r.join("ssid", hex.EncodeToString([]byte("Office")), "passphrase", "correct horse")
		r.until("This kind of network is not supported.")
		r.join("ssid", hex.EncodeToString([]byte("Gone")), "passphrase", "correct horse")
		r.until("The network is not within reach.")
		r.join("ssid", "xyz")
		r.until("Choose a network.")
		r.join("passphrase", "correct horse")
		r.until("Choose a network.")
		if resp, _ := r.do("POST", "", "/scan", ""); resp.StatusCode != 303 {
			t.Errorf("scan: %s", resp.Status)
		}
		for _, fields := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "http://evil.example"}} {
			if resp, _ := r.do("POST", "", "/join", "ssid=486f6d65&passphrase=correct+horse", fields...); resp.StatusCode != 403 {
				t.Errorf("%v: %s", fields, resp.Status)
			}
		}
		if captive, _ := r.captive(); !captive {
			t.Error("not captive before it has joined")
		}
		r.join("other", "Home", "passphrase", "correct horse")
		if page := r.until("Connected to <b>Home</b>"); strings.Contains(page, "horse") {
			t.Error("the page tells the passphrase")
		}
		if captive, _ := r.captive(); captive {
			t.Error("captive after it has joined")
		}
		for path, p := range probes {
			resp, body := r.do("GET", "any.example", path, "")
			if resp.StatusCode != p.status || body != p.body {
				t.Errorf("%s: %s, %q", path, resp.Status, body)
			}
		}
		if resp, _ := r.do("GET", "any.example", "/else", ""); resp.StatusCode != 302 {
			t.Errorf("another page: %s", resp.Status)
		}
	})
}

// Hosts that clients have no reason to send. The page is given to our own address and name alone, however
// they are written; nothing of another Host gets into the reply.
func TestOddHosts(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := newRig(t, p, nil, home)
		_, port, _ := strings.Cut(r.addr, ":")
		ask := func(method, host string) *nethttp.Response {
			t.Helper()
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprintf(c, "%s / HTTP/1.1\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", method, host)
			resp, err := nethttp.ReadResponse(bufio.NewReader(c), &nethttp.Request{Method: method})
			if err != nil {
				t.Fatalf("%q: %v", host, err)
			}
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatalf("%q: %v", host, err)
			}
			if strings.Contains(string(b), "evil") || strings.Contains(fmt.Sprint(resp.Header), "evil") {
				t.Errorf("%q: %v %s", host, resp.Header, b)
			}
			return resp
		}
		for host, want := range map[string]int{
			"127.0.0.1": 200, "127.0.0.1:80": 200, "127.0.0.1:" + port: 200, "127.0.0.1:1": 200, "[::ffff:127.0.0.1]": 200, "[::ffff:7f00:1]:80": 200,
			"127.0.0.1.": 400, "0177.0.0.1": 400, "127.1": 400, "2130706433": 302, "0x7f000001": 302, "127.0.0.2": 302, "[::1]": 302,
			"[fe80::1%25evil]": 400, "evil.example": 302, "EVIL.example:80": 302, "127.0.0.1.evil.example": 302, "evil_": 302, "": 400,
			"127.0.0.1:evil": 400, "127.0.0.1:99999": 400, "127.0.0.1:": 302, "[::1": 400, "::1": 400, "[127.0.0.1]": 400, "evil b": 400, "evil\x00": 400, "evil@127.0.0.1": 400,
			"evil#127.0.0.1": 400, "evil/127.0.0.1": 400, "127.0.0.1:80:80": 400, "127.0.0.1\r\nHost: evil": 400, strings.Repeat("evil.", 40): 302, strings.Repeat("evil.", 100): 400,
		} {
			for _, method := range []string{"GET", "HEAD"} {
				resp := ask(method, "Host: "+host+"\r\n")
				if resp.StatusCode != want {
					t.Errorf("%s %q: %s, want %d", method, host, resp.Status, want)
				}
				if resp.StatusCode == 302 && resp.Header.Get("Location") != "http://"+r.addr+"/" {
					t.Errorf("%s %q leads to %s", method, host, resp.Header.Get("Location"))
				}
			}
		}
		if resp := ask("GET", ""); resp.StatusCode != 400 { // RFC 9112 §3.2
			t.Errorf("no Host: %s", resp.Status)
		}
	})
}

// A name that is typed in is not that of an open network if it was found protected, and a passphrase
// never goes with an open one.
func TestOpenTwin(t *testing.T) {
	for _, tt := range []struct {
		found wifi.Security
		form  []string
		want  wifi.AccessPoint // the network that is joined
		text  string           // or what the page says
	}{
		{wifi.Personal, []string{"other", "Home"}, wifi.AccessPoint{}, "A passphrase has 8 to 63 characters."},
		{wifi.SAE, []string{"other", "Home", "passphrase", "correct horse"}, wifi.AccessPoint{SSID: "Home", Signal: -50, Security: wifi.SAE}, ""},
		{wifi.Open, []string{"other", "Home", "passphrase", "correct horse"}, wifi.AccessPoint{SSID: "Home", Security: wifi.Personal, Hidden: true}, ""},
		{wifi.Open, []string{"other", "Home"}, wifi.AccessPoint{SSID: "Home", Signal: -50}, ""},
		{wifi.Open, []string{"ssid", "486f6d65", "passphrase", "correct horse"}, wifi.AccessPoint{}, "The network is open, and takes no passphrase"},
		{wifi.Open, []string{"other", "Hid"}, wifi.AccessPoint{SSID: "Hid", Hidden: true}, ""},
	} {
		s := &stuck{}
		r := newRig(t, mgr.Auto, func(*wifi.Fake) wifi.Network { return s })
		r.do("GET", "", "/", "")
		r.on(func() { s.scans[0]([]wifi.AccessPoint{{SSID: "Home", Signal: -50, Security: tt.found}}, nil) })
		r.until(">Home")
		r.join(tt.form...)
		if tt.text != "" {
			r.until(tt.text)
		} else {
			r.until("Joining")
		}
		r.on(func() {
			if s.to != tt.want {
				t.Errorf("%v %q: joins %+v", tt.found, tt.form, s.to)
			}
		})
	}
}

// SSIDs are chosen by whoever is near.
func TestHostileSSIDs(t *testing.T) {
	var points []wifi.AccessPoint
	names := []string{"<script>alert(1)</script>", `"><img src=x onerror=y>`, "a\x00\x1b[31m", "\xff\xfe", "\u202egnp.exe", "&lt;", "'onfocus='x", "\u2028line", "\ufffd ok"}
	for i, n := range names {
		points = append(points, wifi.AccessPoint{SSID: n, Signal: -10 - i})
	}
	r := newRig(t, mgr.Auto, nil, points...)
	page := r.until("&lt;script&gt;")
	for _, bad := range []string{"<script", "<img", "\x00", "\x1b", "\xff", "\u202e", "\u2028", "'onfocus"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, want := range []string{`a\x00\x1b[31m`, `\xff\xfe`, `\xe2\x80\xaegnp.exe`, "&amp;lt;", "\ufffd ok"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	for _, n := range names {
		r.do("POST", "", "/join", "ssid="+hex.EncodeToString([]byte(n)))
		page := r.until("Connected to")
		if strings.Contains(page, "<script") || strings.Contains(page, "<img") {
			t.Errorf("%q: %s", n, page)
		}
		done := make(chan string, 1)
		r.m.Do(func() { done <- r.fake.Joined })
		if got := <-done; got != n {
			t.Errorf("joined %q, want %q", got, n)
		}
	}
}

// stuck never calls back until the test says so.
type stuck struct {
	scans []func([]wifi.AccessPoint, error)
	joins []func(error)
	to    wifi.AccessPoint // of the last join
}

func (s *stuck) Scan(done func([]wifi.AccessPoint, error)) { s.scans = append(s.scans, done) }
func (s *stuck) Join(to wifi.AccessPoint, p string, done func(err error)) {
	s.to, s.joins = to, append(s.joins, done)
}

func TestOneAtATime(t *testing.T) {
	s := &stuck{}
	r := newRig(t, mgr.Auto, func(*wifi.Fake) wifi.Network { return s })
	for range 3 {
		r.do("GET", "", "/", "")
		r.do("POST", "", "/scan", "")
	}
	r.on(func() {
		if len(s.scans) != 1 {
			t.Errorf("%d scans at a time", len(s.scans))
		}
		s.scans[0](nil, errors.New("wifi: no radio"))
	})
	r.until("The scan failed: no radio.")
	for range 3 {
		r.join("other", "x")
	}
	page := r.until("Joining <b>x</b>")
	if !strings.Contains(page, `http-equiv="refresh"`) {
		t.Errorf("it is not loaded again: %s", page)
	}
	r.on(func() {
		if len(s.joins) != 1 {
			t.Errorf("%d joins at a time", len(s.joins))
		}
		s.joins[0](nil)
	})
	r.until("Connected to")
}

func TestNewRefuses(t *testing.T) {
	for _, u := range []string{"", "https://x/", "http://", "http:///", "http://x/y", "http://a b/", "http://a?b/", "ftp://x/", "http://u@x/"} {
		if _, err := New(Options{URL: u}); err == nil {
			t.Errorf("%q", u)
		}
	}
}
