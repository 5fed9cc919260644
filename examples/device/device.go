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
	"github.com/seed4930a636/mangusta/examples/internal/web"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

//go:embed page
var embedded embed.FS

const (
	maxConns    = 256             // a dashboard has a few pages open; select(2) ends at 1024 descriptors
	maxMessage  = 4 << 10         // bytes of what a page sends
	maxQueue    = 1 << 20         // bytes on their way to a page: minutes of samples
	maxOrders   = 16              // settings on their way from the loop to the sampler
	closing     = 2 * time.Second // for a page to answer that the device goes away
	endPatience = 5 * time.Second
)

// A device is the program: the loop with its listener, and the sampler with its goroutine.
type device struct {
	m       *mgr.Manager
	hub     *broadcast.Hub
	url     string // to open in a browser
	log     *slog.Logger
	ring    *logRing
	page    fs.FS
	upgrade *websocket.Options
	boot    string // tells the pages one run of the program from the next
	host    Host
	orders  chan order

	loop    loopSide
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
	m, err := mgr.New(mgr.Options{Poller: poller, MaxConns: maxConns, Log: log})
	if err != nil {
		return nil, fmt.Errorf("device: %w", err)
	}
	hub := broadcast.NewHub(broadcast.Options{Retain: true}, m)
	d := &device{m: m, hub: hub, log: log, ring: ring, orders: make(chan order, maxOrders),
		boot: strconv.FormatInt(time.Now().UnixNano(), 36), host: readHost(cfg.proc, cfg.sys),
		upgrade: &websocket.Options{MaxMessage: maxMessage, CloseTimeout: closing}}
	if err := d.listen(cfg); err != nil {
		m.Close()
		return nil, fmt.Errorf("device: %w", err)
	}
	log.Info("device dashboard", "url", d.url, "poller", m.Poller(), "state", cfg.state)

	state, err := loadState(cfg.state)
	if err != nil {
		log.Warn("settings are back to their defaults", "why", err)
	}
	d.loop.interval = state.IntervalMS
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
	l, err := http.Listen(d.m, url, d.handle, http.Options{
		MaxBody: 1, // nothing here takes a body
		Limits:  conn.Limits{Send: maxQueue},
	})
	if err != nil {
		return err
	}
	d.url = url
	if at := l.LocalAddr(); at.IsValid() { // not of a unix socket
		d.url = pageURL(at)
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
	if err != nil && err != ctx.Err() {
		d.m.Close() // the poller has failed: nothing can be sent any more
	} else {
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

// secure are the fields of every reply. The page has no inline script or style and asks no other host for anything, so the
// policy can forbid all of that.
var secure = [...][2]string{
	{"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"Referrer-Policy", "no-referrer"},
	{"Cache-Control", "no-cache"}, // a device that was updated must not be shown with its old page
}

// handle runs on the loop.
func (d *device) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Message:
		d.answer(c, ev)
	case *websocket.Open:
		d.opened(c)
	case *websocket.Message:
		d.said(c, ev.Data)
	case *websocket.Control:
		if ev.Op == websocket.Close {
			d.left(c, ev)
		}
	}
}

func (d *device) answer(c *conn.Conn, m *http.Message) {
	for _, field := range secure {
		if err := http.SetHeader(c, field[0], field[1]); err != nil {
			d.log.Error("a header could not be set", "name", field[0], "why", err)
		}
	}
	if string(m.Path) == "/ws" {
		if err := websocket.Upgrade(c, m, d.upgrade); err != nil {
			d.log.Warn("a WebSocket was refused", "from", c.RemoteAddr(), "why", err)
		}
		return
	}
	if strings.HasPrefix(string(m.Path), web.Prefix) {
		web.Serve(c, m)
		return
	}
	if err := http.ServeFS(c, m, d.page); err != nil {
		d.log.Warn("a file could not be sent", "path", string(m.Path), "why", err)
	}
}
