// Command proxy is a reverse proxy on one loop: it passes requests on to one server, or to several
// by turns, and their responses back. Server and client of package http share the loop, so nothing
// is handed from one goroutine to another.
//
//	go run ./examples/proxy -to http://127.0.0.1:9001 [-to http://127.0.0.1:9002 …]
//
// Bodies pass as they come, in both directions, with their trailers. Of each body no more than
// -buffer is held, and what the kernels buffer: a slow client makes the server wait, and a slow
// server makes the client wait. A client with Expect: 100-continue is told to send its body when
// the server asks for it. After 101 (Switching Protocols) to one of -upgrade the bytes pass as they
// are.
//
// A server that cannot be reached, breaks the rules or ends without a response is 502, one that
// takes longer than -connect-timeout or -timeout is 504, and when all of -max-conns are taken and
// -max-waiting requests wait already it is 503. If a server ends in the middle of a response, the connection
// to the client is cut, so that the client sees that the response is incomplete. If the client
// goes, the request to the server ends.
//
// A server that has failed -max-fails times in a row gets no request for -fail-time, unless all
// have failed. A request goes to another server if nothing of it was sent; one with an idempotent
// method also if its server has ended without a response. Neither is done once the server has been
// given a piece of the request's body.
//
// Fields that belong to one connection (RFC 9110 7.6.1), and those that Connection names, are not
// passed on. The server is told of the client by X-Forwarded-For, -Host and -Proto and by Forwarded
// (RFC 7239); what the client says in these fields is believed, and added to, only if it comes from
// -trusted-proxy. A request that comes back to this process, by its Via field, is 508.
//
// Requests that can be read in two ways, such as those with both Content-Length and
// Transfer-Encoding, are refused by package http; they reach no server. So are such responses.
//
// With -admin there is a second listener:
//
//	GET /metrics    the figures for Prometheus
//	GET /healthz    200, or 503 when the program is about to end (-drain)
package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/dns"
	"github.com/seed4930a636/mangusta/examples/internal/certs"
	"github.com/seed4930a636/mangusta/examples/internal/program"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/metrics"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// config is what the command line says.
type config struct {
	to         []string
	web        program.Web
	ownHost    bool
	via        string
	upgrades   []string
	buffer     int
	halfClosed bool

	connectTimeout time.Duration
	timeout        time.Duration
	stall          time.Duration
	tunnelIdle     time.Duration
	keepAlive      time.Duration
	maxConns       int
	maxWaiting     int
	maxFails       int
	failTime       time.Duration

	tls conn.ClientTLS // for servers of https://; nil in tests without
}

func (cfg *config) register(f *flag.FlagSet) {
	f.Func("to", "`URL` of a server, http://HOST:PORT or https://HOST:PORT; may be given several times", func(s string) error {
		cfg.to = append(cfg.to, s)
		return nil
	})
	cfg.web.RegisterHosts(f)
	f.BoolVar(&cfg.ownHost, "own-host", false, "tell the server its own name as Host, and not the one that the client has asked for")
	f.StringVar(&cfg.via, "via", "", "`name` of this proxy in Via; default one made up at the start")
	cfg.upgrades = []string{"websocket"}
	f.Func("upgrade", "`protocol` that a client may switch to; may be given several times, default websocket, none is no protocol at all", upgradeFlag(cfg))
	f.IntVar(&cfg.buffer, "buffer", 256<<10, "`bytes` of a body, in one direction, that are held before its sender has to wait")
	f.BoolVar(&cfg.halfClosed, "half-closed", false, "go on with the request of a client that has ended its side of the connection; else it counts as gone")
	f.DurationVar(&cfg.connectTimeout, "connect-timeout", 5*time.Second, "for a server to accept a connection, else 504")
	f.DurationVar(&cfg.timeout, "timeout", 60*time.Second, "for a response to begin after the request was sent, else 504")
	f.DurationVar(&cfg.stall, "stall", 60*time.Second, "without a byte from or to a server, within a body")
	f.DurationVar(&cfg.tunnelIdle, "tunnel-idle", 10*time.Minute, "without a byte after a switch of protocols")
	f.DurationVar(&cfg.keepAlive, "keep-alive", 30*time.Second, "that an idle connection to a server is kept; make it shorter than the server's own")
	f.IntVar(&cfg.maxConns, "max-conns", 256, "`connections` to one server")
	f.IntVar(&cfg.maxWaiting, "max-waiting", 1024, "`requests` that wait for one of them, else 503")
	f.IntVar(&cfg.maxFails, "max-fails", 3, "`failures` in a row after which a server is left out")
	f.DurationVar(&cfg.failTime, "fail-time", 10*time.Second, "that it is left out")
}

// upgradeFlag takes the values of -upgrade: the first one replaces the default.
func upgradeFlag(cfg *config) func(string) error {
	given := false
	return func(s string) error {
		if !given {
			cfg.upgrades, given = nil, true
		}
		if s != "none" {
			cfg.upgrades = append(cfg.upgrades, s)
		}
		return nil
	}
}

func (cfg *config) check() error {
	switch {
	case len(cfg.to) == 0:
		return errors.New("proxy: no server to pass requests on to: -to http://HOST:PORT")
	case cfg.buffer < 1 || cfg.buffer > 4<<20:
		return fmt.Errorf("proxy: a buffer of %d bytes", cfg.buffer)
	case cfg.maxConns < 1 || cfg.maxWaiting < 1:
		return fmt.Errorf("proxy: %d connections to a server, and %d requests that wait", cfg.maxConns, cfg.maxWaiting)
	case cfg.maxFails < 1:
		return fmt.Errorf("proxy: a server that fails %d times", cfg.maxFails)
	case cfg.connectTimeout <= 0 || cfg.timeout <= 0 || cfg.stall <= 0 || cfg.tunnelIdle <= 0 || cfg.keepAlive <= 0 || cfg.failTime <= 0:
		return errors.New("proxy: a time that is not positive")
	}
	return nil
}

func main() {
	flags := program.Register("127.0.0.1:8100")
	var cfg config
	cfg.register(flag.CommandLine)
	admin := flag.String("admin", "", "`address` of a second listener, for /metrics and /healthz")
	perAddr := flag.Int("max-per-address", 1024, "`connections` that one address may have, if it is none of -trusted-proxy; 0 is no limit")
	roots := flag.String("upstream-ca", "", "PEM `file` of who may have issued the certificates of https:// servers; default the system's")
	tls := certs.Register(flag.CommandLine)
	flag.Parse()
	program.Check(cfg.check())

	client := tlsconn.ClientConfig{}
	if *roots != "" {
		client.RootFiles = []string{*roots}
	}
	var err error
	cfg.tls, err = tlsconn.NewClient(client)
	program.Check(err)
	m, err := flags.Manager(mgr.Options{MaxConnsPerAddr: *perAddr, Trusted: cfg.web.Trusted, Resolver: dns.New()})
	program.Check(err)
	p, err := newProxy(m, cfg)
	program.Check(err)
	requests := metrics.NewRequests()
	if *admin != "" {
		program.Check(listenAdmin(m, *admin, p, requests, tls))
	}
	o := p.serverOptions()
	url, err := tls.Listen(flags.URL(), &o, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	program.Check(err)
	l, err := http.Listen(m, url, requests.Count(p.handle), o)
	program.Check(err)
	program.Check(program.Run(m, l))
}

// listenAdmin begins the second listener.
func listenAdmin(m *mgr.Manager, addr string, p *proxy, requests *metrics.Requests, tls *certs.Flags) error {
	x := http.NewMux()
	x.MustHandle("GET /metrics", metrics.Handler(metrics.Process, metrics.Manager(m), requests.Write, p.write, tls.Metrics))
	x.MustHandle("GET /healthz", metrics.Health(m))
	l, err := http.Listen(m, "tcp://"+addr, x.Serve, http.Options{Hosts: p.cfg.web.Hosts})
	if err == nil {
		fmt.Printf("figures at http://%s/metrics\n", l.LocalAddr())
	}
	return err
}
