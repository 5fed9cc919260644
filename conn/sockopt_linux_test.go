package conn

import (
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

// The claim beside SetAccepted, which does nothing on Linux: a connection has the options before it is called.
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
	if err := connOver(a).SetNoDelay(true); err == nil || err.Error() != want {
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
