package mgr

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/ctlpair"
)

// DESIGN, invariant 13: each system call may fail once, with each errno of its man page, at each
// place. TestFaults runs one scenario without a fault and counts its calls; then once for each call
// and errno with that fault, and demands that
//
//   - the loop does not spin: it needs few more turns than without the fault;
//   - it is not deaf: messages that were accepted are handled, and a new client is served afterwards;
//   - nothing leaks: every descriptor is closed, once, and every connection sees Close;
//   - no listener ends for an errno that passes, and no turn of the loop fails for one;
//   - it is not silent: if a peer or the program gets less than without the fault, an event, an error, a counter or the log says so.
//
// The same for the real calls, under strace: .ci/faults.

// The errnos that the man pages list, by call. The quiet ones may pass without a word: the
// call is made again, or the loop does without it.
var faultErrnos = map[string]struct{ loud, quiet []unix.Errno }{
	"listen": {loud: []unix.Errno{unix.EACCES, unix.EADDRINUSE, unix.EADDRNOTAVAIL, unix.EBADF, unix.EINVAL, unix.ENOTSOCK,
		unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EPROTONOSUPPORT}},
	"connect": {loud: []unix.Errno{unix.EACCES, unix.EPERM, unix.EADDRINUSE, unix.EADDRNOTAVAIL, unix.EAFNOSUPPORT, unix.EALREADY,
		unix.EBADF, unix.ECONNREFUSED, unix.EFAULT, unix.EISCONN, unix.ENETUNREACH, unix.ENOTSOCK, unix.EPROTOTYPE, unix.ETIMEDOUT,
		unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM}, quiet: []unix.Errno{unix.EAGAIN}},
	// One address of a name may fail, if another one stands; with both it is told.
	"connect in a race": {quiet: []unix.Errno{unix.EACCES, unix.EPERM, unix.EADDRINUSE, unix.EADDRNOTAVAIL, unix.EAFNOSUPPORT, unix.EAGAIN,
		unix.EBADF, unix.ECONNREFUSED, unix.ENETUNREACH, unix.ETIMEDOUT, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM}},
	"getsockopt in a race": {quiet: []unix.Errno{unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOPROTOOPT, unix.ENOTSOCK,
		unix.ECONNREFUSED, unix.ECONNRESET, unix.ETIMEDOUT, unix.ENETUNREACH, unix.EHOSTUNREACH}},
	"epoll_ctl add in a race": {quiet: []unix.Errno{unix.EBADF, unix.EEXIST, unix.EINVAL, unix.ELOOP, unix.ENOMEM, unix.ENOSPC, unix.EPERM}},
	"describe in a race":      {quiet: faultDescribe},
	"describe":                {loud: faultDescribe},
	"recvmmsg": {loud: []unix.Errno{unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOMEM, unix.ENOTSOCK, unix.ECONNREFUSED, unix.ENOBUFS,
		unix.ENETDOWN, unix.EHOSTUNREACH}, quiet: []unix.Errno{unix.EAGAIN, unix.EINTR}},
	"recvmmsg after an error of the network": {quiet: []unix.Errno{unix.EFAULT, unix.EINVAL, unix.ENOMEM, unix.ECONNREFUSED, unix.EHOSTUNREACH,
		unix.EAGAIN, unix.EINTR}}, // which is told in its place
	// A send that fails is made again: the error may be that of a datagram which the network did
	// not deliver.
	"sendmmsg": {loud: []unix.Errno{unix.EBADF}, quiet: []unix.Errno{unix.EAGAIN, unix.EINTR, unix.EACCES, unix.ECONNREFUSED,
		unix.ECONNRESET, unix.EDESTADDRREQ, unix.EFAULT, unix.EINVAL, unix.EMSGSIZE, unix.ENOBUFS, unix.ENOMEM, unix.ENOTCONN, unix.ENOTSOCK,
		unix.EPERM, unix.EPIPE, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENETDOWN, unix.EADDRNOTAVAIL}},
	"recvmsg of the error queue": {quiet: []unix.Errno{unix.EAGAIN, unix.EINTR, unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOMEM}},
	"connect again": {loud: []unix.Errno{unix.EACCES, unix.EPERM, unix.ECONNREFUSED, unix.ENOENT, unix.EBADF},
		quiet: []unix.Errno{unix.EAGAIN}},
	"getsockopt": {loud: []unix.Errno{unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOPROTOOPT, unix.ENOTSOCK,
		unix.ECONNREFUSED, unix.ECONNRESET, unix.ETIMEDOUT, unix.ENETUNREACH, unix.EHOSTUNREACH}},
	"accept": {
		loud: []unix.Errno{unix.EBADF, unix.EFAULT, unix.EINVAL, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ENOTSOCK,
			unix.ENOSR, unix.ESOCKTNOSUPPORT, unix.EPROTONOSUPPORT, unix.EIO, unix.ENOSYS},
		quiet: []unix.Errno{unix.EAGAIN, unix.EINTR, unix.ECONNABORTED, unix.EPERM, unix.EPROTO, unix.ENETDOWN, unix.ENOPROTOOPT,
			unix.EHOSTDOWN, unix.ENONET, unix.EHOSTUNREACH, unix.EOPNOTSUPP, unix.ENETUNREACH, unix.ETIMEDOUT}},
	"setsockopt": {loud: []unix.Errno{unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOPROTOOPT, unix.ENOTSOCK, unix.EDOM, unix.ENOBUFS,
		unix.ENOMEM, unix.EISCONN}},
	"open": {quiet: []unix.Errno{unix.EACCES, unix.EMFILE, unix.ENFILE, unix.ENODEV, unix.ENOENT, unix.ENOMEM, unix.EINTR}},
	// The errnos of a peer that is gone are quiet while the connection lingers: it waits for the
	// peer to go.
	"read": {loud: []unix.Errno{unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOMEM, unix.ENOTSOCK, unix.EIO, unix.EISDIR},
		quiet: []unix.Errno{unix.EAGAIN, unix.EINTR, unix.ECONNREFUSED, unix.ECONNRESET, unix.ENOTCONN, unix.ETIMEDOUT, unix.EHOSTUNREACH}},
	"write":  {loud: faultSend, quiet: []unix.Errno{unix.EAGAIN, unix.EINTR}},
	"writev": {loud: faultSend, quiet: []unix.Errno{unix.EAGAIN, unix.EINTR}},
	"sendfile": {loud: []unix.Errno{unix.EBADF, unix.EFAULT, unix.EIO, unix.ENOMEM, unix.EOVERFLOW, unix.ESPIPE, unix.EPIPE,
		unix.ECONNRESET}, quiet: []unix.Errno{unix.EAGAIN, unix.EINTR, unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP}},
	"shutdown": {loud: []unix.Errno{unix.EBADF, unix.EINVAL, unix.ENOTSOCK}, quiet: []unix.Errno{unix.ENOTCONN}},
	"close":    {loud: []unix.Errno{unix.EBADF, unix.EIO, unix.ENOSPC, unix.EDQUOT}},
	"bell write": {loud: []unix.Errno{unix.EBADF, unix.ECONNRESET, unix.EDQUOT, unix.EFAULT, unix.EFBIG, unix.EINVAL, unix.EIO,
		unix.ENOBUFS, unix.ENOMEM, unix.ENOSPC, unix.EPERM, unix.EPIPE}},
	"bell read":     {quiet: []unix.Errno{unix.EBADF, unix.EFAULT, unix.EINVAL, unix.EIO, unix.ENOMEM, unix.ENOBUFS}},
	"bell close":    {quiet: []unix.Errno{unix.EBADF, unix.EINTR, unix.EIO}},
	"epoll_ctl add": {loud: []unix.Errno{unix.EBADF, unix.EEXIST, unix.EINVAL, unix.ELOOP, unix.ENOMEM, unix.ENOSPC, unix.EPERM}},
	"epoll_ctl mod": {loud: []unix.Errno{unix.EBADF, unix.EINVAL, unix.ENOENT, unix.ENOMEM}},
	"epoll_ctl del": {quiet: []unix.Errno{unix.EBADF, unix.EINVAL, unix.ENOENT, unix.ENOMEM}},
	"epoll_wait":    {loud: []unix.Errno{unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOMEM}, quiet: []unix.Errno{unix.EINTR}},
}

var faultDescribe = []unix.Errno{unix.EBADF, unix.EFAULT, unix.ENOTSOCK, unix.ENOBUFS, unix.ENOMEM, unix.EPERM}

var faultSend = []unix.Errno{unix.EACCES, unix.EALREADY, unix.EBADF, unix.ECONNRESET, unix.EDESTADDRREQ, unix.EFAULT, unix.EINVAL,
	unix.EISCONN, unix.EMSGSIZE, unix.ENOBUFS, unix.ENOMEM, unix.ENOTCONN, unix.ENOTSOCK, unix.EOPNOTSUPP, unix.EPIPE, unix.EDQUOT,
	unix.EFBIG, unix.EIO, unix.ENOSPC, unix.EPERM}

func TestFaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, faultBytes(9000), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := newFaultRun(t, file, newFaultKernel())
	plain.run()
	if plain.check(nil); plain.told != 0 || plain.got() != plain.want() {
		t.Fatalf("without a fault: told %v, got %s, want %s", plain.tales, plain.got(), plain.want())
	}
	runs := 0
	for op, list := range faultErrnos {
		times := []int{1}
		if os.Getenv("MANGUSTA_EXHAUSTIVE") != "" {
			times = []int{1, 2, 5}
		} else if op == "sendmmsg" {
			times = []int{1, 2} // what fails once is sent again
		} else if op == "bell write" {
			times = []int{1, 3} // one failure is made up for at once
		}
		calls := plain.k.calls[op]
		if calls == 0 {
			t.Errorf("the scenario makes no call of %s", op)
		}
		for nth := 1; nth <= calls; nth++ {
			for i, errno := range slices.Concat(list.loud, list.quiet) {
				if (raceEnabled || testing.Short()) && (nth+i)%8 != 0 {
					continue // a sample: it is the same goroutine throughout
				}
				for _, n := range times {
					k := newFaultKernel()
					k.op, k.nth, k.errno, k.times = op, nth, errno, n
					r := newFaultRun(t, file, k)
					r.run()
					r.check(plain)
					runs++
					if !k.hit {
						r.wrong("the fault was not reached")
					}
					if op == "sendmmsg" && n == 1 && errno != unix.EBADF && r.got() != plain.got() {
						r.wrong("a datagram was not sent again: %q", r.got())
					}
					told := r.told
					if op == "accept" || op == "setsockopt" {
						told -= r.toldClient // that the peer notices is not enough
					}
					if told == 0 && slices.Contains(list.loud, errno) {
						r.wrong("silence")
					}
					if len(k.wrong) > 0 {
						t.Errorf("%s number %d fails with %s, %d times:\n  %s", op, nth, unix.ErrnoName(errno), n, strings.Join(k.wrong, "\n  "))
					}
				}
			}
		}
		if len(plain.k.wrong) > 0 {
			t.Fatal(plain.k.wrong)
		}
	}
	t.Logf("%d runs with one fault each", runs)
}

// faultBytes returns n bytes, of which each stretch differs from the others.
func faultBytes(n int) []byte { return faultTable[:n] }

var faultTable = func() (b []byte) {
	for i := 0; len(b) < 32<<10; i++ {
		b = fmt.Appendf(b, "%d,", i)
	}
	return b
}()

// faultRun is one run of the scenario: a listener, clients of different kinds, work from other
// goroutines, timers, and a descriptor that is watched.
type faultRun struct {
	t    *testing.T
	k    *faultKernel
	m    *Manager
	file string

	told       int      // what says that something went wrong
	toldClient int      // of these, the Error events of clients
	tales      []string // the same in words
	done       map[string]bool
	asked      map[string]bool // the messages that were accepted
	opens      int             // connections that have seen Open and not yet Close
	event      *faultFile
}

func newFaultRun(t *testing.T, file string, k *faultKernel) *faultRun {
	return &faultRun{t: t, k: k, file: file, done: map[string]bool{}, asked: map[string]bool{}}
}

func (r *faultRun) wrong(format string, args ...any) { r.k.fail(format, args...) }

// tell notes that an event, an error, a counter or the log has told of the fault.
func (r *faultRun) tell(format string, args ...any) {
	r.told++
	r.tales = append(r.tales, fmt.Sprintf(format, args...))
}

func (r *faultRun) Warn(msg string, args ...any)  { r.tell("log: %s %v", msg, args) }
func (r *faultRun) Error(msg string, args ...any) { r.tell("log: %s %v", msg, args) }

// faultWork is all that the scenario has to bring about.
var faultWork = []string{"do 0", "do 1", "do 2", "asleep 0", "asleep 1", "asleep 2", "wakeup", "timer", "event", "echo", "file", "half", "linger", "unix", "shared",
	"named", "datagrams", "named datagrams", "undelivered"}

func (r *faultRun) want() string { return strings.Join(faultWork, " ") }

func (r *faultRun) got() string {
	var all []string
	for _, w := range faultWork {
		if r.done[w] {
			all = append(all, w)
		}
	}
	return strings.Join(all, " ")
}

func (r *faultRun) run() {
	m, err := newManager(Options{Log: r, Resolver: ResolverFunc(faultResolve)}, faultPoller{r.k}, func() int64 { return r.k.now })
	if err != nil {
		r.tell("New: %v", err)
		return
	}
	unixClose(m) // the reserve of the real kernel
	delete(r.k.watched, m.pair.FD())
	m.pair.Close(nil)
	m.pair = ctlpair.NewOver[message](0, r.k.newBell())
	r.k.watched[faultBell] = conn.In
	m.sock, m.sockets, m.grams, r.m = r.k, r.k, r.k, m
	m.openReserve()
	m.own(goroutine())
	defer m.own(0)

	for range 3 { // a program tries again
		if _, err := m.Listen("tcp://127.0.0.1:80", r.serve); err == nil {
			break
		} else {
			r.tell("Listen: %v", err)
		}
	}
	for range 3 {
		if _, err := m.Listen("udp://127.0.0.1:53", r.handler(r.answer)); err == nil {
			break
		} else {
			r.tell("Listen: %v", err)
		}
	}
	r.event = r.k.open("event")
	c := conn.NewReady(m.sh, r.event.fd, m.newID(), conn.In, watchLimits, r.handler(func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Ready); ok {
			r.event.ready = false
			r.done["event"] = true
			c.Close()
		}
	}))
	m.open++
	m.place(c)
	m.begin(c, nil)

	r.client("echo", "tcp://127.0.0.1:80", 8000)
	r.client("file", "tcp://127.0.0.1:80", 0)
	r.client("half", "tcp://127.0.0.1:80", 100)
	r.client("linger", "tcp://127.0.0.1:80", 100)
	r.client("unix", "unix:///run/x", 100)
	r.client("shared", "tcp://127.0.0.1:80", 0)
	r.client("named", "tcp://box.test:80", 100)
	r.ask("datagrams", "udp://127.0.0.1:53")
	r.ask("named datagrams", "udp://box.test:53")
	r.ask("undelivered", "udp://127.0.0.1:9")
	m.AfterFunc(10*time.Millisecond, func() { r.done["timer"] = true })
	r.turns(2)
	for i := range 3 {
		r.do(fmt.Sprintf("do %d", i))
		r.turns(1)
	}
	r.event.ready = true
	r.turns(400)
	for i := range 3 { // all is done: the loop sleeps without end
		r.k.during = append(r.k.during, func() { r.do(fmt.Sprintf("asleep %d", i)) })
		r.turns(20)
	}

	// Clients that come later are served.
	if _, open := r.m.listeners[r.listenerFD()]; open {
		for i := 0; i < 10 && !r.done["late"]; i++ {
			delete(r.done, "late failed")
			r.client("late", "tcp://127.0.0.1:80", 500)
			r.turns(200)
		}
		if _, open := r.m.listeners[r.listenerFD()]; open && !r.done["late"] {
			r.wrong("a client that comes later is not served")
		}
	} else if r.told == 0 {
		r.wrong("the listener is gone, and nobody was told")
	} else if end := []unix.Errno{unix.EBADF, unix.EINVAL, unix.ENOTSOCK}; r.k.hit && r.k.op != "listen" && !slices.Contains(end, r.k.errno) {
		r.wrong("the listener is gone because of an error that passes")
	}
	m.asked.Or(askShutdown)
	r.turns(200)
	if !m.isDone() {
		r.wrong("the shutdown does not end: %d connections, %d listeners", m.open, len(m.listeners))
		m.finish()
	}
}

func unixClose(m *Manager) {
	if m.reserve >= 0 {
		unix.Close(m.reserve)
	}
}

func (r *faultRun) listenerFD() int {
	for fd := range r.m.listeners {
		return fd
	}
	return -1
}

// turns turns the loop n times at most, until it would sleep for ever.
func (r *faultRun) turns(n int) {
	for i := 0; i < n && !r.m.isDone(); i++ {
		switch err := r.m.once(-1); {
		case errors.Is(err, errAsleep):
			if n := r.m.pair.Len() + r.m.pair.Left(); n > 0 {
				r.wrong("the loop sleeps for ever, and %d messages wait", n)
			}
			return
		case err != nil && err != ErrClosed:
			r.tell("Poll: %v", err)
			if r.k.errno == unix.ENOMEM {
				r.wrong("Poll: %v", err)
			}
		}
	}
}

func (r *faultRun) do(name string) {
	sent := r.k.now
	err := r.m.Do(func() {
		r.done[name] = true
		if late := time.Duration(r.k.now - sent); late > 100*time.Millisecond {
			r.wrong("%s has waited for %v: the loop was deaf", name, late)
		}
	})
	if err != nil {
		r.tell("Do: %v", err)
		return
	}
	r.asked[name] = true
}

// handler counts Open, Close and Error.
func (r *faultRun) handler(h conn.Handler) conn.Handler {
	return func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Open:
			r.opens++
		case *conn.Error:
			r.toldClient++
			r.tell("Error: %v", ev.Err)
		case *conn.Undelivered:
			r.tell("Undelivered: %v", ev.Err)
		case *conn.Close:
			r.opens--
		}
		h(c, ev)
	}
}

// serve is the server: it answers a line that names what the client wants, and then echoes.
func (r *faultRun) serve(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *conn.Open:
		r.opens++
	case *conn.Error:
		r.tell("Error: %v", ev.Err)
	case *conn.Close:
		r.opens--
	case *conn.Wakeup:
		r.done["wakeup"] = string(ev.Data) == "wake"
		c.WriteString("W")
	case *conn.Read:
		b := c.Recv.Bytes()
		if c.Data == nil {
			name, _, ok := strings.Cut(string(b), "\n")
			if !ok {
				return
			}
			c.Data = name
			c.Recv.Discard(len(name) + 1)
			b = c.Recv.Bytes()
			switch name {
			case "file":
				f, err := os.Open(r.file)
				if err != nil {
					r.t.Fatal(err)
				}
				c.WriteString("head")
				c.SendFile(f, 0, 9000, f)
				c.Drain()
			case "half":
				c.SetHalfOpen(true)
				c.Pause()
				r.m.AfterFunc(time.Millisecond, c.Resume)
			case "linger":
				c.Write(faultBytes(5000))
				c.Layer().DrainLinger(time.Second)
			case "unix":
				if err := r.m.Wakeup(c.ID(), []byte("wake")); err != nil {
					r.tell("Wakeup: %v", err)
				} else {
					r.asked["wakeup"] = true
				}
			}
		}
		switch c.Data {
		case "file", "linger":
		case "shared":
			c.WriteShared(faultBytes(1000)) // more than is joined for one send
			c.WriteShared(faultBytes(20_000))
			c.WriteString("end")
		default:
			c.Write(b)
		}
		c.Recv.Discard(len(b))
	case *conn.EOF:
		if c.Data == "half" {
			c.WriteString("bye")
			c.CloseWrite()
			c.Drain()
		}
	}
}

// client connects, asks for name, sends n bytes, and is done when it has what it must get.
func (r *faultRun) client(name, url string, n int) {
	var got []byte
	sent := faultBytes(n)
	_, err := r.m.Connect(url, r.handler(func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *conn.Connect:
			c.WriteString(name + "\n")
			c.Write(sent)
			if name == "half" {
				c.CloseWrite()
			}
		case *conn.Read:
			got = append(got, c.Recv.Bytes()...)
			c.Recv.Discard(c.Recv.Len())
		}
		if _, closed := ev.(*conn.Close); closed && !r.done[name] {
			r.done[name+" failed"] = true
		} else if !r.done[name] && string(got) == r.reply(name, sent) {
			r.done[name] = true
			c.Drain()
		}
	}))
	if err != nil {
		r.tell("Connect: %v", err)
	}
}

// faultResolve says which addresses box.test has.
func faultResolve(m *Manager, name string, found func(Resolved)) (cancel func()) {
	t := m.AfterFunc(time.Millisecond, func() { found(Resolved{Addrs: faultRace}) })
	return func() { t.Stop() }
}

// answer is the server of datagrams.
func (r *faultRun) answer(c *conn.Conn, ev conn.Event) {
	if ev, ok := ev.(*conn.Datagram); ok {
		if err := ev.Reply(ev.Data); err != nil {
			r.tell("Reply: %v", err)
		}
	}
}

// faultAsks is how many datagrams a client sends: more than a socket holds.
const faultAsks = 7

// ask sends datagrams to url, and is done when each has been answered, or, with nobody there, when
// the network says so.
func (r *faultRun) ask(name, url string) {
	got := map[string]bool{}
	_, err := r.m.Connect(url, r.handler(func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Connect:
			for i := range faultAsks {
				if _, err := fmt.Fprintf(c, "%s %d", name, i); err != nil {
					r.tell("Write: %v", err)
				}
			}
		case *conn.Undelivered:
			if name == "undelivered" && ev.Err == unix.ECONNREFUSED && ev.Dropped == 0 {
				r.told-- // as it must be
				r.done[name] = true
				c.Close()
			}
		case *conn.Datagram:
			if s := string(ev.Data); !strings.HasPrefix(s, name+" ") || got[s] {
				r.wrong("%s: received %q", name, s)
			}
			if got[string(ev.Data)] = true; len(got) == faultAsks {
				r.done[name] = true
				c.Close()
			}
		}
	}))
	if err != nil {
		r.tell("Connect: %v", err)
	}
}

func (r *faultRun) reply(name string, sent []byte) string {
	switch name {
	case "file":
		return "head" + string(faultBytes(9000))
	case "half":
		return string(sent) + "bye"
	case "linger":
		return string(faultBytes(5000))
	case "unix":
		return string(sent) + "W"
	case "shared":
		return string(faultBytes(1000)) + string(faultBytes(20_000)) + "end"
	}
	return string(sent)
}

// check compares the run with the plain one.
func (r *faultRun) check(plain *faultRun) {
	if r.m == nil {
		return
	}
	s := r.m.stats
	if s.Exhausted+s.Refused+s.LostWakeups+s.AcceptErrors+s.PollErrors+r.m.pair.Misses()+r.m.sh.Stats.Panics > 0 {
		r.tell("Stats: %+v", s)
	}
	if r.got() != r.want() && r.told == 0 {
		r.wrong("only %q came about, and nobody was told", r.got())
	}
	for name := range r.asked {
		if !r.done[name] && r.told == 0 {
			r.wrong("%s was accepted and never done", name)
		}
	}
	for name := range r.asked {
		if strings.Contains(name, " ") && !r.done[name] {
			r.wrong("%s was accepted and never done", name)
		}
	}
	if r.opens != 0 {
		r.wrong("%d connections have not seen Close", r.opens)
	}
	for _, f := range r.k.next {
		if notOurs := r.k.hit && r.k.errno == unix.EBADF; !f.closed && f.kind != "event" && !notOurs {
			r.wrong("descriptor %d (%s) leaked", f.fd, f.kind)
		}
	}
	if plain != nil && r.k.waits > plain.k.waits+120 {
		r.wrong("it spins: %d turns, and %d without the fault", r.k.waits, plain.k.waits)
	}
}
