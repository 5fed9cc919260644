package owner

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/device/internal/rest"
	"github.com/seed4930a636/mangusta/http"
)

// Options are the settings of an Owner. The zero value works, and forgets everything at the end of
// the program.
type Options struct {
	// File is where users, sessions and tokens are kept, with mode 0600. Beside it is a copy,
	// File.old, which is used if File is damaged.
	File string

	// Code is given the code for the first setup, to show it on the console. Nil writes it to Log.
	Code func(code string)

	// Memory and Passes are the costs of a password's digest: in KiB, 8 MiB when 0, and 4 when 0.
	// One digest is computed at a time.
	Memory, Passes uint32

	// Idle is how long a session lasts without a request, and Age how long at most; a week and 90
	// days when 0.
	Idle, Age time.Duration

	// Audit is called, on any goroutine, for each login and each change; passwords and keys are not
	// in it.
	Audit func(device.Entry)

	// Log is slog.Default when nil.
	Log *slog.Logger

	disk  disk.FS
	now   func() time.Time
	local func(a netip.Addr) bool
	look  time.Duration // at the clock, for the ends of WebSockets
}

// An Owner knows who may use a device. All its methods are safe for concurrent use.
type Owner struct {
	opts Options

	// writing is held by the one change that is under way, while it waits for the disk; mu is not.
	writing sync.Mutex

	mu      sync.Mutex
	state   *state // replaced by change alone
	limit   limit
	code    string               // of the setup; "" when there is an owner
	tries   int                  // wrong codes since the last one was made
	sockets map[*socket]struct{} // that are open

	// The queues of the worker: it takes the calls of members, who are logged in, before logins, so that
	// a flood of logins does not hold up the members.
	logins, members chan func()
	once            sync.Once
	entered         map[netip.Prefix]int // calls in logins, by the network that they come from
}

// maxWork bounds each queue of the worker, and maxEntered the calls of one network in logins.
const (
	maxWork    = 16
	maxEntered = 4
)

// New reads the file. It returns an error if the file exists and cannot be read: otherwise anybody
// could take over a device whose users are lost. Reset, on the device itself, makes it new.
func New(opts ...Options) (*Owner, error) {
	o := &Owner{logins: make(chan func(), maxWork), members: make(chan func(), maxWork), entered: map[netip.Prefix]int{}}
	if len(opts) > 0 {
		o.opts = opts[0]
	}
	p := &o.opts
	if p.Log == nil {
		p.Log = slog.Default()
	}
	if p.Memory == 0 {
		p.Memory = 8 << 10
	}
	if p.Passes == 0 {
		p.Passes = 4
	}
	if p.Idle == 0 {
		p.Idle = 7 * 24 * time.Hour
	}
	if p.Age == 0 {
		p.Age = 90 * 24 * time.Hour
	}
	if p.disk == nil {
		p.disk = disk.OS
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.look == 0 {
		p.look = time.Minute
	}
	if p.local == nil {
		p.local = onLocalLink
	}
	o.state = &state{}
	if p.File != "" {
		var damage, err error
		if o.state, damage, err = load(p.disk, p.File); err != nil {
			return nil, err
		}
		if damage != nil {
			p.Log.Error("the file of the users is damaged: its copy is used", "why", damage)
		}
	}
	if o.state.admins() == 0 {
		o.newCode()
	}
	return o, nil
}

// HasOwner reports whether the device was set up.
func (o *Owner) HasOwner() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.code == ""
}

// newCode makes the code of the setup, and shows it. It is called with the lock held, or from New.
func (o *Owner) newCode() {
	const letters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789" // 32, none that looks like another
	b := make([]byte, 8)
	rand.Read(b)
	for i := range b {
		b[i] = letters[b[i]%32]
	}
	o.code, o.tries = string(b[:4])+"-"+string(b[4:]), 0
	if o.opts.Code != nil {
		o.opts.Code(o.code)
	} else {
		o.opts.Log.Warn("the device has no owner: set it up with this code", "code", o.code)
	}
}

// Reset makes the device new: without users, sessions and tokens, and with a new code. It is for a
// button of the device. What an earlier change has left beside the file, which could bring the users
// back, is removed too.
func (o *Owner) Reset() error {
	err := o.change(func(s *state) error {
		*s = state{}
		return nil
	}, o.newCode)
	if err == nil && o.opts.File != "" {
		o.writing.Lock()
		if bad := disk.Forget(o.opts.disk, o.opts.File); bad != nil {
			err = fmt.Errorf("owner: %w", bad)
		}
		o.writing.Unlock()
	}
	o.tell(device.Program, "reset", outcome(err))
	return err
}

// change has f change a copy of the state, which becomes the state when the disk has it; done,
// unless nil, is called with it. Both are called with mu held.
func (o *Owner) change(f func(s *state) error, done func()) error {
	return o.changeOr(refuseLost, f, done)
}

// onLoss says what becomes of a change that the disk cannot have.
type onLoss int

const (
	refuseLost onLoss = iota // it is not made
	forgetLost               // it is made; a restart forgets it
	tellLost                 // it is made, and the client is told that a restart undoes it: for the end of a right
)

// changeOr is change for what the disk may not have.
func (o *Owner) changeOr(lost onLoss, f func(s *state) error, done func()) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	o.mu.Lock()
	s := o.state.clone()
	err := f(s)
	o.mu.Unlock()
	if err != nil {
		return err
	}
	if o.opts.File != "" {
		err = s.store(o.opts.disk, o.opts.File)
	}
	switch {
	case err == nil:
	case lost == refuseLost:
		return fmt.Errorf("owner: %w", err)
	case lost == forgetLost:
		o.opts.Log.Error("a login is not kept: a restart will end it", "why", err)
		err = nil
	case lost == tellLost:
		o.opts.Log.Error("the end of a right is not kept: a restart will bring it back", "why", err)
		err = apiError{status: 500, code: "not-kept", text: "it has ended, but the disk does not have that: a restart will bring it back (" + err.Error() + ")"}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state = s
	if done != nil {
		done()
	}
	o.closeOverdue()
	return err
}

// outcome is the result of a change, for the audit.
func outcome(err error) string {
	if err != nil {
		return err.Error()
	}
	return "done"
}

func (o *Owner) tell(who device.Who, what, to string) {
	if o.opts.Audit != nil {
		o.opts.Audit(device.Entry{Time: o.opts.now(), Who: who.Name, Via: who.Via, What: what, To: to})
	}
}

// errBusy is the error of a call for which the worker has no room.
var errBusy = rest.Coded("busy", "too many logins wait: try again in a moment")

// later has the worker call f. The worker computes digests and writes files, one after the other.
func (o *Owner) later(queue chan func(), f func()) error {
	o.once.Do(func() { go o.works() })
	select {
	case queue <- f:
		return nil
	default:
		return errBusy
	}
}

func (o *Owner) works() {
	for {
		select {
		case f := <-o.members:
			f()
			continue
		default:
		}
		select {
		case f := <-o.members:
			f()
		case f := <-o.logins:
			f()
		}
	}
}

// enter takes a place for a call of a network that is not logged in. release gives it back.
func (o *Owner) enter(from netip.Addr) (release func(), ok bool) {
	p := networkOf(from)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.entered[p] >= maxEntered {
		return nil, false
	}
	o.entered[p]++
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.entered[p]--; o.entered[p] == 0 {
			delete(o.entered, p)
		}
	}, true
}

// Who returns a function for device.Options.Who. It returns the sender of a request. The holder of a
// token that lacks the scope has a name, and the role Nobody.
//
// Without an owner a sender on a loopback address is a viewer, and any other is Nobody.
func (o *Owner) Who(scope string) func(c *conn.Conn, r *http.Request) device.Who {
	return func(c *conn.Conn, r *http.Request) device.Who {
		who, _ := o.who(c, r, scope)
		return who
	}
}

// Allow returns the function for http.Guard and update.Mount: it replies with 401 to a caller without
// a session or a token, and with 403 to one that lacks the role, or whose token lacks the scope.
func (o *Owner) Allow(role device.Role, scope string) func(c *conn.Conn, r *http.Request) bool {
	return func(c *conn.Conn, r *http.Request) bool {
		who, _ := o.who(c, r, scope)
		if who.Role >= role {
			return true
		}
		refuse(c, r, who)
		return false
	}
}

// who also returns the digest of the session's key; "" if the request has no session.
func (o *Owner) who(c *conn.Conn, r *http.Request, scope string) (device.Who, string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	who, right := o.identify(c, r, scope)
	return who, right.session
}

// A right is the reason why a caller is let in: a session or a token, named by the digest of its
// key; or neither, on the device itself before it has an owner.
type right struct {
	session, token string
	ends           time.Time // at the latest; zero is never
}

// identify returns the sender of a request, and the right. It is called with mu held.
func (o *Owner) identify(c *conn.Conn, r *http.Request, scope string) (device.Who, right) {
	addr := c.RemoteAddr().Addr().Unmap()
	nobody := device.Who{Via: addr.String()}
	if o.code != "" {
		if addr.IsLoopback() && !forwarded(r) {
			nobody.Name, nobody.Role = local, device.Viewer
		}
		return nobody, right{}
	}
	now := o.opts.now()
	if a := r.Credentials(); a.Scheme == http.AuthBearer {
		t := o.token(string(a.Token), now)
		if t == nil {
			return nobody, right{}
		}
		who := device.Who{Name: t.By + "/" + t.Name, Via: addr.String()}
		if len(t.Scopes) > 0 && !slices.Contains(t.Scopes, scope) {
			return who, right{}
		}
		who.Role = o.state.roleOf(t)
		return who, right{token: t.Key, ends: t.Ends}
	}
	s := o.session(string(r.Cookie(cookieName(c))), now)
	if s == nil || foreign(c, r) {
		return nobody, right{}
	}
	return device.Who{Name: s.User, Role: o.state.role(s.User), Via: addr.String()}, right{session: s.Key, ends: s.Begun.Add(o.opts.Age)}
}

func (o *Owner) token(key string, now time.Time) *token {
	d := digestOf(key)
	for i, t := range o.state.Tokens {
		if t.Key == d && (t.Ends.IsZero() || now.Before(t.Ends)) {
			return &o.state.Tokens[i]
		}
	}
	return nil
}

// session finds the session of a key that is not over, and notes that it was used.
func (o *Owner) session(key string, now time.Time) *session {
	if key == "" {
		return nil
	}
	d := digestOf(key)
	for i := range o.state.Sessions {
		s := &o.state.Sessions[i]
		if s.Key != d {
			continue
		}
		if now.Sub(s.Used) > o.opts.Idle || now.Sub(s.Begun) > o.opts.Age {
			return nil
		}
		if now.After(s.Used) { // a device without a clock begins in 1970, and learns the time later
			s.Used = now
		}
		return s
	}
	return nil
}

// onLocalLink reports whether a is in a network that this machine is connected to.
func onLocalLink(a netip.Addr) bool {
	if a.IsLoopback() || a.IsLinkLocalUnicast() {
		return true
	}
	networks, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, n := range networks {
		if p, err := netip.ParsePrefix(n.String()); err == nil && p.Masked().Contains(a) {
			return true
		}
	}
	return false
}
