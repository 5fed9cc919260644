// Command testee is the server that conformance suites and load tools run against.
//
//	GET /plaintext    Hello, World!
//	any /echo         the request's body
//	GET /headers      the request's header fields, one a line
//	GET /status/204   204
//	GET /static/...   the files of -dir
//	GET /ws           WebSocket: echo; a message that begins with B goes to every open WebSocket
//
// With -loops N it has N loops. With -tls-cert and -tls-key it speaks TLS alone. With -client
// ws://HOST:PORT it is the client instead, that a fuzzing server runs its cases against.
package main

import (
	"flag"
	"log/slog"
	"os"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/dns"
	"github.com/seed4930a636/mangusta/examples/internal/certs"
	"github.com/seed4930a636/mangusta/examples/internal/program"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

var hello = []byte("Hello, World!")

type testee struct {
	m   program.Group
	dir *os.Root // nil without -dir
	ws  websocket.Options
}

func (t *testee) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Head:
		// RFC 9110 10.1.1: a client that asks before it sends a body is told at once if the body is
		// not wanted.
		if ev.Length != 0 && ev.HasToken("Expect", "100-continue") {
			t.refuse(c, &ev.Request)
		}
	case *http.Message:
		if !t.refuse(c, &ev.Request) {
			t.request(c, ev)
		}
	case *websocket.Message:
		t.message(c, ev)
	}
}

func (t *testee) request(c *conn.Conn, m *http.Message) {
	switch path := string(m.Path); {
	case path == "/echo":
		http.ReplyBytes(c, 200, "application/octet-stream", m.Body)
	case path == "/plaintext":
		http.ReplyBytes(c, 200, "text/plain", hello)
	case path == "/headers":
		headers(c, m)
	case path == "/status/204":
		http.ReplyBytes(c, 204, "", nil)
	case path == "/ws":
		websocket.Upgrade(c, m, &t.ws)
	default:
		http.ServeDir(c, m, t.dir, http.FileOptions{Prefix: "/static/", Precompressed: true})
	}
}

// methods returns what Allow says of a path, "" for one where there is nothing.
func (t *testee) methods(r *http.Request) string {
	switch path := string(r.Path); {
	case path == "*", path == "/echo":
		return "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS" // and any other but TRACE
	case path == "/ws":
		return "GET, OPTIONS"
	case path == "/plaintext", path == "/headers", path == "/status/204", t.dir != nil && r.Match("/static/#"):
		return "GET, HEAD, OPTIONS"
	}
	return ""
}

// refuse answers what needs no body: OPTIONS, and what gets 404 or 405.
func (t *testee) refuse(c *conn.Conn, r *http.Request) bool {
	allow, echo := t.methods(r), string(r.Path) == "/echo"
	switch {
	case allow == "":
		http.Error(c, 404)
		return true
	case r.Method == "TRACE": // RFC 9110 9.3.8: its echo could give away what the client keeps secret
	case echo, r.Method == "GET", r.Method == "HEAD" && strings.HasPrefix(allow, "GET, HEAD"):
		return false
	}
	http.SetHeader(c, "Allow", allow)
	if r.Method == "OPTIONS" {
		http.ReplyBytes(c, 200, "", nil)
	} else {
		http.Error(c, 405)
	}
	return true
}

func headers(c *conn.Conn, m *http.Message) {
	var b []byte
	for _, f := range m.Headers() {
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, '\n')
	}
	http.ReplyBytes(c, 200, "text/plain", b)
}

func (t *testee) message(c *conn.Conn, msg *websocket.Message) {
	if len(msg.Data) == 0 || msg.Data[0] != 'B' {
		websocket.Send(c, msg.Op, msg.Data)
		return
	}
	frame := websocket.Prepare(msg.Op, msg.Data)
	t.m.Broadcast(func(c *conn.Conn) {
		if websocket.Is(c) {
			websocket.SendPrepared(c, frame)
		}
	})
}

func main() {
	flags := program.RegisterLoops("127.0.0.1:9001")
	dir := flag.String("dir", "", "`directory` whose files /static/ serves")
	maxMessage := flag.Int("max-message", 64<<20, "largest WebSocket message, in `bytes`")
	maxBody := flag.Int64("max-body", 64<<20, "largest request body, in `bytes`")
	takeover := flag.Bool("takeover", false, "compress WebSocket messages with reference to those before")
	client := flag.String("client", "", "run the cases of the fuzzing server at this `URL`, and exit")
	insecure := flag.Bool("insecure", false, "with -client and wss, take any certificate")
	tls := certs.Register(flag.CommandLine)
	flag.Parse()

	m, err := flags.Group(mgr.Options{Resolver: dns.New()}) // -client takes names
	program.Check(err)
	t := &testee{m: m, ws: websocket.Options{MaxMessage: *maxMessage, Origins: []string{"*"},
		Compress: deflate.New(deflate.Options{ServerTakeover: *takeover, ClientTakeover: *takeover})}}
	if *client != "" {
		program.Check(runClient(m.Managers()[0], *client, &t.ws, *insecure))
		return
	}
	if *dir != "" {
		t.dir, err = os.OpenRoot(*dir)
		program.Check(err)
	}
	url, opts := flags.URL(), http.Options{MaxBody: *maxBody, StrictTarget: true}
	url, err = tls.Listen(url, &opts, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	program.Check(err)
	l, err := http.Listen(m, url, t.handle, opts)
	program.Check(err)
	program.Check(program.Run(m, l))
}
