package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	common "github.com/seed4930a636/mangusta/examples/internal/program"
	"github.com/seed4930a636/mangusta/examples/internal/web"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/middleware"
	"github.com/seed4930a636/mangusta/metrics"
	hubmetrics "github.com/seed4930a636/mangusta/metrics/hub"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

//go:embed page
var embedded embed.FS

const (
	maxHandshakes = 20              // of TLS that one address may begin in a second, if it is none of -trusted-proxy
	maxConns      = 256             // a dashboard has a few pages open; select(2) ends at 1024 descriptors
	maxMessage    = 4 << 10         // bytes of what a page sends
	maxQueue      = 1 << 20         // bytes on their way to a page: minutes of samples
	maxOrders     = 16              // settings on their way from the loop to the sampler
	closing       = 2 * time.Second // for a page to answer that the device goes away
	endPatience   = 5 * time.Second
)

// A device is the program: the loop with its listener, and the sampler with its goroutine.
type device struct {
	m       common.Group
	hub     *broadcast.Hub
	url     string // to open in a browser
	log     *slog.Logger
	ring    *logRing
	page    fs.FS
	door    *broadcast.Door
	setting http.Handler
	trusted []netip.Prefix // proxies
	boot    string         // tells the pages one run of the program from the next
	host    Host
	orders  chan order

	requests        *metrics.Requests
	metrics, health func(*conn.Conn, *http.Message)

	shared  shared
	sampler *samplerSide
}

// newDevice listens; run serves.
func newDevice(cfg config, errOut io.Writer) (*device, error) {
	poller, err := mgr.ParsePoller(cfg.poller)
	if err != nil {
		return nil, fmt.Errorf("device: %w", err)
	}
	ring := newLogRing()
	log := slog.New(ring.handler(slog.NewTextHandler(errOut, nil)))
	m, err := common.NewGroup(cfg.loops, mgr.Options{Poller: poller, MaxConns: maxConns, MaxConnsPerAddr: cfg.perAddr,
		Trusted: cfg.web.Trusted, Log: log, NeedListener: true, Resolver: resolver(cfg)})
	if err != nil {
		return nil, fmt.Errorf("device: %w", err)
	}
	d := &device{m: m, trusted: cfg.web.Trusted, log: log, ring: ring, orders: make(chan order, maxOrders),
		boot: strconv.FormatInt(time.Now().UnixNano(), 36), host: readHost(cfg.proc, cfg.sys)}
	// It keeps nothing: hello has what a new page needs, and one that comes back.
	d.hub = broadcast.NewHub(broadcast.Options{Encode: broadcast.JSON, Presence: d.present}, m)
	d.door = broadcast.NewDoor(d.hub, broadcast.DoorOptions{Events: d.handle, Refused: d.refused,
		WebSocket: websocket.Options{MaxMessage: maxMessage, CloseTimeout: closing, Origins: cfg.web.Origins}})
	d.setting = middleware.CSRFOr(d.foreign, cfg.web.Origins...)(d.set)
	d.requests = metrics.NewRequests()
	d.metrics = metrics.Handler(metrics.Process, metrics.Of(m), d.requests.Write, hubmetrics.Source(d.hub), cfg.tls.Metrics)
	d.health = metrics.Health(m)
	if err := d.listen(cfg); err != nil {
		m.Close()
		return nil, fmt.Errorf("device: %w", err)
	}
	log.Info("device dashboard", "url", d.url, "poller", m.Poller(), "state", cfg.state)

	first := m.Managers()[0]
	if err := watchNetwork(first, (&network{d: d, m: first}).changed); err != nil {
		log.Info("changes of the network are not shown", "why", err)
	}
	if len(cfg.ntp) > 0 {
		if err := d.watchClock(first, cfg.ntp); err != nil {
			m.Close()
			return nil, fmt.Errorf("device: %w", err)
		}
	}

	state, err := loadState(cfg.state)
	if err != nil {
		log.Warn("settings are back to their defaults", "why", err)
	}
	d.shared.interval = state.IntervalMS
	d.sampler = &samplerSide{device: d, source: newSampler(cfg.proc, cfg.sys, log), file: cfg.state, state: state}
	return d, nil
}

func (d *device) listen(cfg config) (err error) {
	if d.page, err = fs.Sub(embedded, "page"); err != nil {
		return err
	}
	url := cfg.listen
	if !strings.Contains(url, "://") {
		url = "tcp://" + url
	}
	o := http.Options{
		MaxBody: maxMessage,
		Hosts:   cfg.web.Hosts,
		Limits:  conn.Limits{Send: maxQueue},
	}
	cfg.tls.Bound(maxHandshakes, cfg.web.Trusted)
	if url, err = cfg.tls.Listen(url, &o, d.log); err != nil {
		return err
	}
	l, err := http.Listen(d.m, url, d.requests.Count(d.handle), o)
	if err != nil {
		return err
	}
	d.url = url
	if at := l.LocalAddr(); at.IsValid() { // not of a unix socket
		d.url = pageURL(at)
		if o.TLS != nil {
			d.url = strings.Replace(d.url, "http:", "https:", 1)
		}
		if !at.Addr().IsLoopback() {
			d.log.Warn("everyone who reaches this address can see the figures and change the settings", "address", at)
		}
	}
	return nil
}

// pageURL is what to type into a browser on this machine.
func pageURL(at netip.AddrPort) string {
	if at.Addr().IsUnspecified() {
		at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	}
	return "http://" + at.String() + "/"
}

// run serves until ctx is done, then ends the pages' connections in good order.
func (d *device) run(ctx context.Context) error {
	sampling, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.sampler.run(sampling)
	}()
	err := d.m.Run(ctx)
	switch {
	case errors.Is(err, mgr.ErrNoListener):
		d.end()
	case err != nil && err != ctx.Err():
		d.m.Close() // the poller has failed: nothing can be sent any more
	default:
		err = d.end()
	}
	stop()
	<-ended
	if err != nil {
		return fmt.Errorf("device: %w", err)
	}
	return nil
}

func (d *device) end() error {
	d.log.Info("shutting down")
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	err := d.m.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		d.log.Warn("some pages did not let go and were cut off")
		return nil
	}
	return err
}

// secure are the fields of every reply. The page has no inline script or style and asks no other
// host for anything, so the policy can forbid all of that.
var secure = [...][2]string{
	{"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"Referrer-Policy", "no-referrer"},
	{"Cache-Control", "no-cache"}, // a device that was updated must not be shown with its old page
}

// handle runs on the loop of c; with -loops, on several at once.
func (d *device) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Message:
		d.answer(c, ev)
	case *http.BadRequest:
		if ev.Status == 421 {
			d.log.Warn("a request was refused: -host allows names", "from", d.from(c), "why", ev.Err)
		}
	case *websocket.Open:
		d.opened(c)
	case *websocket.Control:
		if ev.Op == websocket.Close {
			d.left(c, ev)
		}
	}
}

// from names the client of c for the log.
func (d *device) from(c *conn.Conn) string {
	if behind, ok := c.Data.(string); ok {
		return behind + " by " + c.Peer().String()
	}
	return c.Peer().String()
}

func (d *device) answer(c *conn.Conn, m *http.Message) {
	c.Data = nil
	if addr := m.ClientAddr(c, d.trusted, ""); addr != c.RemoteAddr().Addr() {
		c.Data = addr.String() // of a client behind a proxy; "invalid IP" when the proxy does not tell
	}
	for _, field := range secure {
		if err := http.SetHeader(c, field[0], field[1]); err != nil {
			d.log.Error("a header could not be set", "name", field[0], "why", err)
		}
	}
	switch string(m.Path) {
	case "/hub":
		d.door.Serve(c, m)
		return
	case "/interval":
		d.setting(c, m)
		return
	}
	if m.Method == "GET" || m.Method == "HEAD" {
		switch string(m.Path) {
		case "/mangusta.js":
			broadcast.Script(c, m)
			return
		case "/metrics":
			d.metrics(c, m)
			return
		case "/healthz":
			d.health(c, m)
			return
		}
	}
	if strings.HasPrefix(string(m.Path), web.Prefix) {
		web.Serve(c, m)
		return
	}
	if err := http.ServeFS(c, m, d.page); err != nil {
		d.log.Warn("a file could not be sent", "path", string(m.Path), "why", err)
	}
}
