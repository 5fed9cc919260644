package server

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

// documented returns the block of docs/proxy.md for nginx, with the program at addr as the
// upstream.
func documented(t *testing.T, addr string) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/proxy.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```nginx\n(.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatal("docs/proxy.md has no block for nginx")
	}
	return strings.ReplaceAll(string(m[1]), "127.0.0.1:8000", addr)
}

func TestNginxHandsEventsOnAtOnce(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		for name, blocks := range map[string]string{
			"bare":       "server { listen 80; location / { proxy_pass http://" + p.Addr + "; } }",
			"documented": documented(t, p.Addr),
		} {
			t.Run(name, func(t *testing.T) {
				proxy := programtest.Nginx(t, blocks)
				client := http.Client{Timeout: 2 * patience}
				req, _ := http.NewRequest("GET", "http://"+proxy+"/events?topic=a", nil)
				req.Header.Set("Authorization", "Bearer secret")
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				for i := range 3 { // the next is published only when this one has come
					p.publish("a", fmt.Sprintf("%q", fmt.Sprint("event ", i)))
					in := bufio.NewReader(resp.Body)
					for {
						line, err := in.ReadString('\n')
						if err != nil {
							t.Fatal("the event does not come:", err)
						}
						if strings.Contains(line, fmt.Sprint("event ", i)) {
							break
						}
					}
				}
				req.Method = "HEAD"
				head, err := client.Do(req)
				if err != nil || head.StatusCode != 200 {
					t.Errorf("HEAD: %v %v", head, err)
				}
			})
		}
	})
}

func TestNginxWithTheDocumentedFlags(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller, "-host", "app.example", "-trusted-proxy", "127.0.0.1", "-rate", "0.01")
		proxy := programtest.Nginx(t, documented(t, p.Addr))
		dialer := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return net.Dial("tcp", proxy) }}
		c, resp, err := dialer.Dial("ws://app.example/ws?topic=a", http.Header{"Authorization": {"Bearer secret"},
			"Origin": {"http://app.example"}})
		if err != nil {
			t.Fatal(resp, err)
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(2 * patience))
		post := func(host, origin string) int {
			req, _ := http.NewRequest("POST", "http://"+proxy+"/publish/a", strings.NewReader(`"x"`))
			req.Host = host
			req.Header.Set("Authorization", "Bearer secret")
			req.Header.Set("Origin", origin)
			req.Header.Set("X-Forwarded-For", "203.0.113.7") // nginx replaces it
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode
		}
		if got := post("evil.example", "http://evil.example"); got != 421 {
			t.Errorf("another name: %d, want 421", got)
		}
		if got := post("app.example", "http://evil.example"); got != 403 {
			t.Errorf("another origin: %d, want 403", got)
		}
		if got := post("app.example", "http://app.example"); got != 200 {
			t.Errorf("the page itself: %d, want 200", got)
		}
		if _, text, err := c.ReadMessage(); err != nil || !strings.Contains(string(text), `"x"`) {
			t.Errorf("the WebSocket got %s, %v", text, err)
		}
	})
}
