package conn

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// parse is ParseAddr for addresses that are right.
func parse(t *testing.T, url string) Addr {
	t.Helper()
	a, err := ParseAddr(url)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// listenOn returns a listening descriptor, closed when the test ends.
func listenOn(t *testing.T, url string, o SocketOptions) int {
	t.Helper()
	fd, err := Listen(parse(t, url), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// dialTo returns a blocking socket connected to sa, closed when the test ends.
func dialTo(t *testing.T, sa unix.Sockaddr) int {
	t.Helper()
	fd := blockingSocket(t, sa)
	if err := unix.Connect(fd, sa); err != nil {
		t.Fatalf("connect: %v", err)
	}
	return fd
}

func blockingSocket(t *testing.T, sa unix.Sockaddr) int {
	t.Helper()
	family := unix.AF_INET
	switch sa.(type) {
	case *unix.SockaddrInet6:
		family = unix.AF_INET6
	case *unix.SockaddrUnix:
		family = unix.AF_UNIX
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatalf("socket: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func loopback4(port uint16) unix.Sockaddr {
	return &unix.SockaddrInet4{Port: int(port), Addr: [4]byte{127, 0, 0, 1}}
}

func loopback6(port uint16) unix.Sockaddr {
	return &unix.SockaddrInet6{Port: int(port), Addr: [16]byte{15: 1}}
}

// await waits until fd is ready for events.
func await(t *testing.T, fd int, events int16) {
	t.Helper()
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: events}}
		n, err := unix.Poll(p, 10_000)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			t.Fatalf("poll: %d ready, %v", n, err)
		}
		return
	}
}

// acceptFrom accepts the connection that is coming, and closes it when the test ends.
func acceptFrom(t *testing.T, lfd int) (int, Peer) {
	t.Helper()
	await(t, lfd, unix.POLLIN)
	fd, peer, err := AcceptFD(lfd)
	if err != nil {
		t.Fatalf("AcceptFD: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd, peer
}

func needIPv6(t *testing.T) {
	t.Helper()
	fd, err := Listen(parse(t, "tcp://[::1]:0"), SocketOptions{})
	if err != nil {
		t.Skipf("no IPv6 on this machine: %v", err)
	}
	unix.Close(fd)
}

func TestListenOnPortZeroGetsAPort(t *testing.T) {
	fd := listenOn(t, "tcp://127.0.0.1:0", SocketOptions{})
	at := LocalAddr(fd)
	if at.Addr() != netip.MustParseAddr("127.0.0.1") || at.Port() == 0 {
		t.Errorf("LocalAddr = %v", at)
	}
}

func TestDescriptorsAreNonBlockingAndCloseOnExec(t *testing.T) {
	lfd := listenOn(t, "tcp://127.0.0.1:0", SocketOptions{})
	dialTo(t, loopback4(LocalAddr(lfd).Port()))
	fd, _ := acceptFrom(t, lfd)
	for name, fd := range map[string]int{"listener": lfd, "accepted": fd} {
		if fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || fl&unix.O_NONBLOCK == 0 {
			t.Errorf("%s: blocking (flags %#x, %v)", name, fl, err)
		}
		if fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: inherited by programs started (flags %#x, %v)", name, fl, err)
		}
	}
}

func TestAcceptGivesEAGAINWhenNobodyWaits(t *testing.T) {
	fd, peer, err := AcceptFD(listenOn(t, "tcp://127.0.0.1:0", SocketOptions{}))
	if fd != -1 || peer != (Peer{}) || err != unix.EAGAIN {
		t.Errorf("AcceptFD = %d, %v, %v", fd, peer, err)
	}
}

func TestAcceptGivesThePeersAddress(t *testing.T) {
	lfd := listenOn(t, "tcp://127.0.0.1:0", SocketOptions{})
	client := dialTo(t, loopback4(LocalAddr(lfd).Port()))
	fd, peer := acceptFrom(t, lfd)
	if got, want := peer.AddrPort(), LocalAddr(client); got != want || !got.IsValid() {
		t.Errorf("peer %v, but the client is at %v", got, want)
	}
	if got, want := LocalAddr(fd), LocalAddr(lfd); got != want {
		t.Errorf("accepted at %v by a listener at %v", got, want)
	}
}

func TestDualStackTakesBothFamiliesAndUnmapsIPv4(t *testing.T) {
	needIPv6(t)
	lfd := listenOn(t, "tcp://:0", SocketOptions{})
	port := LocalAddr(lfd).Port()
	for _, sa := range []unix.Sockaddr{loopback4(port), loopback6(port)} {
		client := dialTo(t, sa)
		fd, peer := acceptFrom(t, lfd)
		if got, want := peer.AddrPort(), LocalAddr(client); got != want || got.Addr().Is4In6() {
			t.Errorf("peer %v, but the client is at %v", got, want)
		}
		if got, want := LocalAddr(fd), peerOf(sa).AddrPort(); got != want {
			t.Errorf("accepted at %v, want %v", got, want)
		}
	}
}

func TestDualStackFallsBackToIPv4(t *testing.T) {
	broken := errors.New("something else")
	tests := []struct {
		name string
		six  error // what the attempt with IPv6 gives
		want string
	}{
		{"no IPv6 in the kernel", os.NewSyscallError("socket", unix.EAFNOSUPPORT), "0.0.0.0:80"},
		{"IPv6 disabled", os.NewSyscallError("bind", unix.EADDRNOTAVAIL), "0.0.0.0:80"},
		{"IPV6_V6ONLY cannot be turned off", fmt.Errorf("%w: %w", errOneStack, unix.EINVAL), "0.0.0.0:80"},
		{"another error", broken, ""},
		{"no error", nil, "[::]:80"},
	}
	for _, tt := range tests {
		var bound string
		_, err := dualStack(80, false, func(ap netip.AddrPort) (int, error) {
			if ap.Addr().Is6() && tt.six != nil {
				return -1, tt.six
			}
			bound = ap.String()
			return 3, nil
		})
		if bound != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s: bound to %q, %v; want %q", tt.name, bound, err, tt.want)
		}
	}
}

func TestV6OnlyDoesNotFallBackToIPv4(t *testing.T) {
	fd, err := dualStack(80, true, func(ap netip.AddrPort) (int, error) {
		if ap.Addr().Is4() {
			return 3, nil
		}
		return -1, unix.EAFNOSUPPORT
	})
	if fd != -1 || err != unix.EAFNOSUPPORT {
		t.Errorf("got %d, %v", fd, err)
	}
}

func TestV6OnlyRefusesIPv4(t *testing.T) {
	needIPv6(t)
	for _, url := range []string{"tcp://:0", "tcp://[::]:0"} {
		lfd := listenOn(t, url, SocketOptions{V6Only: true})
		sa := loopback4(LocalAddr(lfd).Port())
		if err := unix.Connect(blockingSocket(t, sa), sa); err != unix.ECONNREFUSED {
			t.Errorf("%s: connecting with IPv4 gave %v", url, err)
		}
	}
}

func TestListenErrors(t *testing.T) {
	busy := LocalAddr(listenOn(t, "tcp://127.0.0.1:0", SocketOptions{}))
	tests := []struct {
		a    Addr
		want string
		is   error
	}{
		{Addr{Network: "tcp", AddrPort: busy}, "conn: listen tcp://" + busy.String() + ": bind: address already in use", unix.EADDRINUSE},
		{Addr{}, "conn: listen tcp://invalid AddrPort: not an address", nil},
		{Addr{Network: "xdp", AddrPort: busy}, "conn: listen xdp://" + busy.String() + ": not an address", nil},
		{Addr{Network: "unix"}, "conn: listen unix://: no path", nil},
		{unixAddr("/no/such/dir/x"), "conn: listen unix:///no/such/dir/x: bind: no such file or directory", unix.ENOENT},
	}
	for _, tt := range tests {
		fd, err := Listen(tt.a, SocketOptions{})
		if fd != -1 || err == nil || err.Error() != tt.want || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("Listen(%+v) = %d, %v\nwant %s", tt.a, fd, err, tt.want)
		}
	}
}

func TestFailedListenClosesItsDescriptor(t *testing.T) {
	busy := LocalAddr(listenOn(t, "tcp://127.0.0.1:0", SocketOptions{}))
	notSocket := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notSocket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, a := range []Addr{{Network: "tcp", AddrPort: busy}, unixAddr(notSocket)} {
		before := lowestFree(t)
		if fd, err := Listen(a, SocketOptions{}); err == nil {
			t.Fatalf("Listen(%v) = %d", a, fd)
		}
		if after := lowestFree(t); after != before {
			t.Errorf("Listen(%v) left a descriptor open: the lowest free one was %d and is %d", a, before, after)
		}
	}
}

// lowestFree returns the number that the next descriptor will get.
func lowestFree(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	return fd
}

// sockPath returns a short path for a unix socket.
func sockPath(t *testing.T) string { return filepath.Join(t.TempDir(), "s") }

func TestUnixSocketHasNoIPAddress(t *testing.T) {
	path := sockPath(t)
	lfd := listenOn(t, "unix://"+path, SocketOptions{})
	dialTo(t, &unix.SockaddrUnix{Name: path})
	fd, peer := acceptFrom(t, lfd)
	if p := peer.AddrPort(); p.IsValid() {
		t.Errorf("peer %v", p)
	}
	if p := LocalAddr(fd); p.IsValid() {
		t.Errorf("LocalAddr %v", p)
	}
}

func TestStaleUnixSocketIsReplaced(t *testing.T) {
	a := unixAddr(sockPath(t))
	old, err := Listen(a, SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(old) // and the file stays, as after a crash
	lfd := listenOn(t, a.String(), SocketOptions{})
	dialTo(t, &unix.SockaddrUnix{Name: a.Path})
	acceptFrom(t, lfd)
}

func TestLiveUnixSocketIsLeftAlone(t *testing.T) {
	a := unixAddr(sockPath(t))
	lfd := listenOn(t, a.String(), SocketOptions{})
	want := "conn: listen " + a.String() + ": bind: address already in use"
	if fd, err := Listen(a, SocketOptions{}); !errors.Is(err, unix.EADDRINUSE) || err.Error() != want {
		t.Fatalf("second Listen = %d, %v", fd, err)
	}
	if fd, _, err := AcceptFD(lfd); err != unix.EAGAIN {
		t.Errorf("the listener noticed: accept gives %d, %v", fd, err)
	}
	dialTo(t, &unix.SockaddrUnix{Name: a.Path})
	acceptFrom(t, lfd)
}

func TestLiveUnixSocketWithAFullBacklogIsLeftAlone(t *testing.T) {
	a := unixAddr(sockPath(t))
	listenOn(t, a.String(), SocketOptions{Backlog: 1})
	for i := 0; ; i++ {
		if i == 100 {
			t.Skip("the backlog never fills on this system")
		}
		fd := blockingSocket(t, &unix.SockaddrUnix{})
		if err := unix.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
		if unix.Connect(fd, &unix.SockaddrUnix{Name: a.Path}) != nil {
			break
		}
	}
	if fd, err := Listen(a, SocketOptions{}); !errors.Is(err, unix.EADDRINUSE) {
		t.Fatalf("second Listen = %d, %v", fd, err)
	}
}

// Two programs start at the same moment: one has bound its socket and not yet called listen.
func TestUnixSocketOfAProgramThatIsStartingIsLeftAlone(t *testing.T) {
	a := unixAddr(sockPath(t))
	fd := blockingSocket(t, &unix.SockaddrUnix{})
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: a.Path}); err != nil {
		t.Fatal(err)
	}
	if fd, err := Listen(a, SocketOptions{}); !errors.Is(err, unix.EADDRINUSE) {
		t.Fatalf("second Listen = %d, %v", fd, err)
	}
}

func TestUnixSocketHasTheModeAndOwnerThatWereAsked(t *testing.T) {
	a := unixAddr(sockPath(t))
	o := SocketOptions{Mode: 0o620, UID: os.Getuid(), GID: os.Getgid()}
	if os.Getuid() == 0 {
		o.UID, o.GID = 12, 34
	}
	listenOn(t, a.String(), o)
	var st unix.Stat_t
	if err := unix.Lstat(a.Path, &st); err != nil {
		t.Fatal(err)
	}
	if st.Mode&0o777 != 0o620 || int(st.Uid) != o.UID || int(st.Gid) != o.GID {
		t.Errorf("mode %o, owner %d:%d; want %+v", st.Mode, st.Uid, st.Gid, o)
	}
}

func TestAUnixSocketWhoseOwnerCannotBeSetLeavesNoFile(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may give files away")
	}
	a := unixAddr(sockPath(t))
	if fd, err := Listen(a, SocketOptions{UID: 1}); !errors.Is(err, unix.EPERM) {
		t.Fatalf("Listen = %d, %v", fd, err)
	}
	if _, err := os.Lstat(a.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}

func TestFileThatIsNoSocketIsLeftAlone(t *testing.T) {
	path := sockPath(t)
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if fd, err := Listen(unixAddr(path), SocketOptions{}); !errors.Is(err, unix.EADDRINUSE) {
		t.Fatalf("Listen = %d, %v", fd, err)
	}
	if err := RemoveUnix(unixAddr(path)); err != nil {
		t.Errorf("RemoveUnix: %v", err)
	}
	if b, err := os.ReadFile(path); string(b) != "precious" {
		t.Errorf("the file holds %q, %v", b, err)
	}
}

func TestRemoveUnixRemovesTheFileOfAClosedListener(t *testing.T) {
	a := unixAddr(sockPath(t))
	fd, err := Listen(a, SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	for range 2 { // the second finds no file
		if err := RemoveUnix(a); err != nil {
			t.Errorf("RemoveUnix: %v", err)
		}
	}
	if _, err := os.Lstat(a.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	if err := RemoveUnix(tcpAddr("127.0.0.1:80")); err != nil {
		t.Errorf("RemoveUnix of a TCP address: %v", err)
	}
}

func TestRemoveUnixKeepsAFileTakenOverByAnother(t *testing.T) {
	a := unixAddr(sockPath(t))
	old, err := Listen(a, SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(old)
	listenOn(t, a.String(), SocketOptions{}) // the other
	if err := RemoveUnix(a); err != nil {
		t.Errorf("RemoveUnix: %v", err)
	}
	dialTo(t, &unix.SockaddrUnix{Name: a.Path})
}
