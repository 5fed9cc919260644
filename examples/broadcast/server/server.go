package server

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/examples/internal/web"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/json"
	"github.com/seed4930a636/mangusta/http/middleware"
	"github.com/seed4930a636/mangusta/metrics"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

//go:embed page
var embedded embed.FS

const (
	maxBody       = 1 << 20
	maxHandshakes = 100    // of TLS that one address may begin in a second, if it is none of -trusted-proxy
	maxTopics     = 10_000 // that are kept track of
)

// listenerOptions are those of the listener, but for Hosts.
var listenerOptions = http.Options{MaxBody: maxBody, ErrorPage: errorPage}

// errorPage makes the body of the errors that package http answers with, in the form of refuse.
func errorPage(status int) http.Page {
	return http.Page{ContentType: "application/json",
		Body: fmt.Appendf(nil, `{"error":"%d %s"}`, status, http.StatusText(status))}
}

// A server is the program: the hub, what is said of it, and the page. Its handlers run on several
// loops at once, with -loops: nothing of it changes after newServer but what may be shared.
type server struct {
	cfg      config
	m        mgr.Group
	hub      *broadcast.Hub
	page     fs.FS
	access   access
	began    time.Time
	requests *metrics.Requests
	silence  atomic.Int64 // until which refusals are not logged, in nanoseconds since began

	// console brings the pages the figures. It is a hub of its own, so that they are not among the
	// figures.
	console *broadcast.Hub

	door, live *broadcast.Door // to hub and console
}

func newServer(m mgr.Group, cfg config) (*server, error) {
	page, err := fs.Sub(embedded, "page")
	if err != nil {
		return nil, err
	}
	s := &server{cfg: cfg, m: m, page: page, access: newAccess(cfg.token), began: time.Now(), requests: metrics.NewRequests()}
	s.hub = broadcast.NewHub(broadcast.Options{
		History:   broadcast.History{Count: cfg.history},
		MaxTopics: maxTopics,
		Queue:     cfg.queue,
		Subscribe: broadcast.SubscribeOptions{
			Policy: policies[cfg.policy],
			// A message takes more memory than its bytes: the smallest ones are bounded by their
			// number.
			Limit:      broadcast.Limit{Bytes: cfg.limit, Messages: max(cfg.limit/64, 16)},
			TellMissed: true,
		},
		Encode: broadcast.JSON, // and so are events
		Engine: cfg.more.Engine,
	}, m)
	s.console = broadcast.NewHub(broadcast.Options{
		Encode:    broadcast.JSON,
		Subscribe: broadcast.SubscribeOptions{Policy: broadcast.KeepLatest},
		Presence: func(p broadcast.Presence) {
			if p.Joined {
				s.show() // a page need not wait for the next second
			}
		},
	}, m)
	options := broadcast.DoorOptions{WebSocket: websocket.Options{MaxMessage: 16 << 10, Origins: cfg.web.Origins}, Refused: s.refused}
	s.live = broadcast.NewDoor(s.console, options)
	if cfg.more.Authorize != nil {
		options.Authorize = s.authorize
	}
	s.door = broadcast.NewDoor(s.hub, options)
	m.Managers()[0].Every(time.Second, s.tick)
	return s, nil
}

// contentPolicy is for the page, which has no inline script or style and asks no other host for
// anything.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (s *server) routes() *http.Mux {
	x := http.NewMux()
	x.Use(middleware.SecurityHeaders(middleware.Headers{ContentSecurityPolicy: contentPolicy, ReferrerPolicy: "no-referrer"}))
	csrf := middleware.CSRFOr(s.foreign, s.cfg.web.Origins...) // a page of another site must not publish through the browser of a user who may
	allowed := http.Guard(s.access.guard)
	// The rate counts clients that may publish: strangers that share their address take nothing of
	// it.
	rate := middleware.RateLimit(middleware.Rate{PerSecond: s.cfg.rate, Client: middleware.Behind("", s.cfg.web.Trusted...)})
	publishes, subscribes := allowed, allowed
	if s.cfg.more.Authorize != nil {
		publishes = http.Guard(s.mayPublish)
		subscribes = http.Guard(func(*conn.Conn, *http.Request) bool { return true }) // the Door asks
	}
	x.MustHandle("POST /publish/{topic...}", s.publish, csrf, publishes, rate)
	x.MustHandle("POST /login", s.access.login, csrf, allowed)
	x.MustHandle("GET /login", s.access.standing)
	x.MustHandle("GET /hub", s.door.Serve, subscribes)
	x.MustHandle("GET /ws", s.webSocket, subscribes)
	x.MustHandle("GET /events", s.door.Serve, subscribes)
	x.MustHandle("GET /stats", s.stats, allowed)
	x.MustHandle("GET /live", s.live.Serve, allowed)
	x.MustHandle("GET /metrics", s.metrics, allowed)
	x.MustHandle("GET /healthz", metrics.Health(s.m))
	x.MustHandle("GET /{$}", s.file)
	x.MustHandle("GET /{file}", s.file)
	x.MustHandle("GET "+web.Prefix+"{file}", web.Serve)
	x.MustHandle("GET /mangusta.js", broadcast.Script)
	return x
}

func (s *server) file(c *conn.Conn, m *http.Message) {
	http.ServeFS(c, m, s.page, http.FileOptions{CacheControl: "no-cache"})
}

// webSocket answers GET /ws, for clients that want nothing else.
func (s *server) webSocket(c *conn.Conn, m *http.Message) {
	if m.HasToken("Upgrade", "websocket") {
		s.door.Serve(c, m)
	} else {
		websocket.Upgrade(c, m, nil) // which says what is missing
	}
}

// refused says in the log why a Door has refused a page of another origin, which cannot tell its
// user.
func (s *server) refused(c *conn.Conn, _ *http.Request, why error) {
	var refusal *websocket.HandshakeError
	if errors.As(why, &refusal) && refusal.Status == 403 {
		s.logForeign(c, refusal.Reason)
	}
}

// refuse answers with an error that says why.
func refuse(c *conn.Conn, status int, format string, args ...any) {
	json.Reply(c, status, struct {
		Error string `json:"error"`
	}{fmt.Sprintf(format, args...)})
}
