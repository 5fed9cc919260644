package broadcast

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/origin"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// A Door connects clients to a hub over HTTP: mangusta.js, Dial, and any other client that speaks
// the protocol of docs/browser.md. Serve is the handler of one path:
//
//	hub := broadcast.NewHub(broadcast.Options{Encode: broadcast.Framed, History: broadcast.History{Count: 100}}, m)
//	door := broadcast.NewDoor(hub)
//	x := http.NewMux()
//	x.MustHandle("/hub", door.Serve)
//	x.MustHandle("GET /mangusta.js", broadcast.Script)
//
// A request there is a WebSocket, on which the client subscribes, unsubscribes and publishes; or,
// without Upgrade, a stream of server-sent events for the patterns of its query; or a POST, whose
// body is published. A WebSocket may have patterns in its query, too: then it is told messages and
// what it missed, and nothing else before it sends something. Clients are always told what they
// missed.
//
// The hub's Options.Encode must be Framed or JSON, and its EncodeEvent and EncodeMissed those that
// it has by default. A Door that is set up does not change, so several loops may use it.
type Door struct {
	hub  *Hub
	opts DoorOptions
}

// DoorOptions are the settings of a Door. The zero value works.
type DoorOptions struct {
	// WebSocket are the options of the WebSockets. A message that they take has 64 KiB at most
	// where MaxMessage is 0. Pages of its Origins may publish with POST, too.
	WebSocket websocket.Options

	// Rights are what every client may do, where Authorize is nil.
	Rights Rights

	// Authorize, if not nil, returns what a client with this token may do. It is asked for each
	// request, with the token of Authorization: Bearer, or of access_token in the query, or with ""
	// if there is none: r may have a cookie. An error refuses the request with 401; but a WebSocket
	// without a token may send one, in its first message. It is asked again, with r nil, for a
	// token that comes as a message. It runs on the loop, and must not wait. r is valid until it
	// returns.
	Authorize func(r *http.Request, token string) (Rights, error)

	// MaxPatterns bounds the patterns of one connection; 32 when 0, MaxPatterns at most.
	MaxPatterns int

	// TokenTimeout is how long a WebSocket may take to send its token; 10 s when 0.
	TokenTimeout time.Duration

	// AliveInterval is how often a stream of events is sent one of the type "live", by which a page
	// notices that the link is dead; 20 s when 0.
	AliveInterval time.Duration

	// Refused, if not nil, is called with each request that was refused, and the reason. It is for
	// a log, since a page cannot tell its user. r is valid until it returns.
	Refused func(c *conn.Conn, r *http.Request, why error)

	// Events, if not nil, gets the events of the Door's WebSockets that the Door does not need:
	// *websocket.Control and those of package conn. The Door is the handler of these connections.
	Events conn.Handler
}

// Rights are what a client of a Door may do. The zero value may subscribe to every pattern, and
// publishes nothing.
type Rights struct {
	Subscribe func(pattern string) bool // nil allows every pattern
	Publish   func(topic string) bool   // nil allows no topic

	// Until is when the rights end, by the clock of the system: the connection ends then, unless
	// the client has sent another token. The zero value is never. If the clock is set, what has
	// ended by it ends within a minute; a WebSocket of a Door with its next message. A time with a
	// monotonic reading, such as time.Now().Add, does not depend on the setting of the clock.
	Until time.Time
}

// CloseToken is the Close code of a WebSocket whose token is refused or has expired.
const CloseToken = websocket.Code(4401)

// NewDoor makes a Door to h.
func NewDoor(h *Hub, opts ...DoorOptions) *Door {
	d := &Door{hub: h}
	if len(opts) > 0 {
		d.opts = opts[0]
	}
	setDefault(&d.opts.MaxPatterns, 32)
	d.opts.MaxPatterns = min(d.opts.MaxPatterns, MaxPatterns)
	setDefault(&d.opts.WebSocket.MaxMessage, 64<<10)
	if d.opts.TokenTimeout == 0 {
		d.opts.TokenTimeout = 10 * time.Second
	}
	if d.opts.AliveInterval == 0 {
		d.opts.AliveInterval = 20 * time.Second
	}
	return d
}

// Serve replies to a request. A connection that is on none of the hub's managers gets 500.
func (d *Door) Serve(c *conn.Conn, m *http.Message) {
	if _, err := d.hub.loopOf(c); err != nil {
		d.refuse(c, &m.Request, 500, err)
		return
	}
	switch method := string(m.Method); {
	case method == "POST":
		d.servePublish(c, m)
	case method != "GET" && method != "HEAD":
		http.SetHeader(c, "Allow", "GET, HEAD, POST")
		http.Error(c, 405)
	case m.HasToken("Upgrade", "websocket"):
		d.serveWebSocket(c, m)
	default:
		d.serveEvents(c, m)
	}
}

// authorize returns what the client that sent r may do.
func (d *Door) authorize(r *http.Request) (Rights, error) {
	if d.opts.Authorize == nil {
		return d.opts.Rights, nil
	}
	return d.valid(d.opts.Authorize(r, tokenOf(r)))
}

// valid makes an error of rights that are over.
func (d *Door) valid(r Rights, err error) (Rights, error) {
	if err == nil && r.expired(d.hub.wall()) {
		err = errExpired
	}
	return r, err
}

var errExpired = errors.New("the token has expired")

func (r *Rights) expired(now time.Time) bool { return !r.Until.IsZero() && r.Until.Sub(now) <= 0 }

func (r *Rights) mayPublish(topic string) bool { return r.Publish != nil && r.Publish(topic) }

func (r *Rights) maySubscribe(pattern string) bool { return r.Subscribe == nil || r.Subscribe(pattern) }

// tokenOf returns the token of a request: in Authorization (RFC 6750 §2.1), or, since a page cannot
// set that for a WebSocket or an EventSource, in the query (§2.3).
func tokenOf(r *http.Request) string {
	if c := r.Credentials(); c.Scheme == http.AuthBearer {
		return string(c.Token)
	}
	token, _ := r.QueryVar("access_token")
	return token
}

// refuse replies with an error that says why.
func (d *Door) refuse(c *conn.Conn, r *http.Request, status int, why error) {
	d.tellRefused(c, r, why)
	http.SetHeader(c, "Cache-Control", "no-store")
	if status == 401 {
		http.SetHeader(c, "WWW-Authenticate", "Bearer") // RFC 6750 §3
	}
	http.ReplyBytes(c, status, "application/json", append(appendQuoted([]byte(`{"error":`), why.Error()), '}'))
}

func (d *Door) tellRefused(c *conn.Conn, r *http.Request, why error) {
	if d.opts.Refused != nil {
		d.opts.Refused(c, r, why)
	}
}

// servePublish publishes the body of a POST to the topic of its query. It is for clients without a
// WebSocket.
func (d *Door) servePublish(c *conn.Conn, m *http.Message) {
	if !d.ownPage(c, &m.Request) {
		d.refuse(c, &m.Request, 403, errForeign)
		return
	}
	rights, err := d.authorize(&m.Request)
	if err != nil {
		d.refuse(c, &m.Request, 401, err)
		return
	}
	topic, _ := m.QueryVar("topic")
	if !ValidTopic(topic) {
		d.refuse(c, &m.Request, 400, fmt.Errorf("%.100q is no topic", topic))
		return
	}
	if !rights.mayPublish(topic) {
		d.refuse(c, &m.Request, 403, fmt.Errorf("this client may not publish to %.100q", topic))
		return
	}
	later := m.Later()
	d.publish(mgr.Of(c), topic, m.Body, func(receipt Receipt, err error) {
		later.With(func(c *conn.Conn) { d.published(c, &later.Message().Request, receipt, err) })
	})
}

// published replies to a POST.
func (d *Door) published(c *conn.Conn, r *http.Request, receipt Receipt, err error) {
	switch {
	case errors.Is(err, ErrFull):
		http.SetHeader(c, "Retry-After", "1")
		d.refuse(c, r, 429, err)
	case err != nil:
		http.SetHeader(c, "Retry-After", "5")
		d.refuse(c, r, 503, err)
	default:
		http.SetHeader(c, "Cache-Control", "no-store")
		http.ReplyBytes(c, 200, "application/json", append(appendReceipt([]byte("{"), receipt), '}'))
	}
}

var errForeign = errors.New("a page of another origin may not publish")

// ownPage reports whether r comes from a page of this server or of one of the Origins, or from no
// page at all.
func (d *Door) ownPage(c *conn.Conn, r *http.Request) bool {
	from := r.Header("Origin")
	if from == nil {
		site := string(r.Header("Sec-Fetch-Site"))
		return site == "" || site == "same-origin" || site == "none"
	}
	if origin.Same(from, r.Host, http.IsHTTPS(c)) {
		return true
	}
	for _, p := range d.opts.WebSocket.Origins {
		if origin.Match(p, from) {
			return true
		}
	}
	return false
}

// serveWebSocket makes a WebSocket of the connection.
func (d *Door) serveWebSocket(c *conn.Conn, m *http.Message) {
	rights, err := d.authorize(&m.Request)
	token := tokenOf(&m.Request)
	if err != nil && token != "" {
		d.refuse(c, &m.Request, 401, err)
		return
	}
	// A client that knows no messages of the Door has its patterns in the query.
	q, ok := d.query(c, m, &rights)
	if !ok {
		return
	}
	if err != nil && len(q.wishes) > 0 {
		d.refuse(c, &m.Request, 401, err)
		return
	}
	if err := websocket.Upgrade(c, m, &d.opts.WebSocket); err != nil {
		d.tellRefused(c, &m.Request, err)
		return
	}
	l, _ := d.hub.loopOf(c)
	g := &guest{d: d, c: c, l: l, token: token}
	c.SetHandler(g.event)
	if err != nil {
		g.awaitToken()
		return
	}
	g.enter(rights)
	g.interval = q.interval
	d.subscribe(c, &q)
}
