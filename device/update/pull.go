package update

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device/internal/rest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/weburl"
	"github.com/seed4930a636/mangusta/mgr"
)

// PullOptions are the settings of a Puller. URL must be set.
type PullOptions struct {
	// URL is that of the manifest; its signature is beside it, with .minisig after the path. It may
	// be http: all that matters is signed, but then others see which version is fetched, and may
	// hide that there is a new one. There must be no secret in it: errors show it.
	URL string

	// Every is the time between two looks at the manifest, a tenth more or less; a day when 0. With
	// a negative one it is looked at when Ask is called, and only then.
	Every time.Duration

	// Hosts are names, with or without a port, to which the manifest and redirects may lead, besides
	// the host of URL. So a manifest cannot have the device send requests to others in its network.
	Hosts []string

	// Client has settings of the client, such as TLS for an https URL, and timeouts. Redirects are
	// the Puller's.
	Client http.ClientOptions

	// Ready, unless nil, is called on the loop when an update is ready to be tried: with a restart,
	// when the program sees fit.
	Ready func(Image)

	// These are replaced by tests.
	now   func() time.Time
	pause func(failures int) time.Duration
}

// Pull is what a Puller does.
type Pull struct {
	State PullState `json:"state"`
	Asked time.Time `json:"asked,omitzero"` // when the manifest was read last
	Next  time.Time `json:"next,omitzero"`  // when it will be read again, or when the transfer goes on
	Error string    `json:"error,omitempty"`
	Code  string    `json:"code,omitempty"` // of the error, for pages in other languages
}

// A PullState is what a Puller is at.
type PullState string

const (
	PullIdle      PullState = "idle"
	PullAsking    PullState = "asking"    // reads the manifest
	PullReceiving PullState = "receiving" // Status.Offset and Size tell how far
	PullWaiting   PullState = "waiting"   // the transfer broke off, and goes on after a while
)

var (
	// ErrElsewhere is wrapped by the error for a URL, or a redirect, to a host that is none of
	// PullOptions.Hosts.
	ErrElsewhere = rest.Coded("elsewhere", "update: this leads to a host that is not allowed")
	// ErrFailedBefore is wrapped by the error for a version that was tried and rolled back. Ask
	// fetches it all the same.
	ErrFailedBefore = rest.Coded("failed-before", "update: this version was tried, and has failed")
	// ErrTransfer is wrapped by the error for a reply that is not the next part of the program.
	ErrTransfer = rest.Coded("transfer", "update: the server sends something else")

	errTaken = rest.Coded("busy", "update: another update has taken the place of this one")
)

// maxRedirects bounds the redirects of one request.
const maxRedirects = 5

// maxTries is how many times a transfer is begun without a new byte.
const maxTries = 8

// maxWait bounds Retry-After.
const maxWait = 24 * time.Hour

// transferTimeout bounds one request for the program: the next one goes on.
const transferTimeout = 6 * time.Hour

// A Puller fetches updates from a server. It reads a signed manifest,
//
//	{"version": "1.4.0", "board": "box-2", "url": "box-1.4.0", "size": 7340032, "minisig": "box-1.4.0.minisig"}
//
// whose URLs may be relative, and whose minisig may be the text of the signature itself. "expires":
// a time after which it must have been replaced, makes a server noticed that shows an old one for
// ever. The manifest is signed with the word "manifest" in the trusted comment:
//
//	minisign -S -m manifest.json -t manifest
//
// If the version is newer than what runs, the program is fetched into the slot, as Begin, Write and
// Finish do it, with all of their checks. A transfer that breaks off goes on where it was, by Range,
// also after a restart of the device.
//
// A Puller belongs to the loop of its manager; Ask is safe for concurrent use.
type Puller struct {
	m      *mgr.Manager
	u      *Updater
	opts   PullOptions
	at     *weburl.URL
	sigAt  *weburl.URL
	client *http.Client

	timer    *mgr.Timer
	attempt  *attempt // nil while idle
	failures int      // looks at the manifest in a row that failed
	closed   bool
}

// Pull begins to look for updates: soon, and then all the time.
func (u *Updater) Pull(m *mgr.Manager, o PullOptions) (*Puller, error) {
	p := &Puller{m: m, u: u, opts: o}
	var err error
	if p.at, err = weburl.Parse(o.URL, weburl.HTTP); err != nil {
		return nil, fmt.Errorf("update: the URL of the manifest: %w", err)
	}
	beside := *p.at.URL
	beside.Path, beside.RawPath = beside.Path+".minisig", ""
	if p.sigAt, err = weburl.Parse(beside.String(), weburl.HTTP); err != nil {
		return nil, fmt.Errorf("update: the URL of the manifest: %w", err)
	}
	if p.at.Secure && o.Client.TLS == nil {
		return nil, errors.New("update: an https URL needs PullOptions.Client.TLS")
	}
	if o.Every == 0 {
		p.opts.Every = 24 * time.Hour
	}
	if o.now == nil {
		p.opts.now = time.Now
	}
	if o.pause == nil {
		p.opts.pause = func(failures int) time.Duration { return min(time.Second<<min(failures, 20), 5*time.Minute) }
	}
	p.opts.Client.MaxRedirects = 0
	if p.client, err = http.NewClient(m, p.opts.Client); err != nil {
		return nil, fmt.Errorf("update: %w", err)
	}
	p.tell(func(s *Pull) { s.State = PullIdle })
	if p.opts.Every > 0 {
		// Devices that get their power back together do not ask together.
		p.askIn(time.Duration(rand.Int64N(int64(min(p.opts.Every, 10*time.Minute)))))
	}
	return p, nil
}

// Close ends the Puller. Bytes that were received stay.
func (p *Puller) Close() {
	p.closed, p.attempt = true, nil
	p.stop()
	p.client.Close()
}

func (p *Puller) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// Ask looks at the manifest now, and goes on with a transfer that waits. A version that has failed
// before is tried again. It returns an error if the loop does not run any more; what else goes wrong
// is in Status.Pull.
func (p *Puller) Ask() error {
	return p.m.Do(func() { p.ask(true) })
}

// askIn sets the timer.
func (p *Puller) askIn(d time.Duration) {
	p.stop()
	p.tell(func(s *Pull) { s.Next = p.opts.now().Add(d) })
	p.timer = p.m.AfterFunc(d, func() { p.ask(false) })
}

func (p *Puller) ask(byUser bool) {
	switch {
	case p.closed:
		return
	case p.attempt != nil && p.attempt.waits:
		p.attempt.byUser = p.attempt.byUser || byUser
		p.attempt.goOn()
		return
	case p.attempt != nil:
		return // it is at it
	}
	p.stop()
	p.attempt = &attempt{p: p, byUser: byUser}
	p.tell(func(s *Pull) { s.State, s.Next, s.Error, s.Code = PullAsking, time.Time{}, "", "" })
	p.attempt.begin()
}

// tell changes Status.Pull.
func (p *Puller) tell(f func(*Pull)) {
	p.u.set(func(s *Status) {
		var now Pull
		if s.Pull != nil {
			now = *s.Pull
		}
		f(&now)
		s.Pull = &now
	})
}

// over ends the attempt, for the reason err, and sets the time of the next one.
func (p *Puller) over(err error) {
	p.attempt = nil
	text, code := "", ""
	if err != nil {
		text, code = err.Error(), rest.Code(err)
		p.failures++
		p.u.opts.Log.Warn("no update was fetched", "why", err)
	} else {
		p.failures = 0
	}
	p.tell(func(s *Pull) { s.State, s.Error, s.Code = PullIdle, text, code })
	if p.opts.Every < 0 {
		return
	}
	next := p.opts.Every - p.opts.Every/10 + time.Duration(rand.Int64N(int64(p.opts.Every/5)+1))
	var later retryError
	switch {
	case errors.As(err, &later):
		next = max(next, later.after)
	case err != nil && p.failures <= 6 && (errors.Is(err, ErrManifest) || !isHopeless(err)): // sooner, but not all devices together
		next = min(next, time.Minute<<p.failures+time.Duration(rand.Int64N(int64(time.Minute))))
	}
	p.askIn(next)
}

// allowed reports whether the Puller may send requests there.
func (p *Puller) allowed(to *weburl.URL) bool {
	return strings.EqualFold(to.Host(), p.at.Host()) || slices.ContainsFunc(p.opts.Hosts, func(h string) bool {
		return strings.EqualFold(h, to.Host()) || strings.EqualFold(h, to.HostPort())
	})
}

// follow returns the URL that a redirect or the manifest leads to, if it is allowed.
func (p *Puller) follow(from *weburl.URL, to string) (*weburl.URL, error) {
	next, err := from.Follow(to)
	if err != nil {
		return nil, fmt.Errorf("update: %w", err)
	}
	if !p.allowed(next) {
		return nil, fmt.Errorf("%w: %s", ErrElsewhere, next.HostPort())
	}
	return next, nil
}

// A retryError is that of a server which says when to come again.
type retryError struct {
	status int
	after  time.Duration
}

func (e retryError) Error() string {
	return fmt.Sprintf("update: the server replied with %d, and asks for a wait of %v", e.status, e.after)
}

// judge returns the URL of a redirect, or an error unless the status is one of those that are
// wanted.
func (p *Puller) judge(h *http.ResponseHead, at *weburl.URL, redirects int, wanted ...int) (to *weburl.URL, err error) {
	if slices.Contains(wanted, h.Status) {
		return nil, nil
	}
	switch h.Status {
	case 301, 302, 303, 307, 308:
		if redirects >= maxRedirects {
			return nil, fmt.Errorf("update: more than %d redirects", maxRedirects)
		}
		return p.follow(at, string(h.Header("Location")))
	case 429, 503:
		if d, ok := retryAfter(h.Header("Retry-After"), p.opts.now()); ok {
			return nil, retryError{h.Status, d}
		}
	}
	return nil, fmt.Errorf("update: %s: status %d", at.Text, h.Status)
}

// retryAfter reads a Retry-After field (RFC 9110 §10.2.3).
func retryAfter(value []byte, now time.Time) (time.Duration, bool) {
	n := 0
	for _, x := range value {
		if x < '0' || x > '9' {
			t, ok := http.ParseTime(value)
			return min(max(t.Sub(now), 0), maxWait), ok
		}
		n = min(10*n+int(x-'0'), int(maxWait/time.Second))
	}
	return time.Duration(n) * time.Second, len(value) > 0
}

// get fetches a small document, and calls done on the loop.
func (p *Puller) get(a *attempt, at *weburl.URL, most int64, redirects int, done func([]byte, error)) {
	r := &http.ClientRequest{URL: at.Text, MaxBody: most}
	_, err := p.client.Do(r, func(resp *http.Response, err error) {
		if p.attempt != a {
			return
		}
		if err != nil {
			done(nil, fmt.Errorf("update: %s: %w", at.Text, err))
			return
		}
		to, err := p.judge(&resp.ResponseHead, at, redirects, 200)
		switch {
		case err != nil:
			done(nil, err)
		case to != nil:
			p.get(a, to, most, redirects+1, done)
		default:
			done(bytes.Clone(resp.Body), nil)
		}
	})
	if err != nil {
		done(nil, fmt.Errorf("update: %w", err))
	}
}

// Mount adds to x:
//
//	POST PATH    looks at the manifest now; the reply, 202, is the Status
//
// mayChange is called before: if it returns false it must have replied. Pages of other origins are
// refused.
func (p *Puller) Mount(x *http.Mux, path string, mayChange func(c *conn.Conn, r *http.Request) bool) {
	x.MustHandle("POST "+path, func(c *conn.Conn, _ *http.Message) {
		if err := p.Ask(); err != nil {
			p.u.reply(c, 503, err)
			return
		}
		p.u.reply(c, 202, nil)
	}, csrf, http.Guard(mayChange))
}
