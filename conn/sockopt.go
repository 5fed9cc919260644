package conn

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// SocketOptions are the options of a listener and of the connections it accepts. The zero value has
// sane defaults. "Listener" means that an option works on the listening socket alone, "connections"
// that every accepted connection has it. An option that the platform does not know is refused with
// an error that wraps errors.ErrUnsupported. On a unix socket only Linger, RecvBuf, SendBuf,
// RecvLowat, Backlog, Mode, UID and GID may be given, the last three nowhere else. A socket for
// datagrams takes those that say so, RecvBuf and SendBuf; with unixgram:// Mode, UID and GID, with
// udp:// ReusePort, V6Only, Device, Mark and TOS.
type SocketOptions struct {
	// NoReuseAddr leaves SO_REUSEADDR off: binding to the port of a program that has just ended may
	// then fail with EADDRINUSE for some minutes. Listener.
	NoReuseAddr bool

	// ReusePort is SO_REUSEPORT: several sockets of the same user may bind to one port. Linux
	// spreads the connections over them. Listener.
	ReusePort bool

	// V6Only is IPV6_V6ONLY: the wildcard addresses tcp://:port and tcp://[::]:port take no IPv4.
	// Listener.
	V6Only bool

	// Backlog is how many connections the kernel keeps ready for accept. 0 is the largest that the
	// system allows (/proc/sys/net/core/somaxconn, or 4096 where that cannot be read); the kernel
	// silently lowers what is above. Listener.
	Backlog int

	// DeferAccept is TCP_DEFER_ACCEPT, in whole seconds, rounded up: a connection is not accepted
	// before its first bytes have come, or that time has passed. 0 is off. Linux. Listener.
	DeferAccept time.Duration

	// FastOpen is TCP_FASTOPEN: how many connections may be pending whose data came with the SYN. 0
	// is off. Linux. Listener.
	FastOpen int

	// Nagle leaves TCP_NODELAY off: small writes are held back while sent bytes are unacknowledged.
	// Connections.
	Nagle bool

	// KeepAlive makes the kernel probe idle peers. Connections.
	KeepAlive KeepAlive

	// Linger says what closing does with unsent bytes. Connections.
	Linger Linger

	// RecvBuf is SO_RCVBUF in bytes, which Linux doubles for its own needs and caps at
	// /proc/sys/net/core/rmem_max. 0 leaves the size to the kernel, which then adapts it.
	// Connections.
	RecvBuf int

	// SendBuf is SO_SNDBUF in bytes, likewise, with wmem_max. Connections.
	SendBuf int

	// Broadcast is SO_BROADCAST: datagrams may go to broadcast addresses. Datagrams.
	Broadcast bool

	// ReuseAddr lets several sockets have one port: SO_REUSEADDR, and SO_REUSEPORT on the BSDs.
	// Each gets the datagrams of the groups that it has joined; of the others one socket gets each.
	// For mDNS and SSDP. Datagrams.
	ReuseAddr bool

	// DatagramSize is the longest datagram that is received whole, in bytes; of a longer one the
	// beginning comes, and Truncated says so. 0 is 64 KiB, which has room for each of UDP's. On
	// Linux a loop receives 1 MiB at a time, in 64 datagrams at most: a smaller size lets it
	// receive more of them with one system call. Datagrams.
	DatagramSize int
	// Segment has runs of datagrams that go to one peer, with equal sizes, given to the kernel as
	// one, which cuts them late, or leaves it to the network card (UDP_SEGMENT). It pays for
	// streams of datagrams: see docs/datagrams.md. Each is one datagram for the peer and for the
	// counters, as without it. Linux; elsewhere it does nothing. Datagrams.
	Segment bool

	// RecvLowat is SO_RCVLOWAT in bytes: with fewer than that to read, the poller stays silent. 0
	// means 1. Connections.
	RecvLowat int

	// MultiPath asks for Multipath TCP (RFC 8684), by which a connection may use several ways at
	// once, such as Wi-Fi and a mobile network. Where the system or the peer has none it is plain
	// TCP, silently. Linux from 5.6 on. Listener and connections.
	MultiPath bool

	// UserTimeout is TCP_USER_TIMEOUT, in whole milliseconds, rounded up: how long sent bytes may
	// stay unacknowledged before the connection ends with reason TimedOut. 0 leaves it to the
	// kernel, which gives up after a quarter of an hour or so. Linux. Connections.
	UserTimeout time.Duration

	// NotSentLowat is TCP_NOTSENT_LOWAT in bytes: the kernel takes no more while as much as that
	// waits in its buffer to be sent for the first time. Bytes that are queued then stay in the
	// program, where they can still be replaced. 0 leaves it to the kernel. Linux. Connections.
	NotSentLowat int

	// IncomingCPU is SO_INCOMING_CPU: of the listeners with ReusePort, the kernel prefers the one
	// whose processor handles the packet. 1 is the first processor, whose number is 0; 0 is off.
	// Linux. Listener.
	IncomingCPU int

	// Device is SO_BINDTODEVICE: packets come and go by the interface of this name alone. Linux;
	// the program may need CAP_NET_RAW. Listener and connections.
	Device string

	// Mark is SO_MARK, by which rules of routing and firewalls know the packets. Linux; the program
	// needs CAP_NET_ADMIN. Connections.
	Mark uint32

	// TOS is IP_TOS or IPV6_TCLASS, 0 to 255: the upper six bits are the DSCP (RFC 2474).
	// Connections.
	TOS int

	// OOBInline is SO_OOBINLINE: urgent bytes stay in their place in the stream. Connections.
	OOBInline bool

	// MaxSeg is TCP_MAXSEG, the largest segment in bytes: 88 to 32767 on Linux. 0 leaves it to the
	// kernel. Connections.
	MaxSeg int

	// Mode is the permissions of the file of a unix socket, such as 0o660; 0 leaves them to the
	// umask. A process that may write to the file may connect. They are in force before the first
	// connection can be. Listener.
	Mode os.FileMode

	// UID and GID own the file of a unix socket. 0 leaves the owner or the group as the process has
	// it. Listener.
	UID, GID int

	reuseLate bool // SO_REUSEPORT is set after bind: see ListenMany
}

// KeepAlive is SO_KEEPALIVE and its times, in whole seconds, rounded up. The zero value is off; a
// zero field among others means the system's default. A peer that answers none of Count probes ends
// the connection with reason TimedOut.
type KeepAlive struct {
	Idle     time.Duration // TCP_KEEPIDLE: silence before the first probe; Linux's default is 2 h
	Interval time.Duration // TCP_KEEPINTVL: between probes; 75 s
	Count    int           // TCP_KEEPCNT: unanswered probes; 9
}

// Linger is SO_LINGER. The zero value is off: close returns at once and the kernel goes on sending.
// With On and no Timeout, close drops what is unsent and resets the connection. With a Timeout
// close waits until all is acknowledged, and with it the loop: Conn.Drain and Conn.DrainLinger are
// better.
type Linger struct {
	On      bool
	Timeout time.Duration // in whole seconds, rounded up
}

// sockopt names one socket option. Its number is unknown where the platform has none.
type sockopt struct {
	name       string
	level, opt int
}

const unknown = -1

// The options that all platforms have. The others are in tables of their own, by platform.
var (
	soReuseAddr = sockopt{"SO_REUSEADDR", unix.SOL_SOCKET, unix.SO_REUSEADDR}
	soReusePort = sockopt{"SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT}
	soKeepAlive = sockopt{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE}
	soRecvBuf   = sockopt{"SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF}
	soOOBInline = sockopt{"SO_OOBINLINE", unix.SOL_SOCKET, unix.SO_OOBINLINE}
	soSendBuf   = sockopt{"SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF}
	soRecvLowat = sockopt{"SO_RCVLOWAT", unix.SOL_SOCKET, unix.SO_RCVLOWAT}
	tcpNoDelay  = sockopt{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY}
	tcpMaxSeg   = sockopt{"TCP_MAXSEG", unix.IPPROTO_TCP, unix.TCP_MAXSEG}
	ipTOS       = sockopt{"IP_TOS", unix.IPPROTO_IP, unix.IP_TOS}
	ipv6TClass  = sockopt{"IPV6_TCLASS", unix.IPPROTO_IPV6, unix.IPV6_TCLASS}
	ipv6Only    = sockopt{"IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY}
)

// set gives the option of fd a value.
func (o sockopt) set(fd, value int) error {
	switch {
	case o.opt == unknown:
		return fmt.Errorf("set %s: not known on %s: %w", o.name, runtime.GOOS, errors.ErrUnsupported)
	case value < 0 || value > math.MaxInt32: // the kernel would see only the lower 32 bits
		return fmt.Errorf("set %s: %d is out of range", o.name, value)
	}
	if err := unix.SetsockoptInt(fd, o.level, o.opt, value); err != nil {
		return fmt.Errorf("set %s: %w", o.name, os.NewSyscallError("setsockopt", err))
	}
	return nil
}

// check refuses options that make no sense for a. An option that would do nothing is an error too,
// rather than silence.
func (o *SocketOptions) check(a Addr) error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Backlog", int64(o.Backlog)}, {"DeferAccept", int64(o.DeferAccept)}, {"FastOpen", int64(o.FastOpen)},
		{"KeepAlive.Idle", int64(o.KeepAlive.Idle)}, {"KeepAlive.Interval", int64(o.KeepAlive.Interval)},
		{"KeepAlive.Count", int64(o.KeepAlive.Count)}, {"Linger.Timeout", int64(o.Linger.Timeout)},
		{"RecvBuf", int64(o.RecvBuf)}, {"SendBuf", int64(o.SendBuf)}, {"RecvLowat", int64(o.RecvLowat)},
		{"UserTimeout", int64(o.UserTimeout)}, {"NotSentLowat", int64(o.NotSentLowat)}, {"IncomingCPU", int64(o.IncomingCPU)},
		{"TOS", int64(o.TOS)}, {"MaxSeg", int64(o.MaxSeg)}, {"DatagramSize", int64(o.DatagramSize)}, {"UID", int64(o.UID)},
		{"GID", int64(o.GID)},
	} {
		if f.value < 0 {
			return fmt.Errorf("option %s is negative", f.name)
		}
	}
	if !o.Linger.On && o.Linger.Timeout != 0 {
		return errors.New("option Linger.Timeout without Linger.On")
	}
	if file := a.local() && !a.abstract(); !file && (o.Mode != 0 || o.UID != 0 || o.GID != 0) {
		return errors.New("options Mode, UID and GID are for the file of a unix socket")
	}
	if o.Mode != o.Mode.Perm() {
		return fmt.Errorf("option Mode %v is more than permissions", o.Mode)
	}
	if o.TOS > 255 {
		return fmt.Errorf("option TOS %d is more than a byte", o.TOS)
	}
	if a.Datagrams() { // checkDatagrams has more
		return nil
	}
	if o.Broadcast || o.ReuseAddr || o.DatagramSize != 0 || o.Segment {
		return errors.New("options Broadcast, ReuseAddr, DatagramSize and Segment are for datagrams")
	}
	if a.Network != "tcp" {
		for _, f := range []struct {
			name string
			set  bool
		}{
			{"MultiPath", o.MultiPath}, {"UserTimeout", o.UserTimeout != 0}, {"NotSentLowat", o.NotSentLowat != 0},
			{"IncomingCPU", o.IncomingCPU != 0}, {"DeferAccept", o.DeferAccept != 0}, {"FastOpen", o.FastOpen != 0},
			{"MaxSeg", o.MaxSeg != 0}, {"OOBInline", o.OOBInline}, {"Nagle", o.Nagle}, {"KeepAlive", o.KeepAlive != KeepAlive{}},
		} {
			if f.set {
				return fmt.Errorf("option %s is for TCP", f.name)
			}
		}
	}
	if a.Network == "unix" {
		for _, f := range []struct {
			name string
			set  bool
		}{
			{"NoReuseAddr", o.NoReuseAddr}, {"ReusePort", o.ReusePort}, {"V6Only", o.V6Only},
			{"Device", o.Device != ""}, {"Mark", o.Mark != 0}, {"TOS", o.TOS != 0},
		} {
			if f.set {
				return fmt.Errorf("option %s is for TCP", f.name)
			}
		}
		return nil
	}
	if o.V6Only && !a.AddrPort.Addr().Is6() {
		return errors.New("option V6Only with an IPv4 address")
	}
	return nil
}

// setListener sets the options of a socket that is about to be bound.
func (o *SocketOptions) setListener(fd int, network string) error {
	if network != "unix" {
		// On Linux SO_REUSEADDR never lets two listeners share a port; it only lets connections in
		// TIME_WAIT pass.
		if err := soReuseAddr.set(fd, oneIf(!o.NoReuseAddr)); err != nil {
			return err
		}
		if o.ReusePort {
			if err := soReusePort.set(fd, 1); err != nil {
				return err
			}
		}
		if o.DeferAccept > 0 {
			if err := tcpDeferAccept.set(fd, seconds(o.DeferAccept)); err != nil {
				return err
			}
		}
		if o.FastOpen > 0 {
			if err := tcpFastOpen.set(fd, o.FastOpen); err != nil {
				return err
			}
		}
		if o.IncomingCPU > 0 {
			if err := soIncomingCPU.set(fd, o.IncomingCPU-1); err != nil {
				return err
			}
		}
	}
	return o.setConnection(fd, network)
}

// setConnection sets the options that a connection has. On the listener, from which connections
// inherit them on Linux, they must be there before listen: the size of the receive buffer and
// TCP_MAXSEG go into the handshake.
func (o *SocketOptions) setConnection(fd int, network string) error {
	for _, f := range []struct {
		opt   sockopt
		value int
	}{{soRecvBuf, o.RecvBuf}, {soSendBuf, o.SendBuf}, {soRecvLowat, o.RecvLowat}, {tcpMaxSeg, o.MaxSeg},
		{tcpUserTimeout, millis(o.UserTimeout)}, {tcpNotSent, o.NotSentLowat}} {
		if f.value > 0 {
			if err := f.opt.set(fd, f.value); err != nil {
				return err
			}
		}
	}
	if o.Linger.On {
		if err := setLinger(fd, o.Linger); err != nil {
			return err
		}
	}
	if network == "unix" || network == "" {
		return nil
	}
	if err := o.setPath(fd); err != nil {
		return err
	}
	if network != "tcp" {
		return nil
	}
	if o.OOBInline {
		if err := soOOBInline.set(fd, 1); err != nil {
			return err
		}
	}
	if !o.Nagle {
		if err := tcpNoDelay.set(fd, 1); err != nil {
			return err
		}
	}
	if o.KeepAlive != (KeepAlive{}) {
		return setKeepAlive(fd, o.KeepAlive)
	}
	return nil
}

// SetListening sets on fd, a listening socket that was opened elsewhere, the options that its
// connections will have, and returns its address; the zero Addr for a unix socket, whose file
// belongs to the program that opened it.
func SetListening(fd int, o *SocketOptions) (Addr, error) {
	var a Addr
	if at := LocalAddr(fd); at.IsValid() {
		a = Addr{Network: "tcp", AddrPort: at}
	}
	if err := o.setConnection(fd, a.Network); err != nil {
		return a, fmt.Errorf("conn: %w", err)
	}
	return a, nil
}

func setKeepAlive(fd int, k KeepAlive) error {
	if k.Idle < 0 || k.Interval < 0 || k.Count < 0 {
		return errors.New("set SO_KEEPALIVE: a time or count is negative")
	}
	for _, f := range []struct {
		opt   sockopt
		value int
	}{{tcpKeepIdle, seconds(k.Idle)}, {tcpKeepInterval, seconds(k.Interval)}, {tcpKeepCount, k.Count}} {
		if f.value > 0 {
			if err := f.opt.set(fd, f.value); err != nil {
				return err
			}
		}
	}
	return soKeepAlive.set(fd, oneIf(k != KeepAlive{}))
}

func setLinger(fd int, l Linger) error {
	if l.Timeout < 0 || !l.On && l.Timeout != 0 {
		return errors.New("set SO_LINGER: a timeout that is negative or without On")
	}
	v := unix.Linger{Onoff: int32(oneIf(l.On)), Linger: int32(seconds(l.Timeout))}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, soLinger, &v); err != nil {
		return fmt.Errorf("set SO_LINGER: %w", os.NewSyscallError("setsockopt", err))
	}
	return nil
}

// SetNoDelay sets TCP_NODELAY, which connections have unless SocketOptions.Nagle was given.
func (k *Kernel) SetNoDelay(on bool) error {
	c := (*Conn)(k)
	return c.setOption("SetNoDelay", func(fd int) error { return tcpNoDelay.set(fd, oneIf(on)) })
}

// SetKeepAlive sets SO_KEEPALIVE and its times; the zero KeepAlive turns it off.
func (k *Kernel) SetKeepAlive(a KeepAlive) error {
	c := (*Conn)(k)
	return c.setOption("SetKeepAlive", func(fd int) error { return setKeepAlive(fd, a) })
}

// SetLinger sets SO_LINGER. SetLinger(Linger{On: true}) makes Close reset the connection.
func (k *Kernel) SetLinger(l Linger) error {
	c := (*Conn)(k)
	return c.setOption("SetLinger", func(fd int) error { return setLinger(fd, l) })
}

// SetRecvBuffer sets SO_RCVBUF to n bytes.
func (k *Kernel) SetRecvBuffer(n int) error {
	c := (*Conn)(k)
	return c.setOption("SetRecvBuffer", func(fd int) error { return soRecvBuf.set(fd, n) })
}

// SetSendBuffer sets SO_SNDBUF to n bytes.
func (k *Kernel) SetSendBuffer(n int) error {
	c := (*Conn)(k)
	return c.setOption("SetSendBuffer", func(fd int) error { return soSendBuf.set(fd, n) })
}

// SetRecvLowat sets SO_RCVLOWAT to n bytes: with fewer than that to read there is no Read event.
func (k *Kernel) SetRecvLowat(n int) error {
	c := (*Conn)(k)
	return c.setOption("SetRecvLowat", func(fd int) error { return soRecvLowat.set(fd, n) })
}

// setOption runs set on the descriptor, unless that is closed and perhaps someone else's by now:
// then ErrClosed.
func (c *Conn) setOption(op string, set func(fd int) error) error {
	c.check(op)
	if c.state == closed {
		return ErrClosed
	}
	if err := set(int(c.fd)); err != nil {
		return fmt.Errorf("conn: %w", err)
	}
	return nil
}

func oneIf(on bool) int {
	if on {
		return 1
	}
	return 0
}

// millis rounds up.
func millis(d time.Duration) int {
	return int(min((int64(d)+int64(time.Millisecond)-1)/int64(time.Millisecond), math.MaxInt32))
}

// seconds rounds up, so that a short time does not become 0, which means off.
func seconds(d time.Duration) int {
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	return int(min(s, math.MaxInt32))
}
