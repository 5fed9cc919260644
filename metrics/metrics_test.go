package metrics

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	nethttp "net/http"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestWriter(t *testing.T) {
	var w Writer
	w.Gauge("a:b_1", "Back\\slash and\nline.", -1.5)
	w.Counter("c_total", "C.", 1e6, "l", `q"b\`+"\n")
	w.Counter("c_total", "C.", 123456789012, "l", "2", "m", "")
	w.Gauge("nan", "", math.NaN())
	w.Histogram("h", "H.", []float64{.5, 2}, []uint64{1, 0, 3}, 9.25, "l", "x")
	want := `# HELP a:b_1 Back\\slash and\nline.
# TYPE a:b_1 gauge
a:b_1 -1.5
# HELP c_total C.
# TYPE c_total counter
c_total{l="q\"b\\\n"} 1000000
c_total{l="2",m=""} 123456789012
# HELP nan 
# TYPE nan gauge
nan NaN
# HELP h H.
# TYPE h histogram
h_bucket{l="x",le="0.5"} 1
h_bucket{l="x",le="2"} 1
h_bucket{l="x",le="+Inf"} 4
h_sum{l="x"} 9.25
h_count{l="x"} 4
`
	if got := string(w.Bytes()); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestWriterRefusesWhatPrometheusDoesNotRead(t *testing.T) {
	for name, f := range map[string]func(*Writer){
		"empty":      func(w *Writer) { w.Gauge("", "", 0) },
		"digit":      func(w *Writer) { w.Gauge("1a", "", 0) },
		"dash":       func(w *Writer) { w.Gauge("a-b", "", 0) },
		"colon":      func(w *Writer) { w.Gauge("a", "", 0, "l:m", "x") },
		"half label": func(w *Writer) { w.Gauge("a", "", 0, "l") },
		"counts":     func(w *Writer) { w.Histogram("a", "", []float64{1}, []uint64{1}, 0) },
	} {
		func() {
			defer func() {
				if !strings.HasPrefix(fmt.Sprint(recover()), "metrics: ") {
					t.Error(name, ": no panic")
				}
			}()
			f(new(Writer))
		}()
	}
}

// serve runs a loop of each poller with a Mux that the requests are counted around.
func serve(t *testing.T, f func(t *testing.T, m *mgr.Manager, addr string)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			m, err := mgr.New(mgr.Options{Poller: p})
			if err != nil {
				t.Fatal(err)
			}
			requests := NewRequests()
			x := http.NewMux()
			x.MustHandle("GET /metrics", Handler(Process, Manager(m, "loop", "0"), requests.Write))
			x.MustHandle("GET /healthz", Health(m))
			x.MustHandle("GET /five", func(c *conn.Conn, _ *http.Message) { http.Reply(c, 200, "", "12345") })
			l, err := http.Listen(m, "http://127.0.0.1:0", requests.Count(x.Serve))
			if err != nil {
				t.Fatal(err)
			}
			addr := l.LocalAddr().String()
			ran := make(chan error, 1)
			go func() { ran <- m.Run(context.Background()) }()
			f(t, m, addr)
			m.Close()
			if err := <-ran; err != nil {
				t.Error(err)
			}
		})
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := nethttp.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestRequestsAndManager(t *testing.T) {
	serve(t, func(t *testing.T, _ *mgr.Manager, addr string) {
		for range 3 {
			get(t, "http://"+addr+"/five")
		}
		get(t, "http://"+addr+"/none")
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "bad\r\n\r\n")
		io.ReadAll(c)
		_, text := get(t, "http://"+addr+"/metrics")
		for _, want := range []string{
			"mangusta_http_requests_running 1\n", `mangusta_http_requests_total{status="2xx"} 3`, `mangusta_http_requests_total{status="4xx"} 1`,
			"mangusta_http_bad_requests_total 1\n", "mangusta_http_content_bytes_total 29\n", "mangusta_http_request_seconds_count 4\n",
			`mangusta_http_request_seconds_bucket{le="+Inf"} 4`, `mangusta_accepts_total{loop="0"} 2`,
			`mangusta_closed_total{loop="0",reason="protocol_error"} `, "# TYPE mangusta_loop_turns_total counter\n", "\ngo_goroutines ",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	})
}

// A health check over a connection that is kept alive sees the drain; so does one that comes while
// a reply holds Shutdown up. With room for one connection, a second makes the first go, and with a
// share of one it is turned away.
func TestCountersOfCrowdedManagers(t *testing.T) {
	for want, o := range map[string]mgr.Options{"made_room": {MaxConns: 1}, "refused_by_address": {MaxConnsPerAddr: 1}} {
		m, err := mgr.New(o)
		if err != nil {
			t.Fatal(err)
		}
		l, err := http.Listen(m, "http://127.0.0.1:0", http.NewMux().Serve)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			c, err := net.Dial("tcp", l.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		for s := m.Stats(); s.MadeRoom+s.Crowded == 0; s = m.Stats() {
			if err := m.Poll(-1); err != nil {
				t.Fatal(err)
			}
		}
		var w Writer
		Manager(m)(&w)
		if !strings.Contains(string(w.Bytes()), "\nmangusta_"+want+"_total 1\n") {
			t.Errorf("no %s in\n%s", want, w.Bytes())
		}
		m.Close()
	}
}

// Lost datagrams are seen from outside.
func TestCountersOfDatagrams(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	c, err := m.Listen("udp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {}, mgr.ListenOptions{
		Limits: conn.Limits{Send: 100}, Socket: conn.SocketOptions{DatagramSize: 4}})
	if err != nil {
		t.Fatal(err)
	}
	to := conn.PeerOf(c.LocalAddr())
	c.SendTo([]byte("four"), to)
	c.SendTo([]byte("longer than the limit lets another one be "+strings.Repeat("x", 100)), to)
	for c.SendTo([]byte("dropped"), to) == nil {
	}
	for m.Stats().DatagramsIn < 2 {
		if err := m.Poll(-1); err != nil {
			t.Fatal(err)
		}
	}
	var w Writer
	Manager(m)(&w)
	for _, want := range []string{"received_total 2", "sent_total 2", "dropped_total 1", "missed_total 0", "cut_total 1"} {
		if !strings.Contains(string(w.Bytes()), "\nmangusta_datagrams_"+want+"\n") {
			t.Errorf("no %s in\n%s", want, w.Bytes())
		}
	}
}

func TestHealth(t *testing.T) {
	serve(t, func(t *testing.T, m *mgr.Manager, addr string) {
		if status, body := get(t, "http://"+addr+"/healthz"); status != 200 || body != "ok\n" {
			t.Error(status, body)
		}
		m.BeginDrain()
		if status, body := get(t, "http://"+addr+"/healthz"); status != 503 || body != "draining\n" {
			t.Error(status, body)
		}
		if status, _ := get(t, "http://"+addr+"/five"); status != 200 {
			t.Error("a manager that drains still serves: ", status)
		}
		if err := m.Shutdown(context.Background()); err != nil || !m.Draining() {
			t.Error(err, m.Draining())
		}
	})
}

func TestShutdownIsADrain(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Draining() {
		t.Error("a new manager drains")
	}
	var during bool
	m.Do(func() {
		m.Shutdown(context.Background())
		during = m.Draining()
	})
	m.Run(context.Background())
	if !during {
		t.Error("Draining is false after Shutdown has been called")
	}
}
