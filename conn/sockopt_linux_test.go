package conn

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLinuxListenerOptions(t *testing.T) {
	lfd, _ := acceptedPair(t, SocketOptions{DeferAccept: 1500 * time.Millisecond, FastOpen: 7, Backlog: 3})
	if v := tcpDeferAccept.read(t, lfd); v < 2 || v > 8 { // the kernel rounds up to its retransmissions
		t.Errorf("TCP_DEFER_ACCEPT is %d", v)
	}
	if v := tcpFastOpen.read(t, lfd); v != 7 {
		t.Errorf("TCP_FASTOPEN is %d", v)
	}
	if got := backlogOf(t, lfd); got != 3 {
		t.Errorf("the backlog is %d, want 3", got)
	}
}

func TestDefaultBacklogIsTheSystemsLargest(t *testing.T) {
	var o SocketOptions
	if got, want := backlogOf(t, listenOn(t, "tcp://127.0.0.1:0", o)), o.backlog(); got != want {
		t.Errorf("the backlog is %d, want %d", got, want)
	}
}

// backlogOf returns what the kernel says that listen was given: tcpi_sacked, of a listening socket.
func backlogOf(t *testing.T, lfd int) int {
	t.Helper()
	info, err := unix.GetsockoptTCPInfo(lfd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		t.Fatalf("getsockopt TCP_INFO: %v", err)
	}
	return int(info.Sacked)
}

// The claim beside SetAccepted, which does nothing on Linux: a connection has the options before it
// is called.
func TestConnectionsInheritTheListenersOptions(t *testing.T) {
	o := SocketOptions{
		RecvLowat: 5, RecvBuf: 20000, SendBuf: 20000, MaxSeg: 1000, Linger: Linger{On: true},
		KeepAlive: KeepAlive{Idle: time.Minute, Interval: time.Second, Count: 2},
	}
	lfd := listenOn(t, "tcp://127.0.0.1:0", o)
	dialTo(t, loopback4(LocalAddr(lfd).Port()))
	fd, _ := acceptFrom(t, lfd)
	for _, opt := range []sockopt{
		tcpNoDelay, soRecvLowat, soRecvBuf, soSendBuf, soKeepAlive, tcpKeepIdle, tcpKeepInterval, tcpKeepCount,
	} {
		if l, c := opt.read(t, lfd), opt.read(t, fd); l != c {
			t.Errorf("%s: the listener has %d, the connection %d", opt.name, l, c)
		}
	}
	if l := lingerOf(t, fd); !l.On {
		t.Error("SO_LINGER is not inherited")
	}
}

func TestTCPOptionOnAUnixConnectionIsAnError(t *testing.T) {
	a, _ := unixPair(t)
	want := "conn: set TCP_NODELAY: setsockopt: operation not supported"
	if err := connOver(a).Kernel().SetNoDelay(true); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestMaxSegOutOfRangeIsAnError(t *testing.T) {
	_, err := Listen(parse(t, "tcp://127.0.0.1:0"), SocketOptions{MaxSeg: 10})
	want := "conn: listen tcp://127.0.0.1:0: set TCP_MAXSEG: setsockopt: invalid argument"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestLinuxPathOptions(t *testing.T) {
	o := SocketOptions{UserTimeout: 1500*time.Millisecond + 1, NotSentLowat: 16 << 10, TOS: 0xb8, IncomingCPU: 1, OOBInline: true}
	lfd, fd := acceptedPair(t, o)
	for _, w := range []struct {
		opt  sockopt
		want int
	}{{tcpUserTimeout, 1501}, {tcpNotSent, 16 << 10}, {ipTOS, 0xb8}, {soOOBInline, 1}} {
		if v := w.opt.read(t, fd); v != w.want {
			t.Errorf("%s of the connection is %d, want %d", w.opt.name, v, w.want)
		}
	}
	if v := soIncomingCPU.read(t, lfd); v != 0 {
		t.Errorf("SO_INCOMING_CPU of the listener is %d, want 0", v)
	}
	fd6 := listenOn(t, "tcp://[::1]:0", SocketOptions{TOS: 0x28})
	if v := ipv6TClass.read(t, fd6); v != 0x28 {
		t.Errorf("IPV6_TCLASS is %d", v)
	}
	if unix.Geteuid() != 0 {
		t.Skip("SO_MARK and SO_BINDTODEVICE need root")
	}
	_, fd = acceptedPair(t, SocketOptions{Mark: 0x80000001, Device: "lo"})
	if v := uint32(soMark.read(t, fd)); v != 0x80000001 {
		t.Errorf("SO_MARK is %#x", v)
	}
	if v, err := unix.GetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE); err != nil || v != "lo" {
		t.Errorf("SO_BINDTODEVICE is %q, %v", v, err)
	}
	_, err := Listen(parse(t, "tcp://127.0.0.1:0"), SocketOptions{Device: "nosuch0"})
	want := `conn: listen tcp://127.0.0.1:0: set SO_BINDTODEVICE "nosuch0": setsockopt: no such device`
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

// protocolOf returns SO_PROTOCOL.
func protocolOf(t *testing.T, fd int) int {
	return sockopt{"SO_PROTOCOL", unix.SOL_SOCKET, unix.SO_PROTOCOL}.read(t, fd)
}

func TestMultiPathListenerTakesPlainTCP(t *testing.T) {
	s, err := socketOf(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)
	if err != nil {
		t.Skip("this kernel has no MPTCP:", err)
	}
	unix.Close(s)
	lfd := listenOn(t, "tcp://127.0.0.1:0", SocketOptions{MultiPath: true})
	if p := protocolOf(t, lfd); p != unix.IPPROTO_MPTCP {
		t.Errorf("protocol %d of the listener", p)
	}
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), LocalAddr(lfd).Port())
	for _, multi := range []bool{true, false} {
		fd, _, err := Dial(Addr{Network: "tcp", AddrPort: to}, SocketOptions{MultiPath: multi})
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if p := protocolOf(t, fd); (p == unix.IPPROTO_MPTCP) != multi {
			t.Errorf("protocol %d with MultiPath %v", p, multi)
		}
		in, _ := acceptFrom(t, lfd)
		await(t, fd, unix.POLLOUT)
		if _, err := unix.Write(fd, []byte("x")); err != nil {
			t.Error(err)
		}
		await(t, in, unix.POLLIN)
		var b [2]byte
		if n, err := unix.Read(in, b[:]); n != 1 || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
	}
}

// A kernel without MPTCP, which sysctl net.mptcp.enabled=0 makes of one with it, gives plain TCP.
func TestMultiPathFallsBackToTCP(t *testing.T) {
	const file = "/proc/sys/net/mptcp/enabled"
	old, err := os.ReadFile(file)
	if err != nil {
		t.Skip("this kernel has no MPTCP, so each socket is a plain one")
	}
	if err := os.WriteFile(file, []byte("0"), 0); err != nil {
		t.Skip("only root can turn MPTCP off:", err)
	}
	defer os.WriteFile(file, old, 0)
	lfd := listenOn(t, "tcp://127.0.0.1:0", SocketOptions{MultiPath: true})
	if p := protocolOf(t, lfd); p != unix.IPPROTO_TCP {
		t.Errorf("protocol %d", p)
	}
}

func TestSCTPWithoutAKernelThatHasItIsAClearError(t *testing.T) {
	a := parse(t, "sctp://127.0.0.1:0")
	if a.Network != "sctp" || a.String() != "sctp://127.0.0.1:0" {
		t.Errorf("parsed %+v", a)
	}
	fd, err := Listen(a, SocketOptions{})
	if err == nil {
		unix.Close(fd)
		t.Skip("this kernel has SCTP")
	}
	want := "conn: listen sctp://127.0.0.1:0: the kernel has no SCTP: socket: protocol not supported"
	if err.Error() != want || !errors.Is(err, unix.EPROTONOSUPPORT) {
		t.Errorf("error %v, want %q", err, want)
	}
	_, _, err = Dial(parse(t, "sctp://127.0.0.1:9"), SocketOptions{})
	want = "conn: connect sctp://127.0.0.1:9: the kernel has no SCTP: socket: protocol not supported"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestOptionsThatAreForTCPAlone(t *testing.T) {
	for name, o := range map[string]SocketOptions{"MultiPath": {MultiPath: true}, "UserTimeout": {UserTimeout: 1},
		"NotSentLowat": {NotSentLowat: 1}, "IncomingCPU": {IncomingCPU: 1}, "KeepAlive": {KeepAlive: KeepAlive{Count: 1}}} {
		for _, url := range []string{"sctp://127.0.0.1:0", "unix:///nosuch/x"} {
			_, err := Listen(parse(t, url), o)
			if want := "conn: listen " + url + ": option " + name + " is for TCP"; err == nil || err.Error() != want {
				t.Errorf("error %v, want %q", err, want)
			}
		}
	}
}
