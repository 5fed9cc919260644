package cert

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/internal/rest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/middleware"
)

// Status is what a Keeper knows.
type Status struct {
	Active    string    `json:"active"` // "own" or "uploaded"
	Own       Info      `json:"own"`
	Uploaded  *Info     `json:"uploaded,omitempty"`
	Authority Authority `json:"authority"`
}

// Info is what a page shows of a certificate.
type Info struct {
	Names   []string  `json:"names"`
	Issuer  string    `json:"issuer"`
	Begins  time.Time `json:"begins"`
	Ends    time.Time `json:"ends"`
	Expired bool      `json:"expired,omitempty"`
	SHA256  string    `json:"sha256"`
}

// Authority is what a page shows of the device's authority: Names and Networks are its constraints.
type Authority struct {
	Name     string   `json:"name"`
	Names    []string `json:"names"`
	Networks []string `json:"networks"`
	SHA256   string   `json:"sha256"`
}

// Status returns what the Keeper knows.
func (k *Keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := Status{Active: "own", Own: k.own.info(), Authority: Authority{
		Name: k.ca.leaf.Subject.CommonName, Names: k.ca.leaf.PermittedDNSDomains, Networks: []string{}, SHA256: k.ca.fingerprint(),
	}}
	for _, r := range k.ca.leaf.PermittedIPRanges {
		s.Authority.Networks = append(s.Authority.Networks, r.String())
	}
	if k.uploaded != nil {
		i := k.uploaded.info()
		i.Expired = k.expired
		s.Uploaded = &i
		if !k.expired {
			s.Active = "uploaded"
		}
	}
	return s
}

func (p *pair) info() Info {
	i := Info{Names: []string{}, Issuer: p.leaf.Issuer.CommonName, Begins: p.leaf.NotBefore, Ends: p.leaf.NotAfter, SHA256: p.fingerprint()}
	if i.Issuer == "" {
		i.Issuer = p.leaf.Issuer.String()
	}
	i.Names = append(i.Names, p.leaf.DNSNames...)
	for _, a := range p.leaf.IPAddresses {
		i.Names = append(i.Names, a.String())
	}
	return i
}

// Mount adds the routes of the Keeper to x, below prefix:
//
//	GET    PREFIX          the Status, as JSON
//	GET    PREFIX/ca.crt   the authority, in PEM
//	POST   PREFIX          {"certificate", "key"}, in PEM: takes a certificate into use. With
//	                       "force": true it may be for other names
//	DELETE PREFIX          takes the device's own into use again
//
// A failure is {"error": "…", "code": "…"}; 422 if the certificate is refused. The key is taken over TLS alone,
// or from a loopback address.
//
// mayRead is called for GET PREFIX, and mayChange for POST and DELETE, before the body is read. If
// one returns false it must have replied. Anybody may have the authority. Pages of other origins
// are refused.
func (k *Keeper) Mount(x *http.Mux, prefix string, mayRead, mayChange func(c *conn.Conn, r *http.Request) bool) {
	csrf, guard := middleware.CSRF(), http.Guard(mayChange)
	d := &desk{k: k}
	x.MustHandle("GET "+prefix, func(c *conn.Conn, _ *http.Message) { k.reply(c, nil) }, http.Guard(mayRead))
	x.MustHandle("GET "+prefix+"/ca.crt", k.download)
	x.MustHandle("POST "+prefix, d.upload, csrf, guard)
	x.MustHandle("DELETE "+prefix, func(c *conn.Conn, m *http.Message) { d.do(c, m, "certificate removed", k.Remove) }, csrf, guard)
}

func (k *Keeper) download(c *conn.Conn, _ *http.Message) {
	http.SetHeader(c, "Content-Disposition", `attachment; filename="`+fileName(k.opts.Name)+`-ca.crt"`)
	http.SetHeader(c, "Cache-Control", "no-cache")
	http.ReplyBytes(c, 200, "application/x-x509-ca-cert", k.Authority())
}

// fileName returns s with hyphens for all characters that a file name may not have everywhere.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if (r|0x20)-'a' < 26 && r|0x20 >= 'a' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, s)
}

// A desk takes one request at a time: it reads a certificate and waits for the disk.
type desk struct {
	k    *Keeper
	busy atomic.Bool
}

func (d *desk) upload(c *conn.Conn, m *http.Message) {
	var body struct {
		Certificate string `json:"certificate"`
		Key         string `json:"key"`
		Force       bool   `json:"force"`
	}
	switch {
	case !http.IsHTTPS(c) && !c.RemoteAddr().Addr().Unmap().IsLoopback():
		rest.Fail(c, 403, rest.Coded("no-tls", "a key is not sent without TLS: use https"))
	case !rest.IsJSON(&m.Request):
		rest.Fail(c, 415, rest.Coded("not-json", "send application/json"))
	case len(m.Body) > 2*maxPEM:
		rest.Fail(c, 413, rest.Coded("too-long", "the certificate is too long"))
	default:
		if err := rest.Read(m.Body, &body, `the body is {"certificate": "…", "key": "…"}, in PEM`); err != nil {
			rest.Fail(c, 400, err)
			return
		}
		host := hostOf(m.Host)
		d.do(c, m, "certificate uploaded", func() error {
			return d.k.Upload([]byte(body.Certificate), []byte(body.Key), host, body.Force)
		})
	}
}

// hostOf returns the name in a Host field.
func hostOf(host []byte) string {
	s := string(host)
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		s = s[:i]
	}
	return strings.TrimSuffix(s, ".")
}

// do calls f on a goroutine of its own, and replies.
func (d *desk) do(c *conn.Conn, m *http.Message, what string, f func() error) {
	if !d.busy.CompareAndSwap(false, true) {
		http.SetHeader(c, "Retry-After", "1")
		rest.Fail(c, 503, rest.Coded("busy", "another certificate is being handled"))
		return
	}
	var who device.Who
	if d.k.opts.Who != nil {
		who = d.k.opts.Who(c, &m.Request)
	}
	later := rest.LaterOf(c, m.Later())
	go func() {
		err := f()
		d.busy.Store(false)
		d.k.tell(who, what, err)
		later.Complete(func(c *conn.Conn) { d.k.reply(c, err) }, nil)
	}()
}

func (k *Keeper) tell(who device.Who, what string, err error) {
	if k.opts.Audit == nil {
		return
	}
	to := "done"
	if err != nil {
		to = err.Error()
	}
	k.opts.Audit(device.Entry{Time: k.opts.now(), Who: who.Name, Via: who.Via, What: what, To: to})
}

// reply sends the Status, or the error.
func (k *Keeper) reply(c *conn.Conn, err error) {
	switch {
	case errors.Is(err, ErrOtherNames):
		rest.Fail(c, 422, fmt.Errorf(`%w: send "force": true if clients call it by another`, err))
	case errors.Is(err, ErrRefused):
		rest.Fail(c, 422, err)
	case err != nil:
		rest.Fail(c, 500, err)
	default:
		rest.Reply(c, 200, k.Status())
	}
}
