package conn

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// read returns the value of the option of fd.
func (o sockopt) read(t *testing.T, fd int) int {
	t.Helper()
	v, err := unix.GetsockoptInt(fd, o.level, o.opt)
	if err != nil {
		t.Fatalf("getsockopt %s: %v", o.name, err)
	}
	return v
}

// lingerOf returns SO_LINGER of fd. x/sys has no getter for struct linger, but one for a struct of
// the same size.
func lingerOf(t *testing.T, fd int) Linger {
	t.Helper()
	m, err := unix.GetsockoptIPMreq(fd, unix.SOL_SOCKET, soLinger)
	if err != nil {
		t.Fatalf("getsockopt SO_LINGER: %v", err)
	}
	on, timeout := binary.NativeEndian.Uint32(m.Multiaddr[:]), binary.NativeEndian.Uint32(m.Interface[:])
	return Linger{On: on != 0, Timeout: time.Duration(timeout) * time.Second}
}

// acceptedPair returns a listener with options o at url, and a connection it has accepted.
func acceptedPair(t *testing.T, o SocketOptions) (lfd, fd int) {
	t.Helper()
	a := parse(t, "tcp://127.0.0.1:0")
	lfd = listenOn(t, "tcp://127.0.0.1:0", o)
	client := dialTo(t, loopback4(LocalAddr(lfd).Port()))
	if o.DeferAccept > 0 {
		if _, err := unix.Write(client, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	fd, _ = acceptFrom(t, lfd)
	if err := SetAccepted(fd, a, &o); err != nil {
		t.Fatalf("SetAccepted: %v", err)
	}
	return lfd, fd
}

func TestDefaultsOfTheZeroValue(t *testing.T) {
	lfd, fd := acceptedPair(t, SocketOptions{})
	if soReuseAddr.read(t, lfd) == 0 {
		t.Error("SO_REUSEADDR is off")
	}
	if soReusePort.read(t, lfd) != 0 {
		t.Error("SO_REUSEPORT is on")
	}
	if tcpNoDelay.read(t, fd) == 0 {
		t.Error("TCP_NODELAY is off")
	}
	if soKeepAlive.read(t, fd) != 0 {
		t.Error("SO_KEEPALIVE is on")
	}
	if l := lingerOf(t, fd); l.On {
		t.Errorf("SO_LINGER is %+v", l)
	}
}

func TestListenerOptions(t *testing.T) {
	lfd, _ := acceptedPair(t, SocketOptions{NoReuseAddr: true, ReusePort: true})
	if soReuseAddr.read(t, lfd) != 0 {
		t.Error("NoReuseAddr: SO_REUSEADDR is on")
	}
	if soReusePort.read(t, lfd) == 0 {
		t.Error("ReusePort: SO_REUSEPORT is off")
	}
	second := tcpAddr(LocalAddr(lfd).String())
	fd, err := Listen(second, SocketOptions{NoReuseAddr: true, ReusePort: true})
	if err != nil {
		t.Fatalf("a second listener with ReusePort: %v", err)
	}
	unix.Close(fd)
}

func TestV6OnlyIsAlwaysSaid(t *testing.T) {
	needIPv6(t)
	for _, only := range []bool{false, true} {
		lfd := listenOn(t, "tcp://[::]:0", SocketOptions{V6Only: only})
		if got := ipv6Only.read(t, lfd); got != oneIf(only) {
			t.Errorf("V6Only %v: IPV6_V6ONLY is %d", only, got)
		}
	}
}

func TestConnectionOptionsReachAcceptedConnections(t *testing.T) {
	exactly := func(want int) func(int) bool { return func(v int) bool { return v == want } }
	tests := []struct {
		name string
		o    SocketOptions
		opt  sockopt
		ok   func(int) bool
	}{
		{"Nagle", SocketOptions{Nagle: true}, tcpNoDelay, exactly(0)},
		{"RecvBuf", SocketOptions{RecvBuf: 20000}, soRecvBuf, func(v int) bool { return v == 20000 || v == 40000 }},
		{"SendBuf", SocketOptions{SendBuf: 20000}, soSendBuf, func(v int) bool { return v == 20000 || v == 40000 }},
		{"RecvLowat", SocketOptions{RecvLowat: 77}, soRecvLowat, exactly(77)},
		{"MaxSeg", SocketOptions{MaxSeg: 1000}, tcpMaxSeg, func(v int) bool { return v > 900 && v <= 1000 }}, // less its options
		{"KeepAlive.Idle", SocketOptions{KeepAlive: KeepAlive{Idle: 90 * time.Second}}, tcpKeepIdle, exactly(90)},
		{"KeepAlive.Interval", SocketOptions{KeepAlive: KeepAlive{Interval: 1500 * time.Millisecond}}, tcpKeepInterval, exactly(2)},
		{"KeepAlive.Count", SocketOptions{KeepAlive: KeepAlive{Count: 4}}, tcpKeepCount, exactly(4)},
		{"KeepAlive", SocketOptions{KeepAlive: KeepAlive{Count: 4}}, soKeepAlive, func(v int) bool { return v != 0 }},
	}
	for _, tt := range tests {
		if tt.opt.opt == unknown {
			continue
		}
		_, fd := acceptedPair(t, tt.o)
		if v := tt.opt.read(t, fd); !tt.ok(v) {
			t.Errorf("%s: %s of the accepted connection is %d", tt.name, tt.opt.name, v)
		}
	}
	want := Linger{On: true, Timeout: 7 * time.Second}
	if _, fd := acceptedPair(t, SocketOptions{Linger: want}); lingerOf(t, fd) != want {
		t.Errorf("SO_LINGER of the accepted connection is %+v, want %+v", lingerOf(t, fd), want)
	}
}

func TestOptionsThatMakeNoSenseAreErrors(t *testing.T) {
	tests := []struct {
		url  string
		o    SocketOptions
		want string
	}{
		{"tcp://127.0.0.1:0", SocketOptions{Backlog: -1}, "option Backlog is negative"},
		{"tcp://127.0.0.1:0", SocketOptions{DeferAccept: -1}, "option DeferAccept is negative"},
		{"tcp://127.0.0.1:0", SocketOptions{FastOpen: -1}, "option FastOpen is negative"},
		{"tcp://127.0.0.1:0", SocketOptions{RecvBuf: -1}, "option RecvBuf is negative"},
		{"tcp://127.0.0.1:0", SocketOptions{SendBuf: -1}, "option SendBuf is negative"},
		{"tcp://127.0.0.1:0", SocketOptions{RecvLowat: -1}, "option RecvLowat is negative"},
		{"tcp://127.0.0.1:0", SocketOptions{MaxSeg: -1}, "option MaxSeg is negative"},
		{"tcp://127.0.0.1:0", SocketOptions{KeepAlive: KeepAlive{Idle: -1}}, "option KeepAlive.Idle is negative"},
		{"tcp://127.0.0.1:0", SocketOptions{KeepAlive: KeepAlive{Interval: -1}}, "option KeepAlive.Interval is negative"},
		{"tcp://127.0.0.1:0", SocketOptions{KeepAlive: KeepAlive{Count: -1}}, "option KeepAlive.Count is negative"},
		{"tcp://127.0.0.1:0", SocketOptions{Linger: Linger{On: true, Timeout: -1}}, "option Linger.Timeout is negative"},
		{"tcp://127.0.0.1:0", SocketOptions{Linger: Linger{Timeout: 1}}, "option Linger.Timeout without Linger.On"},
		{"tcp://127.0.0.1:0", SocketOptions{V6Only: true}, "option V6Only with an IPv4 address"},
		{"unix://s", SocketOptions{RecvBuf: -1}, "option RecvBuf is negative"},
		{"unix://s", SocketOptions{NoReuseAddr: true}, "option NoReuseAddr is for TCP"},
		{"unix://s", SocketOptions{ReusePort: true}, "option ReusePort is for TCP"},
		{"unix://s", SocketOptions{V6Only: true}, "option V6Only is for TCP"},
		{"unix://s", SocketOptions{DeferAccept: 1}, "option DeferAccept is for TCP"},
		{"unix://s", SocketOptions{FastOpen: 1}, "option FastOpen is for TCP"},
		{"unix://s", SocketOptions{Nagle: true}, "option Nagle is for TCP"},
		{"unix://s", SocketOptions{KeepAlive: KeepAlive{Count: 1}}, "option KeepAlive is for TCP"},
		{"unix://s", SocketOptions{MaxSeg: 1}, "option MaxSeg is for TCP"},
		{"tcp://127.0.0.1:0", SocketOptions{Mode: 0o600}, "options Mode, UID and GID are for the file of a unix socket"},
		{"tcp://127.0.0.1:0", SocketOptions{UID: 1}, "options Mode, UID and GID are for the file of a unix socket"},
		{"unix://s", SocketOptions{GID: -1}, "option GID is negative"},
		{"unix://s", SocketOptions{Mode: os.ModeDir | 0o600}, "option Mode drw------- is more than permissions"},
	}
	t.Chdir(t.TempDir()) // should one of the sockets be made after all
	for _, tt := range tests {
		want := "conn: listen " + tt.url + ": " + tt.want
		if fd, err := Listen(parse(t, tt.url), tt.o); err == nil || err.Error() != want {
			t.Errorf("Listen(%s, %+v) = %d, %v\nwant %s", tt.url, tt.o, fd, err, want)
		}
	}
}

func TestUnixSocketTakesTheOptionsOfAllSockets(t *testing.T) {
	path := sockPath(t)
	o := SocketOptions{RecvBuf: 20000, SendBuf: 20000, RecvLowat: 1, Backlog: 5, Linger: Linger{On: true}}
	lfd := listenOn(t, "unix://"+path, o)
	if v := soSendBuf.read(t, lfd); v != 20000 && v != 40000 {
		t.Errorf("SO_SNDBUF is %d", v)
	}
}

func TestUnknownOptionIsAnErrorNotSilence(t *testing.T) {
	err := sockopt{"TCP_SPECIAL", unix.IPPROTO_TCP, unknown}.set(0, 1)
	want := "set TCP_SPECIAL: not known on " + runtime.GOOS + ": unsupported operation"
	if !errors.Is(err, errors.ErrUnsupported) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestSecondsAreRoundedUp(t *testing.T) {
	for d, want := range map[time.Duration]int{
		0: 0, 1: 1, time.Second: 1, time.Second + 1: 2, 90 * time.Minute: 5400, math.MaxInt64: math.MaxInt32,
	} {
		if got := seconds(d); got != want {
			t.Errorf("seconds(%v) = %d, want %d", d, got, want)
		}
	}
}

// connOver makes a connection without a loop: setters need none.
func connOver(fd int) *Conn {
	limits := Limits{}.WithDefaults()
	return New(NewShared(nil), fd, NewID(fd), &Socket{}, &limits, nil)
}

func TestSettersOfAConnection(t *testing.T) {
	_, fd := acceptedPair(t, SocketOptions{})
	c := connOver(fd)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	check := func(o sockopt, want ...int) {
		t.Helper()
		v := o.read(t, fd)
		for _, w := range want {
			if v == w {
				return
			}
		}
		t.Errorf("%s is %d, want %v", o.name, v, want)
	}
	must(c.Kernel().SetNoDelay(false))
	check(tcpNoDelay, 0)
	must(c.Kernel().SetNoDelay(true))
	check(tcpNoDelay, 1, tcpNoDelay.opt) // the BSDs give back the bit
	must(c.Kernel().SetRecvBuffer(20000))
	check(soRecvBuf, 20000, 40000)
	must(c.Kernel().SetSendBuffer(20000))
	check(soSendBuf, 20000, 40000)
	must(c.Kernel().SetRecvLowat(9))
	check(soRecvLowat, 9)
	if tcpKeepIdle.opt != unknown {
		must(c.Kernel().SetKeepAlive(KeepAlive{Idle: time.Minute, Interval: time.Second, Count: 3}))
		check(soKeepAlive, 1, soKeepAlive.opt)
		check(tcpKeepIdle, 60)
		check(tcpKeepInterval, 1)
		check(tcpKeepCount, 3)
	}
	must(c.Kernel().SetKeepAlive(KeepAlive{}))
	check(soKeepAlive, 0)
	for _, l := range []Linger{{On: true}, {On: true, Timeout: 3 * time.Second}, {}} {
		must(c.Kernel().SetLinger(l))
		if got := lingerOf(t, fd); got.On != l.On || l.On && got != l {
			t.Errorf("SO_LINGER is %+v, want %+v", got, l)
		}
	}
}

func TestSetterErrors(t *testing.T) {
	_, fd := acceptedPair(t, SocketOptions{})
	c := connOver(fd)
	tests := []struct {
		err  error
		want string
	}{
		{connOver(-1).Kernel().SetNoDelay(true), "conn: set TCP_NODELAY: setsockopt: bad file descriptor"},
		{connOver(-1).Kernel().SetLinger(Linger{On: true}), "conn: set SO_LINGER: setsockopt: bad file descriptor"},
		{c.Kernel().SetRecvBuffer(-1), "conn: set SO_RCVBUF: -1 is out of range"},
		{c.Kernel().SetSendBuffer(-1), "conn: set SO_SNDBUF: -1 is out of range"},
		{c.Kernel().SetRecvLowat(-1), "conn: set SO_RCVLOWAT: -1 is out of range"},
		{c.Kernel().SetKeepAlive(KeepAlive{Count: -1}), "conn: set SO_KEEPALIVE: a time or count is negative"},
		{c.Kernel().SetLinger(Linger{Timeout: 1}), "conn: set SO_LINGER: a timeout that is negative or without On"},
	}
	for _, tt := range tests {
		if tt.err == nil || tt.err.Error() != tt.want {
			t.Errorf("got  %v\nwant %s", tt.err, tt.want)
		}
	}
	if err := connOver(-1).Kernel().SetNoDelay(true); !errors.Is(err, unix.EBADF) {
		t.Errorf("%v does not wrap EBADF", err)
	}
	c.state = closed
	if err := c.Kernel().SetNoDelay(false); err != ErrClosed {
		t.Errorf("on a closed connection: %v", err)
	}
	if tcpNoDelay.read(t, fd) == 0 {
		t.Error("a closed connection's setter reached the descriptor")
	}
}

func TestLingerZeroResetsThePeer(t *testing.T) {
	lfd := listenOn(t, "tcp://127.0.0.1:0", SocketOptions{Linger: Linger{On: true}})
	client := dialTo(t, loopback4(LocalAddr(lfd).Port()))
	await(t, lfd, unix.POLLIN)
	fd, _, err := AcceptFD(lfd)
	if err != nil {
		t.Fatal(err)
	}
	if err := SetAccepted(fd, tcpAddr("127.0.0.1:0"), &SocketOptions{Linger: Linger{On: true}}); err != nil {
		t.Fatal(err)
	}
	if err := new(Socket).Close(fd); err != nil {
		t.Fatal(err)
	}
	if n, err := new(Socket).Read(client, make([]byte, 1)); err != unix.ECONNRESET {
		t.Errorf("the peer read %d, %v", n, err)
	}
}
