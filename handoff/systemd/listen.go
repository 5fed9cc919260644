package systemd

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// firstFD is SD_LISTEN_FDS_START.
const firstFD = 3

// maxFDs bounds LISTEN_FDS: a number that is larger is a mistake.
const maxFDs = 1024

// Sockets are the descriptors that the service manager has passed. It is an mgr.Inherit. All
// methods are safe for concurrent use.
type Sockets struct {
	mu  sync.Mutex
	all []passed
}

// passed is one of them.
type passed struct {
	fd      int
	name    string
	network string         // as in a URL, if it listens or takes datagrams; else ""
	at      netip.AddrPort // of tcp and udp
	path    string         // of unix and unixgram
	taken   bool
}

// Listeners takes the descriptors of LISTEN_FDS, with their names (LISTEN_FDNAMES), if LISTEN_PID
// says that they are for this process. The variables are unset, so that programs that this one
// starts do not take them for theirs, and the descriptors become close-on-exec. There are none if
// the variables are not set. Malformed variables are an error, and so is a descriptor that is not
// open.
func Listeners() (*Sockets, error) {
	s, err := listeners(firstFD)
	if err != nil {
		return nil, fmt.Errorf("systemd: listeners: %w", err)
	}
	return s, nil
}

func listeners(first int) (*Sockets, error) {
	s := new(Sockets)
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	if pid == "" || count == "" {
		return s, nil
	}
	if n, err := strconv.Atoi(pid); err != nil {
		return nil, fmt.Errorf("LISTEN_PID %q is no number", pid)
	} else if n != os.Getpid() {
		return s, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxFDs {
		return nil, fmt.Errorf("LISTEN_FDS %q is not a number from 0 to %d", count, maxFDs)
	}
	var list []string
	if names != "" {
		if list = strings.Split(names, ":"); len(list) != n {
			return nil, fmt.Errorf("%d names in LISTEN_FDNAMES for %d descriptors", len(list), n)
		}
	}
	for i := range n {
		p := passed{fd: first + i, name: "unknown"} // as sd_listen_fds_with_names(3) has it
		if list != nil {
			p.name = list[i]
		}
		if _, err := unix.FcntlInt(uintptr(p.fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, fmt.Errorf("descriptor %d of LISTEN_FDS: %w", p.fd, os.NewSyscallError("fcntl", err))
		}
		p.look()
		s.all = append(s.all, p)
	}
	return s, nil
}

// look finds out where the socket listens. A connection (Accept=yes) has the address of its
// listener, and must not be taken for it.
func (p *passed) look() {
	kind, err := unix.GetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return
	}
	accepts, err := unix.GetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	ip, local := "tcp", "unix"
	switch {
	case kind == unix.SOCK_DGRAM:
		ip, local = "udp", "unixgram"
	case kind != unix.SOCK_STREAM || err == nil && accepts == 0:
		return
	}
	sa, err := unix.Getsockname(p.fd)
	if err != nil {
		return
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		p.network, p.at = ip, netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		p.network, p.at = ip, netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrUnix:
		p.network, p.path = local, sa.Name
	}
}

// listens reports whether the socket listens on a. One on all addresses is [::]:port or
// 0.0.0.0:port, whichever the unit says.
func (p *passed) listens(a conn.Addr) bool {
	switch {
	case p.network == "" || p.network != a.Network:
		return false
	case p.network == "unix" || p.network == "unixgram":
		return a.Path != "" && p.path == a.Path
	case p.at.Port() != a.AddrPort.Port():
		return false
	case a.AnyStack:
		return p.at.Addr().IsUnspecified()
	}
	return p.at.Addr() == a.AddrPort.Addr().WithZone("")
}

// Take implements mgr.Inherit: it gives up the descriptor of a socket that listens on a, or is
// bound to it if a is for datagrams.
func (s *Sockets) Take(a conn.Addr) (fd int, ok bool) {
	return s.take(func(p *passed) bool { return p.listens(a) })
}

// TakeNamed gives up a descriptor by its name, FileDescriptorName= in the unit: for one that no
// Listen takes, or whose address the program does not know. It belongs to the caller then:
// Manager.Wrap makes a listener of it, or a connection. With Accept=yes in the unit the descriptor
// is a connection, by the name "connection". Several descriptors may have one name; each call gives
// another one.
func (s *Sockets) TakeNamed(name string) (fd int, ok bool) {
	return s.take(func(p *passed) bool { return p.name == name })
}

func (s *Sockets) take(is func(*passed) bool) (fd int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.all {
		if p := &s.all[i]; !p.taken && is(p) {
			p.taken = true
			return p.fd, true
		}
	}
	return -1, false
}

// Left returns the names of the descriptors that nobody has taken: units and program do not agree,
// perhaps.
func (s *Sockets) Left() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.all {
		if !p.taken {
			names = append(names, p.name)
		}
	}
	return names
}

// Close closes the descriptors that nobody has taken. systemd keeps its own.
func (s *Sockets) Close() {
	for {
		fd, ok := s.take(func(*passed) bool { return true })
		if !ok {
			return
		}
		unix.Close(fd)
	}
}
