package server

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seed4930a636/mangusta/examples/internal/program"
	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

func TestMain(m *testing.M) { programtest.Main(m, main) }

// more are figures that a program adds; a test turns them on.
var more = flag.Bool("more", false, "have more figures")

// main is examples/broadcast, with -more.
func main() {
	var o Options
	flags := Register("127.0.0.1:8000")
	flag.Parse()
	if *more {
		o = Options{MoreTitle: "Cluster", More: func() []Figure {
			return []Figure{{Name: "Engine", Value: "a test's"}, {Name: "Lag", Value: "12 messages", Bad: true}}
		}}
	}
	program.Check(flags.Run(o))
}

// served is one run of the example.
type served struct {
	*programtest.Program
	t     *testing.T
	token string
}

// start runs the program on a free port, with a token unless the arguments name one.
func start(t *testing.T, args ...string) *served {
	t.Helper()
	args = append([]string{"-listen", "127.0.0.1:0", "-token", "secret"}, args...)
	return &served{Program: programtest.Start(t, args...), t: t, token: "secret"}
}

func (p *served) url(path string) string { return "http://" + p.Addr + path }

// ask sends a request with a body and returns the answer and its body.
func (p *served) ask(method, path, body string, fields ...string) (*http.Response, string) {
	p.t.Helper()
	req, err := http.NewRequest(method, p.url(path), strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp, string(text)
}

// receipt is the answer to a message.
type receipt struct {
	Topic       string
	Offset      uint64
	Subscribers int
}

func (p *served) publish(topic, body string) (r receipt) {
	p.t.Helper()
	resp, text := p.ask("POST", "/publish/"+topic, body, "Authorization", "Bearer "+p.token)
	if err := json.Unmarshal([]byte(text), &r); err != nil || resp.StatusCode != 200 {
		p.t.Fatalf("publish to %s: %s %s %v", topic, resp.Status, text, err)
	}
	return r
}

// figures asks GET /stats.
func (p *served) figures() (f Figures) {
	p.t.Helper()
	resp, text := p.ask("GET", "/stats", "", "Authorization", "Bearer "+p.token)
	if err := json.Unmarshal([]byte(text), &f); err != nil || resp.StatusCode != 200 {
		p.t.Fatalf("stats: %s %s %v", resp.Status, text, err)
	}
	return f
}

// until waits until ok says so of the figures.
func (p *served) until(what string, ok func(Figures) bool) Figures {
	p.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		f := p.figures()
		if ok(f) {
			return f
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s does not come: %+v", what, f)
		}
	}
}

// message is what a WebSocket gets.
type message struct {
	Topic  string
	Offset uint64
	Data   json.RawMessage
	Missed uint64
	Reset  bool
}

// socket is a gorilla/websocket client.
type socket struct {
	*websocket.Conn
	t *testing.T
}

// dial opens a WebSocket with a query such as "topic=a/%23&since=5".
func (p *served) dial(query string) *socket {
	p.t.Helper()
	c, resp, err := websocket.DefaultDialer.Dial("ws://"+p.Addr+"/ws?"+query, http.Header{"Authorization": {"Bearer " + p.token}})
	if err != nil {
		p.t.Fatal(resp, err)
	}
	p.t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(2 * patience))
	return &socket{c, p.t}
}

func (s *socket) next() (m message) {
	s.t.Helper()
	kind, text, err := s.ReadMessage()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &m); err != nil || kind != websocket.TextMessage {
		s.t.Fatalf("message of kind %d: %s %v", kind, text, err)
	}
	return m
}

// want reads messages and compares topic and data, as in "a/b 1", or "missed 3".
func (s *socket) want(messages ...string) {
	s.t.Helper()
	for _, want := range messages {
		m := s.next()
		got := fmt.Sprintf("%s %s", m.Topic, m.Data)
		if m.Topic == "" {
			got = fmt.Sprintf("missed %d", m.Missed)
		}
		if m.Reset {
			got = "reset"
		}
		if got != want {
			s.t.Fatalf("got %s, want %s", got, want)
		}
	}
}

// curl runs curl and returns what it prints. The test is skipped where there is no curl.
func curl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := curlCommand(t, args...).Output()
	if err != nil {
		t.Fatalf("curl %q: %v %s", args, err, out)
	}
	return string(out)
}

func curlCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("SKIPPED, NOT TESTED: there is no curl here (apt-get install curl)")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, append([]string{"-sSN"}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd
}
