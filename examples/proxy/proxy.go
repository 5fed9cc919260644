package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// A proxy passes requests on. All of it belongs to the loop of m.
type proxy struct {
	m      *mgr.Manager
	cfg    config
	via    string // its name
	client *http.Client
	rooms  [][]byte // for bodies
	upstreams
	figures
}

func newProxy(m *mgr.Manager, cfg config) (*proxy, error) {
	p := &proxy{m: m, cfg: cfg, via: cfg.via}
	if p.via == "" {
		p.via = fmt.Sprintf("mangusta-%08x", rand.Uint32())
	}
	if strings.ContainsAny(p.via, " ,()\r\n") {
		return nil, fmt.Errorf("proxy: the name %q has bytes that Via cannot have", p.via)
	}
	var err error
	if p.upstreams, err = newUpstreams(cfg.to, cfg.maxFails, cfg.failTime); err != nil {
		return nil, err
	}
	p.client, err = http.NewClient(m, http.ClientOptions{
		TLS:              cfg.tls,
		ConnectTimeout:   cfg.connectTimeout,
		FirstByteTimeout: cfg.timeout,
		StallTimeout:     cfg.stall,
		Timeout:          -1, // a long download is no error
		KeepAlive:        cfg.keepAlive,
		MaxConns:         cfg.maxConns * len(cfg.to),
		MaxConnsPerHost:  cfg.maxConns,
		MaxQueue:         cfg.maxWaiting,
	})
	return p, err
}

// serverOptions are the options of the listener.
func (p *proxy) serverOptions() http.Options {
	return http.Options{
		Hosts:        p.cfg.web.Hosts,
		ReplyTimeout: -1, // the client has timeouts
	}
}

// handle gets the events of the clients' connections. Conn.Data is the passage of the request that
// is under way.
func (p *proxy) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Head:
		p.begin(c, ev)
	case *http.Chunk:
		if x := passageOf(c); x != nil {
			x.requestBody(ev)
		}
	case *conn.Write:
		if x := passageOf(c); x != nil {
			x.wrote()
		}
	case *conn.EOF:
		if x := passageOf(c); x != nil && !p.cfg.halfClosed {
			c.Close()
		}
	}
}

func passageOf(c *conn.Conn) *passage {
	x, _ := c.Data.(*passage)
	return x
}

// begin passes a request on, or answers it here.
func (p *proxy) begin(c *conn.Conn, h *http.Head) {
	p.figures.requests++
	switch {
	case h.Method == "TRACE": // RFC 9110 9.3.8: its echo could give away what the client keeps secret
		http.SetHeader(c, "Allow", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS")
		http.Error(c, 405)
		return
	case p.hasPassed(&h.Request):
		http.Error(c, 508)
		return
	}
	hops, limited := maxForwards(h)
	if limited && hops == 0 {
		// RFC 9110 7.6.2: it is meant for this proxy.
		http.SetHeader(c, "Allow", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS")
		http.ReplyBytes(c, 200, "", nil)
		return
	}
	x := &passage{p: p, c: c, later: h.Later(), idempotent: isIdempotent(h.Method), head: h.Method == "HEAD", minor: h.Minor}
	x.body.x = x
	p.request(&x.r, c, h)
	if limited {
		x.r.AddHeader("Max-Forwards", strconv.Itoa(hops-1))
	}
	if h.Length != 0 {
		x.r.Source, x.r.Length = &x.body, max(h.Length, 0)
		x.r.Expect = http.HoldContinue(c)
		http.StreamBody(c)
	}
	c.Data = x
	x.later.OnEnd(x.ended)
	x.send()
}

// isIdempotent reports whether a request may be repeated although a server may have acted on it
// (RFC 9110 9.2.2).
func isIdempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "PUT", "DELETE", "OPTIONS":
		return true
	}
	return false
}

// maxForwards returns the value of Max-Forwards of an OPTIONS request (RFC 9110 7.6.2).
func maxForwards(h *http.Head) (n int, limited bool) {
	v := h.Header("Max-Forwards")
	if h.Method != "OPTIONS" || v == nil {
		return 0, false
	}
	n, err := strconv.Atoi(string(v))
	return n, err == nil && n >= 0
}
