package mgr

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"math/big"
	randv2 "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/ctlpair"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// The simulation with TLS: a real Manager and real connections with tlsconn beneath, whose peers
// are crypto/tls, over a poller, a clock and sockets that are made up. The kernel cuts what arrives
// and takes at random, and fails in every phase; peers end their streams with and without
// close_notify, and send what is no TLS; programs write, pause, drain and close. The model knows
// the plaintext alone. sim_test.go is stricter about the loop; this is about the bytes.
//
//	go test ./mgr -run SimTLS -simtls.seed=N

var (
	simTLSSeed = flag.Int64("simtls.seed", -1, "the one simulation with TLS to run, with a trace")
	simTLSRuns = flag.Int("simtls.runs", 0, "simulations with TLS to run: 300, or 10,000 with MANGUSTA_EXHAUSTIVE")
)

func TestSimTLS(t *testing.T) {
	if *simTLSSeed >= 0 {
		s := newTLSSim(*simTLSSeed)
		s.tracing = true
		err := s.run()
		t.Log(strings.Join(s.trace, "\n"))
		if err != "" {
			t.Fatal(err)
		}
		return
	}
	runs := *simTLSRuns
	switch {
	case runs > 0:
	case exhaustive.On():
		runs = 10_000
	case raceEnabled || testing.Short():
		runs = 60
	default:
		runs = 300
	}
	var sum tlsTally
	for seed := range int64(runs) {
		hung := time.AfterFunc(time.Minute, func() { panic(fmt.Sprint("the simulation hangs: -simtls.seed=", seed)) })
		s := newTLSSim(seed)
		failure := s.run()
		hung.Stop()
		if failure != "" {
			s = newTLSSim(seed)
			s.tracing = true
			again := s.run()
			t.Fatalf("%s\n%s\nwith a trace: %s\nreplay: go test ./mgr -run SimTLS -simtls.seed=%d",
				strings.Join(s.trace[max(0, len(s.trace)-80):], "\n"), failure, again, seed)
		}
		sum.add(s.tally)
	}
	t.Logf("%+v", sum)
	if runs >= 60 && (sum.Up*2 < sum.Opened || sum.Clean == 0 || sum.Truncated == 0 || sum.Failed == 0 || sum.In < runs*1000 || sum.Out < runs*1000) {
		t.Error("the simulation does not get around")
	}
}

// A tlsTally says what simulations have come across.
type tlsTally struct{ Opened, Up, Clean, Truncated, Failed, In, Out int }

func (a *tlsTally) add(b tlsTally) {
	a.Opened += b.Opened
	a.Up += b.Up
	a.Clean += b.Clean
	a.Truncated += b.Truncated
	a.Failed += b.Failed
	a.In += b.In
	a.Out += b.Out
}

type tlsSim struct {
	d      simDice
	m      *Manager
	now    int64
	g      uint64
	server *tlsconn.Server
	client *tlsconn.Client
	both   *tls.Config // of peers

	files   []*tlsSock // by descriptor
	watched []conn.Interest
	conns   []*tlsSimConn
	rings   bool

	calm, ending, panicky, polling bool
	inner                          int
	tally                          tlsTally

	failure string
	tracing bool
	trace   []string
}

// tlsSimCert is signed with Ed25519: its signatures have one length, so that a seed gives the same
// run each time though the keys are others.
var tlsSimCert, tlsSimRoots = func() (tls.Certificate, *x509.CertPool) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.test"}, NotAfter: time.Now().Add(time.Hour),
		NotBefore: time.Now().Add(-time.Hour), BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, t, t, public, key)
	if err != nil {
		panic(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}()

// tlsSimTimeout is how long a handshake may take.
const tlsSimTimeout = 2 * time.Second

func newTLSSim(seed int64) *tlsSim {
	s := &tlsSim{d: simDice{src: randv2.NewPCG(uint64(seed), 7)}, now: int64(time.Hour), files: make([]*tlsSock, 3), watched: make([]conn.Interest, 3), g: goroutine()}
	s.panicky = s.d.one(4)
	limits := tlsconn.Limits{HandshakeTimeout: tlsSimTimeout}
	config := tlsconn.Config{Certificates: []tls.Certificate{tlsSimCert}, Synchronous: true, Limits: limits, Compact: s.d.one(2)}
	s.both = &tls.Config{Certificates: []tls.Certificate{tlsSimCert}, RootCAs: tlsSimRoots, ServerName: "a.test",
		CurvePreferences: []tls.CurveID{tls.X25519}, MaxVersion: tls.VersionTLS13 - uint16(s.d.n(2))}
	var err error
	if s.server, err = tlsconn.NewServer(config); err == nil {
		s.client, err = tlsconn.NewClient(tlsconn.ClientConfig{Roots: tlsSimRoots, ServerName: "a.test", Synchronous: true, Limits: limits})
	}
	if err == nil {
		s.m, err = newManager(Options{Log: tlsSimLog{s}}, tlsSimPoller{s}, func() int64 { return s.now })
	}
	if err != nil {
		panic(err)
	}
	s.m.pair.Close(nil)
	s.m.pair = ctlpair.NewOver[message](0, ctlpair.Bell{FD: simBell, Strike: func() error { s.rings = true; return nil },
		Silence: func() { s.rings = false }, After: func(_ time.Duration, f func()) { f() }, Close: func() error { return nil }})
	return s
}

func (s *tlsSim) fail(format string, args ...any) {
	if s.failure == "" {
		s.failure = fmt.Sprintf("turn %d: "+format, append([]any{s.m.stats.Turns}, args...)...)
		s.note("FAILED: %s", s.failure)
	}
}

func (s *tlsSim) note(format string, args ...any) {
	if s.tracing {
		s.trace = append(s.trace, fmt.Sprintf(format, args...))
	}
}

// tlsSimLog fails on panics that were not made on purpose.
type tlsSimLog struct{ s *tlsSim }

func (l tlsSimLog) Warn(string, ...any) {}
func (l tlsSimLog) Error(msg string, args ...any) {
	for i := 0; i+1 < len(args); i += 2 {
		if _, ok := args[i+1].(simPanic); args[i] == "panic" && !ok {
			l.s.fail("%s: %v", msg, args)
		}
	}
}

func (s *tlsSim) run() string {
	for range 40 + s.d.n(60) {
		if s.failure != "" || s.m.isDone() {
			break
		}
		s.checkTurn()
		if len(s.conns) < 6 && (len(s.conns) == 0 || s.d.one(6)) {
			s.open()
		}
		for i := s.d.n(3); i > 0; i-- {
			s.act(s.some())
		}
		s.poll(time.Duration(s.d.n(400)-1) * time.Millisecond)
	}
	if s.failure == "" && !s.m.isDone() && !s.d.one(4) {
		s.settleDown()
	}
	s.end()
	return s.failure
}

func (s *tlsSim) poll(asked time.Duration) {
	s.m.own(s.g)
	s.polling = true
	err := s.m.once(asked)
	s.polling = false
	s.m.own(0)
	if err != nil {
		s.fail("Poll: %v", err)
	}
	for _, c := range s.m.settling {
		if c != nil {
			s.fail("conn %d was left out of the batch", c.ID())
		}
	}
}

func (s *tlsSim) some() *tlsSimConn {
	if len(s.conns) == 0 {
		return nil
	}
	return s.conns[s.d.n(len(s.conns))]
}

// open makes a connection, of the server or of the client.
func (s *tlsSim) open() {
	fd := 3
	for fd < len(s.files) && s.files[fd] != nil {
		fd++
	}
	if fd == len(s.files) {
		s.files, s.watched = append(s.files, nil), append(s.watched, 0)
	}
	k := &tlsSock{s: s, fd: fd, room: s.d.size()}
	s.files[fd] = k
	p := &tlsSimConn{tlsSock: k, n: len(s.conns) + 1, outbound: s.d.one(3), inStart: s.d.n(simPeriod), outStart: s.d.n(simPeriod), halfOpen: s.d.one(2)}
	k.conn = p
	p.lim = conn.Limits{Stall: -1}
	if s.d.one(3) {
		p.lim.HighWater = 1 + s.d.n(4096)
	}
	if s.d.one(4) {
		p.lim.Send = 1 + s.d.n(300<<10)>>s.d.n(20)
		p.lim.OnFull = conn.RefuseOnFull
	}
	if s.d.one(4) {
		p.lim.Idle = time.Duration(1 + s.d.n(int(time.Second)))
	}
	if s.d.one(4) {
		p.lim.Stall = time.Duration(1 + s.d.n(int(time.Second)))
	}
	p.allowed[conn.Idle], p.allowed[conn.Stalled] = p.lim.Idle > 0, p.lim.Stall > 0
	p.lim = p.lim.WithDefaults()
	s.conns = append(s.conns, p)
	s.tally.Opened++
	s.note("%v: opened, outbound %v, %+v", p, p.outbound, p.lim)
	own := p.lim
	p.c = s.m.adopt(fd, conn.Peer{}, k, &own, p.handle)
	p.c.SetHalfOpen(p.halfOpen)
	p.began = s.m.Now()
	p.peer = newTLSPeer(p)
	if p.outbound {
		s.client.DialTLS(p.c, "a.test")
	} else {
		s.server.ServeTLS(p.c, nil)
	}
	s.m.begin(p.c, nil)
	if p.outbound {
		s.m.try(p.c, p.c.Driver().Connected)
	} else {
		s.m.try(p.c, p.c.Driver().Accepted)
	}
}

// A tlsSock is a socket as the kernel has it, and the Transport of its connection.
type tlsSock struct {
	s      *tlsSim
	fd     int
	conn   *tlsSimConn
	closed bool

	air    []byte // the peer has sent it, and it has not arrived
	airFin bool
	in     []byte // it has arrived
	fin    bool
	err    error

	out  []byte // the kernel has taken it, and the peer has not got it
	room int
	shut bool
	gone bool // the peer has closed or reset
}

func (k *tlsSock) String() string { return k.conn.String() }

func (k *tlsSock) check(op string, fd int) bool {
	if k.closed || fd != k.fd || k.s.files[fd] != k {
		k.s.fail("%s on %v after its close", op, k)
		return false
	}
	return true
}

func (k *tlsSock) Read(fd int, p []byte) (int, error) {
	d := &k.s.d
	switch {
	case !k.check("read", fd):
		return 0, unix.EBADF
	case len(p) == 0:
		k.s.fail("%v: read into nothing", k)
	case d.one(24):
		return 0, unix.EINTR
	case k.err != nil:
		return 0, k.hard()
	case len(k.in) > 0:
		n := min(len(p), len(k.in))
		if d.one(4) {
			n = 1 + d.n(n)
		}
		copy(p, k.in[:n])
		k.in = k.in[n:]
		k.s.note("%v: read %d", k, n)
		return n, nil
	case k.fin:
		k.s.note("%v: read the end", k)
		return 0, nil
	}
	return 0, unix.EAGAIN
}

func (k *tlsSock) hard() error {
	err := k.err
	k.err = nil
	k.conn.allowed[conn.ErrnoReason(err)] = true
	k.s.note("%v: %v", k, err)
	return err
}

func (k *tlsSock) Write(fd int, p []byte) (int, error) { return k.Writev(fd, [][]byte{p}) }

func (k *tlsSock) Writev(fd int, pieces [][]byte) (int, error) {
	d := &k.s.d
	all := slices.Concat(pieces...)
	switch {
	case !k.check("write", fd):
		return 0, unix.EBADF
	case len(all) == 0:
		k.s.fail("%v: write of nothing", k)
	case k.shut:
		k.s.fail("%v: write after shutdown", k)
	case d.one(24):
		return -1, unix.EINTR
	case k.err != nil:
		return -1, k.hard()
	case k.gone && d.one(2):
		k.err = unix.EPIPE
		return -1, k.hard()
	case k.room == 0 || d.one(32):
		return -1, unix.EAGAIN
	}
	n := min(len(all), k.room)
	if d.one(6) {
		n = 1 + d.n(n)
	}
	k.room -= n
	k.out = append(k.out, all[:n]...)
	k.s.note("%v: wrote %d of %d", k, n, len(all))
	return n, nil
}

func (k *tlsSock) CloseWrite(fd int) error {
	if !k.check("shutdown", fd) {
		return unix.EBADF
	}
	if k.shut {
		k.s.fail("%v: shut down twice", k)
	}
	k.shut = true
	k.s.note("%v: shutdown", k)
	if k.gone && k.s.d.one(2) {
		k.err = unix.ENOTCONN
		return k.hard()
	}
	return nil
}

func (k *tlsSock) Close(fd int) error {
	switch {
	case !k.check("close", fd):
		return unix.EBADF
	case k.s.watched[fd] != 0:
		k.s.fail("%v: closed while the poller watches it", k)
	case !k.conn.closedEvent:
		k.s.fail("%v: closed before its Close event", k)
	case k.s.m.at(fd) != nil:
		k.s.fail("%v: closed while it is in the table", k)
	}
	k.closed, k.shut = true, true
	k.s.files[fd] = nil
	k.s.note("%v: close", k)
	return nil
}

func (k *tlsSock) readable() bool { return len(k.in) > 0 || k.fin || k.err != nil }
func (k *tlsSock) writable() bool { return k.room > 0 || k.gone || k.err != nil }

// wire lets bytes move: what the peer has sent arrives, in pieces, and the peer takes what was
// sent.
func (k *tlsSock) wire() {
	d := &k.s.d
	if n := len(k.air); n > 0 && !k.closed {
		if !k.s.calm && d.one(2) {
			n = 1 + d.n(min(n, 1+d.size()))
		}
		k.in = append(k.in, k.air[:n]...)
		k.air = k.air[n:]
		k.s.note("%v: %d arrive", k, n)
	}
	if len(k.air) == 0 && k.airFin {
		k.fin = true
	}
	if n := len(k.out); n > 0 || k.shut {
		if !k.s.calm && n > 0 && d.one(2) {
			n = 1 + d.n(n)
		}
		k.conn.peer.take(k.out[:n], n == len(k.out) && k.shut)
		k.out = k.out[n:]
		if k.room += n; d.one(4) {
			k.room = d.n(k.room + 1)
		}
	}
	if k.s.calm {
		k.room = 1 << 30
	} else if d.one(4) && k.room < 1<<20 {
		k.room += d.size()
	}
}

// tlsSimPoller is the poller.
type tlsSimPoller struct{ s *tlsSim }

func (p tlsSimPoller) String() string { return "sim" }
func (p tlsSimPoller) maxFD() int     { return 1 << 20 }
func (p tlsSimPoller) close() error   { return nil }

func (p tlsSimPoller) set(fd int, was, want conn.Interest) error {
	s := p.s
	if s.m == nil {
		return nil // the doorbell
	}
	if fd >= len(s.files) || s.files[fd] == nil || s.watched[fd] != was {
		s.fail("set(%d, %d, %d)", fd, was, want)
		return unix.EBADF
	}
	s.watched[fd] = want
	return nil
}

func (p tlsSimPoller) wait(out []ready, timeout time.Duration) (int, error) {
	s, d := p.s, &p.s.d
	for _, c := range s.conns {
		if s.calm || d.one(2) {
			c.wire()
		}
		if !s.calm && d.one(3) {
			c.peer.act()
		}
	}
	s.now += int64(d.n(200)) * 1000
	list := s.ready(!s.calm)
	if s.rings {
		list = append(list, ready{fd: simBell, got: conn.In})
	}
	for i := len(list) - 1; i > 0; i-- {
		k := d.n(i + 1)
		list[i], list[k] = list[k], list[i]
	}
	if len(list) == 0 && timeout > 0 {
		s.now += int64(timeout)
	}
	if len(list) > 0 || !s.calm {
		s.note("-- turn %d, %d ready, timeout %v, now %v", s.m.stats.Turns+1, len(list), timeout, time.Duration(s.now))
	}
	return copy(out, list), nil
}

func (s *tlsSim) ready(wrongly bool) (list []ready) {
	for fd, w := range s.watched {
		k := s.files[fd]
		if w == 0 || k == nil {
			continue
		}
		var got conn.Interest
		if w&conn.In != 0 && (k.readable() || wrongly && s.d.one(64)) {
			got |= conn.In
		}
		if w&conn.Out != 0 && (k.writable() || wrongly && s.d.one(64)) {
			got |= conn.Out
		}
		if k.err != nil || k.gone && k.shut {
			got = conn.In | conn.Out
		}
		if got != 0 {
			list = append(list, ready{fd: int32(fd), got: got})
		}
	}
	return list
}
