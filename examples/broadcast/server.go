package main

import (
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/examples/internal/web"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/json"
	"github.com/seed4930a636/mangusta/http/middleware"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

//go:embed page
var embedded embed.FS

const (
	maxBody   = 1 << 20
	maxTopics = 10_000 // that are kept track of
)

// options are those of the listener.
var options = http.Options{MaxBody: maxBody, ErrorPage: errorPage}

// errorPage makes the body of the errors that package http answers with, in the form of refuse.
func errorPage(status int) (contentType string, body []byte) {
	return "application/json", fmt.Appendf(nil, `{"error":"%d %s"}`, status, http.StatusText(status))
}

// A server is the program: the hub, what is said of it, and the page. It belongs to the loop.
type server struct {
	cfg     config
	m       *mgr.Manager
	hub     *broadcast.Hub
	page    fs.FS
	upgrade websocket.Options
	began   time.Time

	// console brings the pages the figures. It is a hub of its own, so that they are not among the figures.
	console *broadcast.Hub
}

func newServer(m *mgr.Manager, cfg config) (*server, error) {
	page, err := fs.Sub(embedded, "page")
	if err != nil {
		return nil, err
	}
	s := &server{cfg: cfg, m: m, page: page, began: time.Now(), upgrade: websocket.Options{MaxMessage: 1 << 10}}
	s.hub = broadcast.NewHub(broadcast.Options{
		History:   broadcast.History{Count: cfg.history},
		MaxTopics: maxTopics,
		Queue:     cfg.queue,
		Subscribe: broadcast.SubscribeOptions{
			Policy: policies[cfg.policy],
			// A message takes more memory than its bytes: the smallest ones are bounded by their number.
			Limit:      broadcast.Limit{Bytes: cfg.limit, Messages: max(cfg.limit/64, 16)},
			TellMissed: true,
		},
		Encode: encode,
	}, m)
	s.console = broadcast.NewHub(broadcast.Options{Retain: true,
		Subscribe: broadcast.SubscribeOptions{Policy: broadcast.KeepLatest}}, m)
	m.Every(time.Second, s.tick)
	return s, nil
}

// contentPolicy is for the page, which has no inline script or style and asks no other host for anything.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (s *server) routes() *http.Mux {
	x := http.NewMux()
	x.Use(middleware.SecurityHeaders(middleware.Headers{ContentSecurityPolicy: contentPolicy, ReferrerPolicy: "no-referrer"}))
	x.MustHandle("POST /publish/{topic...}", s.publish,
		middleware.RateLimit(middleware.Rate{PerSecond: s.cfg.rate}),
		middleware.CSRF(), // a page of another site must not publish through the browser of somebody who may
		http.Guard(s.authorized))
	x.MustHandle("GET /ws", s.webSocket)
	x.MustHandle("GET /events", s.events)
	x.MustHandle("GET /stats", s.stats)
	x.MustHandle("GET /live", s.live)
	x.MustHandle("GET /metrics", s.metrics())
	x.MustHandle("GET /{$}", s.file)
	x.MustHandle("GET /{file}", s.file)
	x.MustHandle("GET "+web.Prefix+"{file}", web.Serve)
	x.Events = s.event
	return x
}

func (s *server) file(c *conn.Conn, m *http.Message) {
	http.ServeFS(c, m, s.page, http.FileOptions{CacheControl: "no-cache"})
}

// event gets what is no request.
func (s *server) event(c *conn.Conn, ev conn.Event) {
	if _, ok := ev.(*websocket.Message); ok {
		websocket.CloseWith(c, websocket.CloseUnsupported, "publish with POST /publish/{topic}")
	}
}

// refuse answers with an error that says why.
func refuse(c *conn.Conn, status int, format string, args ...any) {
	json.Reply(c, status, struct {
		Error string `json:"error"`
	}{fmt.Sprintf(format, args...)})
}
