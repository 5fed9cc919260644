package systemd

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/mgr"
)

// A Notifier tells the service manager how the program is. If there is none, all methods do
// nothing. They are safe for concurrent use, and never wait: a message that the manager's socket
// has no room for is an error.
type Notifier struct {
	mu       sync.Mutex // of fd
	fd       int        // -1 without a service manager, and after Close
	to       *unix.SockaddrUnix
	foreign  string        // NOTIFY_SOCKET, if it is one of another kind, to which nothing can be sent
	watchdog time.Duration // WATCHDOG_USEC; 0 is none
}

// NewNotifier looks for a service manager in the environment: NOTIFY_SOCKET, WATCHDOG_USEC and
// WATCHDOG_PID. It unsets them, so that programs that this one starts do not speak for it.
//
// NOTIFY_SOCKET is a unix socket. sd_notify(3) knows vsock: addresses too, by which a virtual
// machine speaks with its host. There each method fails with an error that wraps
// errors.ErrUnsupported, as sd_notify does on a system without them, and the program can go on.
func NewNotifier() (*Notifier, error) {
	path, usec, pid := os.Getenv("NOTIFY_SOCKET"), os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		os.Unsetenv(name)
	}
	return newNotifier(path, usec, pid)
}

func newNotifier(path, usec, pid string) (*Notifier, error) {
	n := &Notifier{fd: -1}
	if path == "" {
		return n, nil
	}
	if strings.HasPrefix(path, "vsock") {
		n.foreign = path
		return n, nil
	}
	if path[0] != '/' && path[0] != '@' || len(path) < 2 || strings.IndexByte(path, 0) >= 0 {
		return nil, fmt.Errorf("systemd: NOTIFY_SOCKET %q is neither a path nor an abstract name", path)
	}
	if usec != "" && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		us, err := strconv.ParseInt(usec, 10, 64)
		if err != nil || us <= 0 || us > int64(time.Duration(1<<63-1)/time.Microsecond) {
			return nil, fmt.Errorf("systemd: WATCHDOG_USEC %q is not a number of microseconds", usec)
		}
		n.watchdog = time.Duration(us) * time.Microsecond
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return nil, fmt.Errorf("systemd: %w", os.NewSyscallError("socket", err))
	}
	unix.CloseOnExec(fd)
	unix.SetNonblock(fd, true)
	n.fd, n.to = fd, &unix.SockaddrUnix{Name: path}
	return n, nil
}

// Environ returns the variables from which the process that replaces this one makes its own
// Notifier: for handoff.Spawn.
func (n *Notifier) Environ() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.foreign != "" {
		return []string{"NOTIFY_SOCKET=" + n.foreign}
	}
	if n.fd < 0 {
		return nil
	}
	env := []string{"NOTIFY_SOCKET=" + n.to.Name}
	if n.watchdog > 0 {
		env = append(env, "WATCHDOG_USEC="+strconv.FormatInt(int64(n.watchdog/time.Microsecond), 10))
	}
	return env
}

// Present reports whether there is a service manager to notify.
func (n *Notifier) Present() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fd >= 0
}

// Close gives the socket back. The program tells nothing any more.
func (n *Notifier) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.foreign = ""
	if n.fd >= 0 {
		unix.Close(n.fd)
		n.fd = -1
	}
}

// Send sends assignments as sd_notify(3) lists them, such as "STATUS=warming up", in one message.
func (n *Notifier) Send(assignments ...string) error {
	n.mu.Lock() // never for long: the socket does not block
	defer n.mu.Unlock()
	if n.foreign != "" {
		return fmt.Errorf("systemd: notify: NOTIFY_SOCKET %q is no unix socket: %w", n.foreign, errors.ErrUnsupported)
	}
	if n.fd < 0 {
		return nil
	}
	for _, a := range assignments {
		if strings.IndexByte(a, '\n') >= 0 || strings.IndexByte(a, '=') < 1 {
			return fmt.Errorf("systemd: notify: %q is not one assignment", a)
		}
	}
	msg := []byte(strings.Join(assignments, "\n"))
	err := error(unix.EINTR)
	for errors.Is(err, unix.EINTR) {
		err = unix.Sendto(n.fd, msg, 0, n.to)
	}
	if err != nil {
		return fmt.Errorf("systemd: notify: %w", os.NewSyscallError("sendto", err))
	}
	return nil
}

// Ready says that the program serves: after its start, and after each reload.
func (n *Notifier) Ready() error { return n.Send("READY=1") }

// Reloading says that the program reads its settings anew; Ready ends that. The time goes along, as
// Type=notify-reload wants it.
func (n *Notifier) Reloading() error {
	usec, ok := monotonic()
	if !ok {
		return n.Send("RELOADING=1")
	}
	return n.Send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(usec, 10))
}

// Stopping says that the program is about to end.
func (n *Notifier) Stopping() error { return n.Send("STOPPING=1") }

// Status tells an operator, in one line, what the program is doing.
func (n *Notifier) Status(text string) error {
	return n.Send("STATUS=" + strings.ReplaceAll(text, "\n", " "))
}

// MainPID says that this process is the service from now on: after a handoff. The unit needs
// NotifyAccess=all.
func (n *Notifier) MainPID() error {
	return n.Send("MAINPID="+strconv.Itoa(os.Getpid()), "READY=1")
}

// Watchdog sends WATCHDOG=1 twice as often as the manager asks for, from timers of the loops: each
// loop must have turned since the last one. So if a loop hangs for WatchdogSec=, the service is
// restarted. A loop that has ended, as in a shutdown that waits for another one, does not hang.
// Watchdog does nothing if the manager does not watch.
//
// stop ends it. Both are safe for concurrent use. The first beat comes when all loops run.
func (n *Notifier) Watchdog(g mgr.Group) (stop func()) {
	w := &watchdog{n: n, loops: g.Managers(), turned: make([]bool, len(g.Managers()))}
	if n.watchdog == 0 {
		return w.stop
	}
	for i, m := range w.loops {
		m.Complete(func() { // it fails for a loop that has ended
			var t *mgr.Timer
			t = m.Every(max(n.watchdog/2, time.Millisecond), func() {
				if !w.tick(i) {
					t.Stop()
				}
			})
		})
	}
	return w.stop
}

// watchdog is what the loops know of each other for the next beat.
type watchdog struct {
	n     *Notifier
	loops []*mgr.Manager

	mu      sync.Mutex
	turned  []bool // since the last beat
	stopped bool
}

func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
}

// tick is called by the timer of loop i, and sends a beat if it is the last of the loops. It
// reports false after stop.
func (w *watchdog) tick(i int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turned[i] = true
	for k, m := range w.loops {
		if !w.turned[k] && m.Complete(func() {}) == nil { // it has not ended
			return !w.stopped
		}
	}
	if !w.stopped {
		w.n.Send("WATCHDOG=1") // if it fails, the next one may not
		clear(w.turned)
	}
	return !w.stopped
}

// OnReload calls f on the loop of the first manager for each SIGHUP, between Reloading and Ready.
// If f fails, its error becomes the status, and the program goes on with the settings that it has.
// stop ends that; it is safe for concurrent use.
func (n *Notifier) OnReload(g mgr.Group, f func() error) (stop func()) {
	m := g.Managers()[0]
	signals, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-signals:
				m.Complete(func() { n.reload(m, f) })
			case <-ended:
				return
			}
		}
	}()
	var once atomic.Bool
	return func() {
		if !once.Swap(true) {
			signal.Stop(signals)
			close(ended)
		}
	}
}

func (n *Notifier) reload(m *mgr.Manager, f func() error) {
	n.Reloading()
	err := errors.New("panic")
	m.Try(func() { err = f() })
	if err != nil {
		n.Status("reload failed: " + err.Error())
	} else {
		n.Status("reloaded")
	}
	n.Ready()
}
