package cert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// Options are the settings of a Keeper. Dir must be set.
type Options struct {
	// Dir is the directory of the files; it is made if need be.
	Dir string

	// Name is what the authority is called by, and the file in which it is downloaded; "device" when
	// empty.
	Name string

	// Hosts returns the names by which the device is called, besides localhost. It is called on any
	// goroutine: at the start, once a minute, and by Check. Strings that are no host name are left
	// out, and so are names without a dot, such as "box": an authority for that name could vouch for
	// all names below it, and .box is a domain of the internet.
	Hosts func() []string

	// Networks are those for whose addresses the authority may vouch. When nil they are loopback,
	// link-local and private networks (RFC 1918, RFC 4193). Addresses of the device outside of them
	// are not in its certificate. An empty list, not nil, is none.
	Networks []netip.Prefix

	// Who tells who uploads and removes a certificate, for Audit.
	Who func(c *conn.Conn, r *http.Request) device.Who
	// Audit is called, on any goroutine, when a certificate was uploaded or removed; the key is not
	// in it.
	Audit func(device.Entry)

	// Log is slog.Default when nil.
	Log *slog.Logger

	// These are replaced by tests.
	disk  disk.FS
	now   func() time.Time
	addrs func() []netip.Addr
}

// A Keeper keeps the certificates of a device. Its methods are safe for concurrent use. Check,
// Upload and Remove wait for the disk, and are not for a loop.
type Keeper struct {
	opts  Options
	timer *time.Timer

	work  sync.Mutex // held by the change that is under way
	stale bool       // the server could not read the certificates; changed with work held

	mu       sync.Mutex
	ca, own  *pair // changed with work and mu held
	uploaded *pair // nil without one
	expired  bool  // of uploaded
	closed   bool
	server   *tlsconn.Server
}

// every is how often the time, the names and the addresses are looked at.
const every = time.Minute

// New reads the files, or makes them. An authority or a certificate that cannot be read is made
// anew, so that the device can be reached. Those that cannot be renewed, as on a full disk, stay in
// use, and Check tries again. It returns an error if there are none and the disk does not take new
// ones.
func New(o Options) (*Keeper, error) {
	k := &Keeper{opts: o}
	k.fill()
	if o.Dir == "" {
		return nil, errors.New("cert: Options.Dir is missing")
	}
	if err := disk.MakeDirs(k.opts.disk, o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cert: %w", err)
	}
	var err error
	if k.uploaded, err = k.load("uploaded.pem"); err != nil {
		k.opts.Log.Error("the uploaded certificate is not used", "why", err)
	}
	if k.ca, err = k.load("ca.pem"); err != nil {
		k.opts.Log.Error("there will be a new certificate authority", "why", err)
	}
	if k.own, err = k.load("own.pem"); err != nil {
		k.opts.Log.Error("the device's own certificate is made anew", "why", err)
	}
	if err := k.Check(); err != nil {
		if k.ca == nil || k.own == nil {
			return nil, err
		}
		k.opts.Log.Error("the certificate could not be renewed", "why", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(every, k.tick)
	return k, nil
}

func (k *Keeper) fill() {
	o := &k.opts
	if o.Name == "" {
		o.Name = "device"
	}
	if o.Hosts == nil {
		o.Hosts = func() []string { return nil }
	}
	if o.Networks == nil {
		o.Networks = privateNetworks
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.disk == nil {
		o.disk = disk.OS
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.addrs == nil {
		o.addrs = interfaceAddrs
	}
}

var privateNetworks = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"),
}

// interfaceAddrs returns the addresses of this machine.
func interfaceAddrs() (list []netip.Addr) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // a certificate for the names alone is better than none
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p.Addr().Unmap().WithZone(""))
		}
	}
	return list
}

// Close ends the renewal. The certificates stay in use.
func (k *Keeper) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	k.timer.Stop()
}

func (k *Keeper) tick() {
	if err := k.Check(); err != nil {
		k.opts.Log.Error("the certificate could not be renewed", "why", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.closed {
		k.timer.Reset(every)
	}
}

// Check looks at the time, the names and the addresses, and renews the certificate if it has to be.
// It is called once a minute; a program that knows of a change may call it at once.
func (k *Keeper) Check() error {
	k.work.Lock()
	defer k.work.Unlock()
	now := k.opts.now()
	ca, own, failed := k.renew(now)
	k.mu.Lock()
	change := own != k.own || k.uploaded != nil && k.expired != k.uploaded.isOver(now)
	k.ca, k.own = ca, own
	k.expired = k.uploaded != nil && k.uploaded.isOver(now)
	if change && k.expired {
		k.opts.Log.Error("the uploaded certificate has expired: the device's own is used")
	}
	k.mu.Unlock()
	if !change && !k.stale {
		return failed
	}
	return errors.Join(failed, k.use())
}

// renew returns the authority and the certificate to use from now on: new ones if the disk has them,
// and otherwise, as with an error, those in use. It is called with work held.
func (k *Keeper) renew(now time.Time) (ca, own *pair, err error) {
	names := k.names()
	ca, own = k.ca, k.own
	if ca == nil || !ca.mayVouchFor(names) || !ca.leaf.IsCA {
		if ca != nil {
			k.opts.Log.Warn("the device has new names: there is a new certificate authority, which browsers do not know yet", "names", names.hosts)
		}
		if ca, err = makeAuthority(k.opts.Name, names, k.opts.Networks); err == nil {
			err = k.store("ca.pem", ca)
		}
		if err != nil {
			return k.ca, k.own, fmt.Errorf("cert: authority: %w", err)
		}
	}
	if own == nil || own.leaf.CheckSignatureFrom(ca.leaf) != nil || !own.isFor(names) || own.isDue(now) {
		if own, err = ca.issue(names, now); err == nil {
			err = k.store("own.pem", own)
		}
		if err != nil {
			return k.ca, k.own, fmt.Errorf("cert: %w", err)
		}
	}
	return ca, own, nil
}

// names returns what the device is called by now.
func (k *Keeper) names() names {
	n := names{hosts: []string{"localhost"}}
	for _, h := range k.opts.Hosts() {
		h = strings.ToLower(strings.TrimSuffix(h, "."))
		if conn.IsHostName(h) && strings.Contains(h, ".") && !slices.Contains(n.hosts, h) {
			n.hosts = append(n.hosts, h)
		}
	}
	slices.Sort(n.hosts)
	for _, a := range k.opts.addrs() {
		if slices.ContainsFunc(k.opts.Networks, func(p netip.Prefix) bool { return p.Contains(a) }) && !slices.Contains(n.addrs, a) {
			n.addrs = append(n.addrs, a)
		}
	}
	slices.SortFunc(n.addrs, netip.Addr.Compare)
	return n
}

// Server makes the Server of package tlsconn for these certificates. c has further settings; its
// Pairs are the Keeper's, and its Tickets a file in Dir unless they are set. A Keeper has one
// Server.
func (k *Keeper) Server(c tlsconn.Config) (*tlsconn.Server, error) {
	k.work.Lock()
	defer k.work.Unlock()
	k.mu.Lock()
	c.Pairs = k.pairs()
	k.mu.Unlock()
	if c.Tickets == nil {
		c.Tickets = tlsconn.TicketFile(filepath.Join(k.opts.Dir, "tickets.key"))
	}
	s, err := tlsconn.NewServer(c)
	if err != nil {
		return nil, fmt.Errorf("cert: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.server = s
	k.opts.Log.Info("certificate", "sha256", k.active().fingerprint(), "authority", k.ca.fingerprint())
	return s, nil
}

// pairs returns the files to use, that of the active certificate first. It is called with mu held.
func (k *Keeper) pairs() (list []tlsconn.Pair) {
	own := filepath.Join(k.opts.Dir, "own.pem")
	if k.active() == k.uploaded {
		up := filepath.Join(k.opts.Dir, "uploaded.pem")
		list = append(list, tlsconn.Pair{Cert: up, Key: up})
	}
	return append(list, tlsconn.Pair{Cert: own, Key: own})
}

// active returns the certificate that is used for clients which name no host.
func (k *Keeper) active() *pair {
	if k.uploaded != nil && !k.expired {
		return k.uploaded
	}
	return k.own
}

// use gives the server the certificates that there are now. It is called with work held.
func (k *Keeper) use() error {
	k.mu.Lock()
	server, pairs := k.server, k.pairs()
	k.mu.Unlock()
	if server == nil {
		return nil
	}
	err := server.SetPairs(pairs...)
	k.stale = err != nil // Check tries again
	return err
}

// load reads a file; nil without an error means that there is none.
func (k *Keeper) load(name string) (*pair, error) {
	text, err := disk.Read(k.opts.disk, filepath.Join(k.opts.Dir, name), 2*maxPEM) // what was uploaded gets line feeds
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := parsePair(text, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func (k *Keeper) store(name string, p *pair) error {
	return disk.Replace(k.opts.disk, filepath.Join(k.opts.Dir, name), p.text(), 0o600)
}

// Authority returns the certificate of the authority, in PEM, for browsers and curl --cacert.
func (k *Keeper) Authority() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ca.certificates()
}

// Serves reports whether the uploaded certificate is for a host, which may be an address: for
// http.Options.HostFunc, so that the device can be called by the names of that certificate.
func (k *Keeper) Serves(host string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.uploaded != nil && !k.expired && k.uploaded.leaf.VerifyHostname(host) == nil
}

// Active returns the certificate that clients get now who name no host.
func (k *Keeper) Active() *x509.Certificate {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.active().leaf
}
