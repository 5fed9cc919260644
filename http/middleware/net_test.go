package middleware

import (
	"bytes"
	"context"
	nethttp "net/http"
	"net/netip"
	"regexp"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// The whole chain over sockets, with both pollers.
func TestNetChain(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			m, err := mgr.New(mgr.Options{Poller: p})
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer // read when the loop has ended
			x := http.NewMux()
			x.MustHandle("GET /", okHandler)
			x.MustHandle("GET /boom", func(*conn.Conn, *http.Message) { panic("boom") })
			x.Use(AccessLog(&log, nil), Recover(nil), SecurityHeaders(Headers{}), RateLimit(Rate{PerSecond: 1e-3, Burst: 4}),
				AllowDeny(Networks{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}), CSRF())
			l, err := http.Listen(m, "http://127.0.0.1:0", x.Serve)
			if err != nil {
				t.Fatal(err)
			}
			url := "http://" + l.LocalAddr().String()
			ran := make(chan error, 1)
			go func() { ran <- m.Run(context.Background()) }()
			tr := new(nethttp.Transport)
			client := &nethttp.Client{Transport: tr}
			for _, tt := range []struct {
				method, path string
				status       int
			}{{"GET", "/", 200}, {"GET", "/boom", 500}, {"GET", "/", 200}, {"POST", "/", 405}, {"GET", "/", 429}} {
				req, _ := nethttp.NewRequest(tt.method, url+tt.path, nil)
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != tt.status || resp.Header.Get("X-Frame-Options") != "DENY" {
					t.Errorf("%s %s: %d %v", tt.method, tt.path, resp.StatusCode, resp.Header)
				}
			}
			tr.CloseIdleConnections()
			m.Close()
			if err := <-ran; err != nil {
				t.Error(err)
			}
			want := regexp.MustCompile(`(?s)^127.0.0.1 .* 200 2\n.*/boom.* 500 26\n.* 200 2\n.*POST.* 405 23\n.* 429 22\n$`)
			if !want.Match(log.Bytes()) {
				t.Errorf("%s", log.Bytes())
			}
		})
	}
}
