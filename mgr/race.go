package mgr

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// A race is the way of an outbound connection from a name to a descriptor (RFC 8305, "Happy
// Eyeballs"). The connection exists from the beginning, without a descriptor. Addresses are tried
// one after the other, IPv6 and IPv4 by turns: the next one when the last has failed, or has not
// answered for a moment (stagger), while the others go on. The first that stands becomes the
// connection's; the others are closed.
//
//	resolving   the Resolver has not said its last word: more addresses may come
//	waiting     addresses that are still to be tried
//	running     attempts under way
//
// It is lost when all three are empty. It ends with the connection too: see Manager.remove.
type race struct {
	m       *Manager
	all     *races
	c       *conn.Conn
	network string // "tcp" or "udp"
	name    string
	port    uint16
	socket  conn.SocketOptions
	stagger time.Duration
	dial    func(conn.Addr, conn.SocketOptions) (fd int, err error)
	won     func(fd int) error // if it is not nil, prepares the descriptor that the connection is to get

	asking    bool   // inside Resolve
	resolving bool   // found is to be called again
	cancel    func() // ends the resolving
	early     []Resolved

	known   []netip.Addr // all addresses
	waiting []netip.Addr
	running []*attempt
	next    *Timer // begins the next attempt; nil when there is none to begin
	last    attempt
	errs    []error
	reason  conn.Reason // of the failure that came from farthest away
	over    bool
	event   conn.Resolve
}

// attempt is a socket that is being connected, and is no connection yet. The poller watches it for
// conn.Out.
type attempt struct {
	r    *race
	fd   int
	addr netip.Addr
	at   int64 // when it began
}

// racing is what a turn of the loop asks of the races: a *races. It is an interface, so that a
// program that does not Connect is linked without them.
type racing interface {
	decided(ready)
	lost(fd int)
	hear(*conn.Conn)
	end(*conn.Conn)
}

// races are those of one manager.
type races struct {
	m        *Manager
	of       map[*conn.Conn]*race
	attempts map[int]*attempt // by descriptor
}

const (
	staggerDefault = 250 * time.Millisecond // RFC 8305 §8
	staggerLeast   = 10 * time.Millisecond  // RFC 8305 §8
	// racedMost is how many addresses of a name are tried at most.
	racedMost = 16
)

// newRace makes the race of c, which has no descriptor yet, to a name.
func newRace(m *Manager, c *conn.Conn, t *target) *race {
	r := &race{m: m, c: c, network: t.network, name: t.name, port: t.port, socket: t.o.Socket, stagger: t.o.Stagger, resolving: true}
	r.dial = func(a conn.Addr, o conn.SocketOptions) (fd int, err error) {
		fd, _, err = m.sockets.dial(a, o)
		return fd, err
	}
	if r.stagger == 0 {
		r.stagger = staggerDefault
	}
	r.stagger = max(r.stagger, staggerLeast)
	return r
}

// start begins the race and the events of its connection.
func (r *race) start(o *ConnectOptions) {
	m, c := r.m, r.c
	c.Driver().BeginWaiting(o.Timeout)
	c.Driver().Overdue(overdue{r})
	if m.races == nil {
		m.races = &races{m: m, of: map[*conn.Conn]*race{}, attempts: map[int]*attempt{}}
	}
	r.all = m.races.(*races)
	r.all.of[c] = r
	m.begin(c, o.Setup)
	if !c.IsClosed() {
		m.try(c, r.resolve)
	}
}

// resolve asks the Resolver.
func (r *race) resolve() {
	r.asking = true
	defer func() { r.asking = false }()
	r.cancel = r.m.opts.Resolver.Resolve(r.m, r.name, r.found)
	if len(r.early) > 0 {
		r.m.AfterFunc(0, r.catchUp)
	}
}

// found is called by the Resolver. A result that comes inside Resolve waits for the next turn, so
// that Connect has returned when the handler sees *conn.Resolve.
func (r *race) found(x Resolved) {
	if r.over || !r.resolving {
		return
	}
	if r.asking || len(r.early) > 0 {
		x.Addrs = slices.Clone(x.Addrs)
		r.early = append(r.early, x)
		return
	}
	r.take(x)
}

func (r *race) catchUp() {
	early := r.early
	r.early = nil
	for _, x := range early {
		if r.over || !r.resolving {
			return
		}
		r.take(x)
	}
}

// take adds addresses to those that wait, and goes on.
func (r *race) take(x Resolved) {
	r.resolving = x.More
	if x.Err != nil {
		r.errs = append(r.errs, x.Err)
		if r.reason == conn.Local {
			r.reason = conn.Unresolved
		}
	}
	var fresh []netip.Addr
	for _, a := range x.Addrs {
		a = a.Unmap()
		if a.IsValid() && len(r.known) < racedMost && !slices.Contains(r.known, a) {
			r.known = append(r.known, a)
			fresh = append(fresh, a)
		}
	}
	if len(fresh) > 0 {
		r.waiting = alternate(append(r.waiting, fresh...), r.last.addr)
		r.event = conn.Resolve{Name: r.name, Addrs: r.waiting}
		r.m.fire(r.c, &r.event)
		r.event.Addrs = nil
	}
	r.step()
}

// alternate orders addresses so that the families take turns; the order within one stays. It begins
// with the family of the first address, or with the other one than that of last.
func alternate(addrs []netip.Addr, last netip.Addr) []netip.Addr {
	begin := addrs[0].Is4()
	if last.IsValid() {
		begin = !last.Is4()
	}
	var a, b []netip.Addr
	for _, x := range addrs {
		if x.Is4() == begin {
			a = append(a, x)
		} else {
			b = append(b, x)
		}
	}
	out := make([]netip.Addr, 0, len(addrs))
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			out = append(out, a[i])
		}
		if i < len(b) {
			out = append(out, b[i])
		}
	}
	return out
}

// step begins the next attempt if it is time, and finds out whether the race is lost.
func (r *race) step() {
	for !r.over && !r.c.IsClosed() && len(r.waiting) > 0 {
		if wait := r.last.at + int64(r.stagger) - r.m.sh.Now; len(r.running) > 0 && wait > 0 {
			if r.next == nil {
				r.next = r.m.AfterFunc(time.Duration(wait), func() { r.next = nil; r.step() })
			}
			return
		}
		addr := r.waiting[0]
		r.waiting = r.waiting[1:]
		r.begin(addr)
	}
	if !r.over && !r.resolving && len(r.waiting) == 0 && len(r.running) == 0 && !r.c.IsClosed() {
		r.lose()
	}
}

// begin begins an attempt.
func (r *race) begin(addr netip.Addr) {
	m := r.m
	to := netip.AddrPortFrom(addr, r.port)
	fd, err := r.dial(conn.Addr{Network: r.network, AddrPort: to}, r.socket)
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner // which does not name the address
		}
		r.failed(addr, err, false)
		return
	}
	if err = m.fits(fd); err == nil {
		m.oust(fd)
		err = m.poller.set(fd, 0, conn.Out)
	}
	if err != nil {
		m.closeFD(fd)
		r.failed(addr, err, false)
		return
	}
	a := &attempt{r: r, fd: fd, addr: addr, at: m.sh.Now}
	r.all.attempts[fd] = a
	r.running = append(r.running, a)
	r.last = *a
}

// failed notes why an attempt has failed. far says that the network or the peer said so, and not
// this machine: then it counts most.
func (r *race) failed(addr netip.Addr, err error, far bool) {
	r.errs = append(r.errs, fmt.Errorf("%s: %w", netip.AddrPortFrom(addr, r.port), err))
	if far || r.reason == conn.Local || r.reason == conn.Unresolved {
		r.reason = conn.ErrnoReason(err)
	}
}

// decided is called when the attempt on fd, which is no connection, is over.
func (all *races) decided(ready ready) {
	m, fd := all.m, int(ready.fd)
	a := all.attempts[fd]
	if a == nil {
		if ready.closed { // it was given up in this turn, and is not ours to close any more
			m.doomed = slices.DeleteFunc(m.doomed, func(x int) bool { return x == fd })
		}
		return
	}
	r := a.r
	defer m.recovered(r.c)
	if ready.closed {
		m.lostAttempt(a)
		return
	}
	if r.c.IsClosed() {
		return // all are given up at the end of this turn
	}
	err := conn.ConnectOutcome(m.sock, a.fd, conn.PeerOf(netip.AddrPortFrom(a.addr, r.port)))
	switch {
	case err == nil:
		r.win(a)
	case errors.Is(err, unix.EBADF):
		m.lostAttempt(a)
	default:
		a.giveUp()
		r.failed(a.addr, err, true)
		r.hurry()
	}
}

// hurry has the next attempt begin now, because one has failed.
func (r *race) hurry() {
	r.last.at = r.m.sh.Now - int64(r.stagger)
	if r.next != nil {
		r.next.Stop()
		r.next = nil
	}
	r.step()
}

// win makes the descriptor of a that of the connection.
func (r *race) win(a *attempt) {
	m, c := r.m, r.c
	if r.won != nil {
		if err := r.won(a.fd); err != nil {
			a.giveUp()
			r.failed(a.addr, err, false)
			r.hurry()
			return
		}
	}
	delete(r.all.attempts, a.fd)
	r.running = slices.DeleteFunc(r.running, func(x *attempt) bool { return x == a })
	r.end()
	c.Driver().SetFD(a.fd, conn.PeerOf(netip.AddrPortFrom(a.addr, r.port)))
	m.place(c)
	c.Driver().Stand(conn.Out)
}

// lose ends the connection: there is nothing left to try.
func (r *race) lose() {
	if len(r.errs) == 0 {
		r.errs = append(r.errs, errors.New("the resolver found no address"))
		r.reason = conn.Unresolved
	}
	r.c.Layer().Fail(r.reason, &raceError{r.name, r.errs})
}

// end gives up all attempts, and the resolving.
func (r *race) end() {
	if r.over {
		return
	}
	r.over = true
	delete(r.all.of, r.c)
	if r.next != nil {
		r.next.Stop()
	}
	for len(r.running) > 0 {
		r.running[0].giveUp()
	}
	if r.resolving && r.cancel != nil {
		r.m.try(nil, r.cancel)
	}
}

// giveUp ends an attempt. Its descriptor is closed at the end of the turn: its number must not be
// another's while the list of what is ready is worked through.
func (a *attempt) giveUp() {
	m := a.r.m
	m.poller.set(a.fd, conn.Out, 0) // if that fails: the kernel forgets a descriptor that is closed
	m.doomed = append(m.doomed, a.fd)
	a.forget()
}

func (a *attempt) forget() {
	delete(a.r.all.attempts, a.fd)
	a.r.running = slices.DeleteFunc(a.r.running, func(x *attempt) bool { return x == a })
}

// lostAttempt handles an attempt whose descriptor other code has closed: it is not closed here.
func (m *Manager) lostAttempt(a *attempt) {
	m.poller.set(a.fd, conn.Out, 0)
	a.forget()
	a.r.failed(a.addr, unix.EBADF, false)
	a.r.hurry()
}

// lost is called when another file has the descriptor fd, which may be that of an attempt.
func (all *races) lost(fd int) {
	if a := all.attempts[fd]; a != nil {
		all.m.lostAttempt(a)
	}
}

// end ends the race of c, which is over, if it has one.
func (all *races) end(c *conn.Conn) {
	if r := all.of[c]; r != nil {
		r.end()
	}
}

// hear looks at the attempts for c once more before its timeout is judged: the loop may have
// been late.
func (all *races) hear(c *conn.Conn) {
	r := all.of[c]
	if r == nil || !c.Driver().Due() {
		return
	}
	for _, a := range slices.Clone(r.running) {
		if !r.over && all.m.sockets.decided(a.fd) {
			all.decided(ready{fd: int32(a.fd), got: conn.Out})
		}
	}
}

// closeDoomed closes the descriptors of attempts that were given up in this turn.
func (m *Manager) closeDoomed() {
	for _, fd := range m.doomed {
		m.closeFD(fd)
	}
	m.doomed = m.doomed[:0]
}

// raceError says why no address of a name could be connected to.
type raceError struct {
	name string
	errs []error
}

func (e *raceError) Error() string {
	var b strings.Builder
	b.WriteString(e.name)
	sep := ": "
	for _, err := range e.errs {
		b.WriteString(sep)
		b.WriteString(err.Error())
		sep = "; "
	}
	return b.String()
}

// Unwrap gives the errors of the resolver and of the attempts to errors.Is and errors.As.
func (e *raceError) Unwrap() []error { return e.errs }

// overdue says what a race was waiting for when its time was over.
type overdue struct{ r *race }

func (e overdue) Error() string {
	r := e.r
	if len(r.known) == 0 {
		return fmt.Sprintf("%s: the resolver did not answer in time", r.name)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: no connection in time", r.name)
	sep := ": "
	for _, a := range r.running {
		fmt.Fprintf(&b, "%s%s: no answer", sep, netip.AddrPortFrom(a.addr, r.port))
		sep = "; "
	}
	for _, err := range r.errs {
		fmt.Fprintf(&b, "%s%v", sep, err)
		sep = "; "
	}
	return b.String()
}
