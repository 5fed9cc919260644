package mgr

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// The simulation of datagrams runs a real Manager over a kernel, a network and a clock that are
// made up: some sockets, on which a program sends, replies, pauses, panics and closes at random,
// while the kernel takes parts of batches, has no room, fails and reports what the network did not
// deliver. It demands that
//
//   - what a send accepts goes out whole, once and in order, or is counted as dropped;
//     Some sockets give the kernel runs of datagrams as one (Segments), which it may refuse;
//   - what is received is delivered whole, once and in order, and never while the socket is paused;
//   - a datagram that is longer than the socket takes is told to be cut off;
//   - each error of the network is told, and none ends a socket;
//   - a socket sees Open first and Close last, once each, and its descriptor is closed once;
//   - the loop sleeps when there is nothing to do, and nothing is held at the end.
//
//	go test ./mgr -run DatagramSim -v

const (
	simGramFD   = 600 // the first descriptor, above those of the process
	simGramSize = 40  // what some sockets take
	simGramHost = "127.0.0.1"
)

type gramSim struct {
	sockets // of what no datagram socket asks for

	r       *rand.Rand
	now     int64
	m       *Manager
	files   map[int]*gramFile // by descriptor
	watched map[int]conn.Interest
	ports   uint16
	socks   []*gramSock
	faults  bool
	ending  bool // the program does nothing any more
	number  int
	dest    map[string]netip.AddrPort // of each datagram
	refused uint64                    // sends that returned ErrSendLimit
	waits   int
	slept   bool // the last wait would have slept
	seen    map[string]int
	wrong   string
	trace   []string
}

// gramFile is a socket of the kernel's.
type gramFile struct {
	fd      int
	at, to  netip.AddrPort
	size    int
	in      []faultGram
	errors  []conn.Undelivered // the error queue
	pending error              // which the next call returns
	room    int                // datagrams that it still takes
	taken   []string           // of in, what the loop has received
	sent    []string
	icmp    int // errors that were put into the queue
}

// gramSock is the program's side of it.
type gramSock struct {
	c        *conn.Conn
	f        *gramFile
	peer     bool // it is connected
	accepted []string
	got      []string
	cut      int
	told     int // errors of the network
	events   []string
}

func (s *gramSim) fail(format string, args ...any) {
	if s.wrong == "" {
		s.wrong = fmt.Sprintf(format, args...)
	}
	s.note("WRONG: "+format, args...)
}

func (s *gramSim) note(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf(format, args...))
}

// The sockets.
func (s *gramSim) openReserve() (int, error) { return -1, unix.ENOENT }
func (s *gramSim) closeReserve(int)          {}

func (s *gramSim) open(at, to netip.AddrPort, o conn.SocketOptions) int {
	f := &gramFile{fd: simGramFD, at: at, to: to, size: o.DatagramSize, room: s.r.IntN(20)}
	for s.files[f.fd] != nil {
		f.fd++
	}
	s.files[f.fd] = f
	s.note("socket %d at %v to %v", f.fd, at, to)
	return f.fd
}

func (s *gramSim) listenDatagrams(a conn.Addr, o conn.SocketOptions) (int, error) {
	return s.open(a.AddrPort, netip.AddrPort{}, o), nil
}

func (s *gramSim) dialDatagrams(a conn.Addr, o conn.SocketOptions) (int, error) {
	s.ports++
	return s.open(netip.AddrPortFrom(a.AddrPort.Addr(), s.ports), a.AddrPort, o), nil
}

func (s *gramSim) describe(fd int, _ *conn.SocketOptions) (conn.DatagramSetup, error) {
	f := s.file(fd)
	return conn.DatagramSetup{Family: unix.AF_INET, Size: f.size, Connected: f.to.IsValid(), Errors: true, Segments: s.r.IntN(2) == 0}, nil
}

func (s *gramSim) file(fd int) *gramFile {
	f := s.files[fd]
	if f == nil {
		s.fail("a call on descriptor %d, which is closed", fd)
		return &gramFile{}
	}
	return f
}

// fails returns the error that was pending, or one by chance.
func (s *gramSim) fails(f *gramFile, what string, by ...error) error {
	if err := f.pending; err != nil {
		f.pending = nil
		s.note("%s %d: %v was pending", what, f.fd, err)
		return err
	}
	if s.faults && s.r.IntN(12) == 0 {
		err := by[s.r.IntN(len(by))]
		s.note("%s %d: %v", what, f.fd, err)
		s.seen[what+" fails"]++
		return err
	}
	return nil
}

// The DatagramTransport.
func (s *gramSim) Receive(fd, size int, list []conn.Datagram) (n int, more bool, err error) {
	f := s.file(fd)
	if err := s.fails(f, "receive", unix.EINTR, unix.EAGAIN, unix.ENOMEM, unix.EHOSTUNREACH, unix.ENOBUFS); err != nil {
		return 0, false, err
	}
	if len(f.in) == 0 {
		return 0, false, unix.EAGAIN
	}
	n = min(len(list), len(f.in), 1+s.r.IntN(20))
	for i, g := range f.in[:n] {
		data := g.data[:min(len(g.data), size)]
		list[i] = conn.Datagram{Data: data, From: conn.PeerOf(g.from), To: g.to.Addr(), Truncated: len(data) < len(g.data)}
		f.taken = append(f.taken, string(data))
	}
	f.in = slices.Clone(f.in[n:])
	s.note("received %d on %d", n, fd)
	return n, n == len(list), nil
}

func (s *gramSim) Send(fd, family int, list []conn.Outgoing) (n int, err error) {
	f := s.file(fd)
	if err := s.fails(f, "send", unix.EINTR, unix.ENOBUFS, unix.EPERM, unix.EMSGSIZE, unix.ENETUNREACH); err != nil {
		return 0, err
	}
	for ; n < len(list); n++ {
		if f.room == 0 {
			if n == 0 {
				s.seen["EAGAIN"]++
				return 0, unix.EAGAIN
			}
			s.seen["EAGAIN in the middle"]++
			break
		}
		if n > 0 && s.faults && s.r.IntN(40) == 0 {
			s.seen["an error in the middle"]++
			break // of which the next call is told, if it is still there
		}
		o := &list[n]
		to := o.To.AddrPort()
		if f.to.IsValid() {
			to = f.to
		}
		if o.Segment == 0 {
			o.Segment = max(len(o.Data), 1)
		} else if s.seen["segments"]++; s.faults && s.r.IntN(8) == 0 {
			if n == 0 {
				s.seen["segments refused"]++
				return 0, []error{unix.EINVAL, unix.EIO}[s.r.IntN(2)]
			}
			break
		}
		for p := range slices.Chunk(o.Data, o.Segment) {
			f.room = max(f.room-1, 0)
			f.sent = append(f.sent, string(p))
			if want, ok := s.dest[string(p)]; ok && to != want {
				s.fail("a datagram for %v goes to %v", want, to)
			}
			s.carry(f, to, slices.Clone(p))
		}
	}
	s.note("sent %d of %d on %d", n, len(list), fd)
	return n, nil
}

// carry takes a datagram over the network, to a socket, to nowhere, or to where there is none.
func (s *gramSim) carry(f *gramFile, to netip.AddrPort, data []byte) {
	for _, p := range s.files {
		if p.at == to && (!p.to.IsValid() || p.to == f.at) {
			if len(p.in) < 100 && s.r.IntN(20) > 0 {
				p.in = append(p.in, faultGram{from: f.at, to: to, data: data})
			}
			return
		}
	}
	f.errors = append(f.errors, conn.Undelivered{To: conn.PeerOf(to), Err: unix.ECONNREFUSED})
	f.pending = unix.ECONNREFUSED
	f.icmp++
	s.note("nobody at %v, says the network to %d", to, f.fd)
}

func (s *gramSim) ReceiveError(fd int, ev *conn.Undelivered) error {
	f := s.file(fd)
	if s.faults && s.r.IntN(20) == 0 {
		return unix.EINTR
	}
	if len(f.errors) == 0 {
		return unix.EAGAIN
	}
	*ev = f.errors[0]
	if f.errors = f.errors[1:]; len(f.errors) == 0 {
		f.pending = nil
	}
	return nil
}

func (s *gramSim) Close(fd int) error {
	if s.file(fd); s.watched[fd] != 0 {
		s.fail("%d is closed while it is watched", fd)
	}
	delete(s.files, fd)
	s.note("close %d", fd)
	return nil
}

// gramPoller is its poller.
type gramPoller struct{ s *gramSim }

func (gramPoller) String() string { return "datagrams" }
func (gramPoller) maxFD() int     { return 1 << 20 }
func (gramPoller) close() error   { return nil }

func (p gramPoller) set(fd int, was, want conn.Interest) error {
	s := p.s
	if s.m == nil {
		return nil
	}
	if s.watched[fd] != was {
		s.fail("%d: set from %d to %d, but it is watched for %d", fd, was, want, s.watched[fd])
	}
	if s.watched[fd] = want; want == 0 {
		delete(s.watched, fd)
	}
	return nil
}

func (p gramPoller) wait(list []ready, timeout time.Duration) (n int, err error) {
	s := p.s
	s.waits++
	for fd := simGramFD; fd < simGramFD+40; fd++ {
		f, want := s.files[fd], s.watched[fd]
		if f == nil || want == 0 {
			continue
		}
		var got conn.Interest
		if len(f.in) > 0 {
			got |= conn.In
		}
		if f.room > 0 {
			got |= conn.Out
		}
		got &= want
		if len(f.errors) > 0 || f.pending != nil {
			got = conn.In | conn.Out // as EPOLLERR is told, whatever was asked for
		}
		if got != 0 {
			list[n] = ready{fd: int32(fd), got: got}
			n++
		}
	}
	s.slept = n == 0 && timeout != 0
	if s.slept && timeout > 0 {
		s.now += int64(timeout)
	}
	return n, nil
}

// handler is that of a socket.
func (s *gramSim) handler(k *gramSock) conn.Handler {
	return func(c *conn.Conn, ev conn.Event) {
		k.events = append(k.events, strings.TrimPrefix(ev.EventName(), "conn."))
		if n := len(k.events); n > 1 && k.events[n-2] == "Close" {
			s.fail("%s after Close", k.events[n-1])
		}
		k.c = c
		switch ev := ev.(type) {
		case *conn.Datagram:
			if c.Paused() || !c.IsOpen() {
				s.fail("a datagram on %d, which is paused or closed", c.FD())
			}
			k.got = append(k.got, string(ev.Data))
			if ev.Truncated {
				k.cut++
			}
			if s.r.IntN(3) > 0 && !s.ending {
				data := s.data(k)
				s.dest[data] = ev.From.AddrPort()
				s.noted(k, data, ev.Reply([]byte(data)))
			}
		case *conn.Undelivered:
			if ev.Err == unix.ECONNREFUSED && ev.Dropped == 0 && ev.To.AddrPort().IsValid() {
				k.told++
			}
		}
		s.act(k, true)
	}
}

// data makes a datagram that no other is like.
func (s *gramSim) data(k *gramSock) string {
	s.number++
	if s.r.IntN(2) == 0 {
		return fmt.Sprintf("%d:%0*d", s.number, 20-len(strconv.Itoa(s.number)), 0) // as long as others are
	}
	return fmt.Sprintf("%d:%0*d", s.number, 1+s.r.IntN(2*simGramSize), 0)
}

// noted takes down the outcome of a send.
func (s *gramSim) noted(k *gramSock, data string, err error) {
	switch {
	case err == nil:
		k.accepted = append(k.accepted, data)
	case errors.Is(err, conn.ErrSendLimit):
		s.refused++
	case errors.Is(err, conn.ErrClosed) && !k.c.IsOpen():
	default:
		s.fail("send: %v", err)
	}
}

// act is something that the program does, on k.
func (s *gramSim) act(k *gramSock, inside bool) {
	r, c := s.r, k.c
	if s.ending {
		return
	}
	switch r.IntN(40) {
	case 0:
		c.Pause()
	case 1, 2:
		c.Resume()
	case 3:
		if inside && len(k.events) > 1 && k.events[len(k.events)-1] != "Close" && r.IntN(4) == 0 {
			s.seen["panic"]++
			panic("of the simulation")
		}
	case 4:
		if r.IntN(20) == 0 {
			s.seen["close"]++
			c.Close()
		}
	case 5:
		if r.IntN(20) == 0 {
			s.seen["drain"]++
			c.Drain()
		}
	case 6, 7, 8, 9:
		if inside && s.number > 3000 {
			return // it must come to an end
		}
		for range r.IntN(30) {
			data := s.data(k)
			if k.peer {
				_, err := c.Write([]byte(data))
				s.noted(k, data, err)
			} else {
				to := netip.AddrPortFrom(netip.MustParseAddr(simGramHost), uint16(1+r.IntN(6)))
				s.dest[data] = to
				s.noted(k, data, c.SendTo([]byte(data), conn.PeerOf(to)))
			}
		}
	}
}

// quiet turns the loop until it sleeps.
func (s *gramSim) quiet() {
	for i := 0; s.wrong == ""; i++ {
		if err := s.m.once(0); err != nil && err != ErrClosed {
			s.fail("Poll: %v", err)
		}
		n := s.waits
		if err := s.m.once(time.Millisecond); err != nil && err != ErrClosed {
			s.fail("Poll: %v", err)
		}
		if s.slept || s.m.isDone() {
			return
		}
		if i > 2000 {
			s.fail("it spins: %d waits", n)
		}
	}
}

func (s *gramSim) run(t *testing.T) {
	m, err := newManager(Options{Log: Silent, Limits: conn.Limits{Send: 4000, HighWater: 2000, Stall: time.Second}}, gramPoller{s}, func() int64 { return s.now })
	if err != nil {
		t.Fatal(err)
	}
	unixClose(m)
	s.m, m.sock, m.sockets, m.grams = m, nil, s, s
	m.own(goroutine())
	defer m.own(0)
	for i := range 6 {
		k := &gramSock{peer: i >= 3}
		var o conn.SocketOptions
		if s.r.IntN(2) == 0 {
			o.DatagramSize = simGramSize
		}
		if k.peer { // of port 1 to 6, of which some have nobody
			k.c, err = m.Connect(fmt.Sprintf("udp://%s:%d", simGramHost, 1+s.r.IntN(6)), s.handler(k), ConnectOptions{Socket: o})
		} else {
			k.c, err = m.Listen(fmt.Sprintf("udp://%s:%d", simGramHost, i+1), s.handler(k), ListenOptions{Socket: o})
		}
		if err != nil {
			t.Fatal(err)
		}
		k.f = s.files[k.c.FD()]
		s.socks = append(s.socks, k)
	}
	for range 60 {
		switch s.r.IntN(6) {
		case 0:
			s.faults = !s.faults
		case 1:
			s.now += int64(s.r.IntN(int(1500 * time.Millisecond))) // perhaps what waits has waited too long
		default:
			for _, k := range s.socks {
				k.f.room += s.r.IntN(30) * s.r.IntN(2)
				if k.c.IsOpen() {
					m.try(k.c, func() { s.act(k, false) })
				}
			}
		}
		s.quiet()
	}
	s.end()
}

// end lets all come to rest, and counts.
func (s *gramSim) end() {
	s.faults, s.ending = false, true
	for range 3 {
		for _, k := range s.socks {
			k.f.room = 1000
			if k.c.IsOpen() {
				k.c.Resume()
			}
		}
		s.quiet()
	}
	var accepted, sent, cut uint64
	for i, k := range s.socks {
		accepted += uint64(len(k.accepted))
		sent += uint64(len(k.f.sent))
		cut += uint64(k.cut)
		if !within(k.f.sent, k.accepted) {
			s.fail("socket %d: what was sent is not what was accepted, in order", i)
		}
		if open := k.c.IsOpen(); open && !slices.Equal(k.got, k.f.taken) || !open && !within(k.got, k.f.taken) {
			s.fail("socket %d: %d received, %d delivered", i, len(k.f.taken), len(k.got))
		}
		if open := k.c.IsOpen(); open && (k.told != k.f.icmp || len(k.f.errors) > 0 || k.c.Pending() > 0) || k.told > k.f.icmp {
			s.fail("socket %d: %d errors of the network, %d told, %d bytes wait", i, k.f.icmp, k.told, k.c.Pending())
		}
		if !k.c.IsOpen() && !slices.Contains(k.events, "Close") {
			s.fail("socket %d: no Close", i)
		}
		if k.peer && slices.Contains(k.events, "Datagram") && !slices.Contains(k.events, "Connect") {
			s.fail("socket %d: events without Connect", i)
		}
	}
	st := s.m.Stats()
	if accepted+s.refused != sent+st.DatagramsDropped || st.DatagramsOut != sent {
		s.fail("%d accepted and %d refused; %d sent (%d counted) and %d dropped", accepted, s.refused, sent, st.DatagramsOut, st.DatagramsDropped)
	}
	if st.DatagramsCut < cut || st.Held != 0 {
		s.fail("%d cut off, %d counted; %d bytes are held", cut, st.DatagramsCut, st.Held)
	}
	s.seen["cut"] += int(cut)
	s.seen["dropped"] += int(st.DatagramsDropped)
	s.m.asked.Or(askShutdown)
	s.quiet()
	if !s.m.isDone() {
		s.fail("the shutdown does not end")
		s.m.finish()
	}
	for i, k := range s.socks {
		n := 0
		for _, e := range k.events {
			if e == "Close" || e == "Open" {
				n++
			}
		}
		if n != 2 || k.events[0] != "Open" || k.events[len(k.events)-1] != "Close" {
			s.fail("socket %d: events %v", i, k.events)
		}
	}
	if len(s.files)+len(s.watched) > 0 {
		s.fail("%d descriptors are left, %d are watched", len(s.files), len(s.watched))
	}
}

// within reports whether part is all, in order, with some left out.
func within(part, all []string) bool {
	i := 0
	for _, x := range part {
		for i < len(all) && all[i] != x {
			i++
		}
		if i == len(all) {
			return false
		}
		i++
	}
	return true
}

func TestDatagramSim(t *testing.T) {
	runs := 300
	if raceEnabled || testing.Short() {
		runs = 30
	}
	seen := map[string]int{}
	for seed := range uint64(runs) {
		s := &gramSim{r: rand.New(rand.NewPCG(seed, 11)), now: int64(time.Hour), files: map[int]*gramFile{}, watched: map[int]conn.Interest{},
			ports: 30_000, seen: seen, dest: map[string]netip.AddrPort{}}
		s.run(t)
		if s.wrong != "" {
			t.Fatalf("seed %d: %s\n%s", seed, s.wrong, strings.Join(s.trace[max(0, len(s.trace)-100):], "\n"))
		}
	}
	t.Log(seen)
	for _, what := range []string{"EAGAIN", "EAGAIN in the middle", "an error in the middle", "send fails", "receive fails", "panic", "close", "drain", "cut", "dropped", "segments",
		"segments refused"} {
		if seen[what] == 0 {
			t.Errorf("the simulation no longer reaches: %s", what)
		}
	}
}
