// Command product is the firmware of a thermostat: the packages of module device, joined, and a page
// for them. Its heater, its sensors and its LED are simulated, and so is its way into the network: the
// settings DHCP, address, SSID and password change nothing on the machine. All else is as on a device
// that one would ship.
//
//	product [-listen ADDR:PORT] [-data DIR] [-tls [-http ADDR:PORT]] [-poller auto|epoll|select]
//		[-slots DIR -key MINISIGN-KEY [-pull URL]] [-via EMULATOR]
//	product audit [-json] [the same options]
//
// On a loopback address it speaks plain HTTP, and without an owner callers there can read, but
// change nothing. Any other address needs -tls: the program makes a certificate at its first start.
// The person who enters the code that the program prints becomes the owner.
//
// With -slots it is started from one of the slots in DIR, and takes updates that are signed with
// the key: package update says how the directory has to look. -key would be a constant in a
// product. With -pull it fetches them by itself.
//
// The command audit lists open ports, users, tokens, certificates, keys and versions, and fails on
// unsafe settings.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/cert"
	"github.com/seed4930a636/mangusta/device/files"
	"github.com/seed4930a636/mangusta/device/logs"
	"github.com/seed4930a636/mangusta/device/owner"
	"github.com/seed4930a636/mangusta/device/update"
	"github.com/seed4930a636/mangusta/dns"
	"github.com/seed4930a636/mangusta/examples/internal/program"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/gzip"
	"github.com/seed4930a636/mangusta/http/middleware"
	"github.com/seed4930a636/mangusta/metrics"
	"github.com/seed4930a636/mangusta/mgr"
)

// board is the name that an update has to have.
const board = "thermostat"

// config is the command line.
type config struct {
	listen, http, data, poller, slots, key, pull, via string

	tls bool
}

// flags declares the command line.
func (cfg *config) flags(f *flag.FlagSet) {
	f.StringVar(&cfg.listen, "listen", "127.0.0.1:8080", "`address` and port")
	f.StringVar(&cfg.http, "http", "", "`address` and port whose requests are redirected to HTTPS")
	f.StringVar(&cfg.data, "data", "product-data", "`directory` of settings, users and certificate")
	f.BoolVar(&cfg.tls, "tls", false, "speak HTTPS, with a certificate that is made at the first start")
	f.StringVar(&cfg.poller, "poller", "auto", "auto, epoll or select")
	f.StringVar(&cfg.slots, "slots", "", "`directory` with the slots of updates")
	f.StringVar(&cfg.key, "key", "", "public `key` of minisign that updates are signed with")
	f.StringVar(&cfg.via, "via", "", "`program` that this one runs with, for its restarts: an emulator")
	f.StringVar(&cfg.pull, "pull", "", "`URL` of the manifest of updates, which is looked at once a day")
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "audit" {
		program.Check(runAudit(os.Stdout, os.Args[2:]))
		return
	}
	var cfg config
	cfg.flags(flag.CommandLine)
	flag.Parse()
	kept := logs.New(logs.Options{Next: slog.NewTextHandler(os.Stderr, nil)})
	p := &product{cfg: cfg, logs: kept, log: slog.New(kept.Handler()), began: time.Now()}
	program.Check(p.run())
}

// A product is the program.
type product struct {
	cfg   config
	logs  *logs.Log    // the last lines of log
	files *files.Files // nil if there can be none
	log   *slog.Logger
	began time.Time

	m       *mgr.Manager
	hub     *broadcast.Hub // what pages get live: see hub.go
	dev     *device.Device[Settings]
	owner   *owner.Owner
	updater *update.Updater // nil without slots
	cert    *cert.Keeper    // nil without TLS
	service service

	end    context.CancelFunc
	reboot bool // what follows the end

	forgetting sync.WaitGroup // factory resets that wait for the disk

	reading    *mgr.Timer
	identified *mgr.Timer
}

func (p *product) run() error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -h", flag.Arg(0))
	}
	at, err := netip.ParseAddrPort(p.cfg.listen)
	if err != nil {
		return fmt.Errorf("-listen is an address and a port, such as 127.0.0.1:8080: %w", err)
	}
	if !at.Addr().IsLoopback() && !p.cfg.tls {
		return fmt.Errorf("-listen %s can be reached from other machines, and passwords must not be sent in the clear: add -tls", at)
	}
	if p.cfg.http != "" && !p.cfg.tls {
		return errors.New("-http redirects to HTTPS: add -tls")
	}
	// First of all: this may go on as the program in the other slot.
	if p.cfg.slots != "" {
		p.updater, err = update.Boot(update.Options{Dir: p.cfg.slots, Keys: []string{p.cfg.key}, Board: board, Progress: p.updating, Exec: p.exec, Log: p.log})
		if err != nil { // a device that runs can be mended
			p.log.Error("this program takes no updates", "why", err)
			p.updater = nil
		}
	}
	if p.service, err = newService(); err != nil {
		return err
	}
	if err := makeDir(p.cfg.data); err != nil {
		return err
	}
	poller, err := mgr.ParsePoller(p.cfg.poller)
	if err != nil {
		return err
	}
	if p.m, err = mgr.New(mgr.Options{Poller: poller, Log: p.log, NeedListener: true, Resolver: dns.New(), Inherit: p.service.sockets}); err != nil {
		return err
	}
	defer p.m.Close()
	l, err := p.listen(at)
	if err != nil {
		return err
	}
	if p.cfg.http != "" {
		if err := p.redirect(l.LocalAddr().Port()); err != nil {
			return err
		}
	}
	ctx, end := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	p.end = end
	p.announce(l.LocalAddr())
	p.watchClock()
	fmt.Printf("listening on %s with %s\n", l.LocalAddr(), p.m.Poller())
	if p.updater != nil {
		// The listener is open, and the settings were read: that is as much as this device can know
		// about its health.
		if err := p.updater.Confirm(); err != nil {
			return err
		}
	}
	p.serving()
	return p.serve(ctx)
}

// makeDir makes the directory of the data, and is done when the disk has it: with the directory, a
// power cut would take all that is kept in it.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil // the directory above it may be another user's
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	above, err := os.Open(filepath.Dir(filepath.Clean(dir)))
	if err != nil {
		return err
	}
	return errors.Join(above.Sync(), above.Close())
}

// listen puts the parts together.
func (p *product) listen(at netip.AddrPort) (*conn.Conn, error) {
	var err error
	audit := func(e device.Entry) {
		p.log.Info("audit", "who", e.Who, "via", e.Via, "what", e.What, "from", e.From, "to", e.To)
	}
	record := func(e device.Entry) { // for the parts other than dev, whose list has these entries too
		audit(e)
		p.dev.Record(e)
	}
	p.owner, err = owner.New(owner.Options{
		File: filepath.Join(p.cfg.data, "users.json"), Audit: record, Log: p.log,
		Code: func(code string) {
			fmt.Printf("This device has no owner. Open its page, and set it up with the code %s\n", code)
		},
	})
	if err != nil {
		return nil, err
	}
	p.hub = newHub(p.m)
	p.dev, err = device.New(p.m, defaults(), device.Options{
		File: filepath.Join(p.cfg.data, "settings.json"), Version: 1, Check: check,
		Who: p.owner.Who("settings"), Opened: p.owner.Opened("settings"), Audit: audit, Log: p.log,
		Hub: p.hub, Topic: topicState,
	})
	if err != nil {
		return nil, err
	}
	p.actions()
	p.readings()

	x := http.NewMux()
	x.Use(middleware.Recover(p.log), middleware.SecurityHeaders(middleware.Headers{}))
	p.owner.Mount(x, "/owner")
	p.dev.Mount(x, "/api")
	p.serveHub(x)
	p.serveFiles(x, record)
	if err := p.serveAbout(x); err != nil {
		return nil, err
	}
	if p.updater != nil {
		p.updating(p.updater.Status())
		p.updater.Mount(x, "/update", p.owner.Allow(device.Viewer, "update"), p.owner.Allow(device.Admin, "update"))
		if err := p.pull(x); err != nil {
			return nil, err
		}
	}
	x.MustHandle("GET /metrics", metrics.Handler(metrics.Process, metrics.Of(p.m), p.dev.Metrics),
		http.Guard(p.owner.Allow(device.Viewer, "metrics")))
	newShell().serve(x)

	url := "http://" + at.String()
	o := http.Options{Compress: gzip.New(gzip.Options{Level: 6}), HostFunc: p.isMyName}
	if p.cfg.tls {
		url = "https://" + at.String()
		if o.TLS, err = p.certificate(x, record); err != nil {
			return nil, err
		}
	}
	return http.Listen(p.m, url, x.Serve, o)
}

// serve runs the loop until ctx is done, shuts down, and starts the program anew after a reboot.
func (p *product) serve(ctx context.Context) error {
	if err := p.m.Run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	p.service.tell.Stopping()
	down, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	if err := p.m.Shutdown(down); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	p.forgetting.Wait()
	if err := p.dev.Flush(down); err != nil {
		return err
	}
	if !p.reboot {
		return nil
	}
	return p.restart()
}
