package mgr

import (
	"crypto/tls"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// A tlsPeer is the other end: crypto/tls in a goroutine, which runs only while the simulation waits
// for it.
type tlsPeer struct {
	p              *tlsSimConn
	t              *tls.Conn
	in             []byte
	end            bool
	resume, parked chan struct{}

	up     bool
	sent   int  // plaintext
	bye    bool // it has sent close_notify
	lost   bool // some of what it sent
	spoilt bool // the stream has bytes that it did not send
	got    int
	wrong  bool
	over   bool
	err    error // of its last Read, or of the handshake
}

var errTLSCut = errors.New("the stream ended without close_notify")

func newTLSPeer(p *tlsSimConn) *tlsPeer {
	x := &tlsPeer{p: p, resume: make(chan struct{}), parked: make(chan struct{})}
	if p.outbound {
		x.t = tls.Server(x, p.s.both)
	} else {
		x.t = tls.Client(x, p.s.both)
	}
	go x.live()
	x.run()
	return x
}

func (x *tlsPeer) live() {
	<-x.resume
	b := make([]byte, 8000)
	if x.err = x.t.Handshake(); x.err == nil {
		x.up = true
		for x.err == nil {
			var n int
			n, x.err = x.t.Read(b)
			x.wrong = x.wrong || !simSame(b[:n], x.p.outStart, x.got)
			x.got += n
		}
	}
	x.over = true
	x.parked <- struct{}{}
}

// run lets the peer do what it can.
func (x *tlsPeer) run() {
	if !x.over {
		x.resume <- struct{}{}
		<-x.parked
	}
}

// take gives the peer what was sent to it, and the end of the stream.
func (x *tlsPeer) take(b []byte, end bool) {
	if x.over {
		return
	}
	x.in, x.end = append(x.in, b...), x.end || end
	up := x.up
	x.run()
	s := x.p.s
	if x.up && !up {
		s.tally.Up++
	}
	if len(b) > 0 || x.over {
		s.note("%v: the peer takes %d, has %d, up %v, %v", x.p, len(b), x.got, x.up, x.err)
	}
	if x.wrong {
		s.fail("%v: the peer got wrong bytes before %d", x.p, x.got)
	}
	if x.got > x.p.accepted {
		s.fail("%v: the peer got %d bytes of %d", x.p, x.got, x.p.accepted)
	}
	if x.over {
		x.p.airFin = x.p.airFin || !x.up || s.d.one(2) // it closes, or goes on to send
	}
}

func (x *tlsPeer) Read(b []byte) (int, error) {
	for len(x.in) == 0 {
		if x.end {
			return 0, errTLSCut // crypto/tls would make the same io.EOF of a FIN as of close_notify
		}
		x.parked <- struct{}{}
		<-x.resume
	}
	n := copy(b, x.in)
	x.in = x.in[n:]
	return n, nil
}

func (x *tlsPeer) Write(b []byte) (int, error) {
	if !x.p.airFin && !x.p.gone {
		x.p.air = append(x.p.air, b...)
	}
	return len(b), nil
}

func (x *tlsPeer) Close() error { return nil }

func (x *tlsPeer) LocalAddr() net.Addr { return &net.TCPAddr{} }

func (x *tlsPeer) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func (x *tlsPeer) SetDeadline(time.Time) error { return nil }

func (x *tlsPeer) SetReadDeadline(time.Time) error { return nil }

func (x *tlsPeer) SetWriteDeadline(time.Time) error { return nil }

// act lets the peer do something.
func (x *tlsPeer) act() {
	p, d := x.p, &x.p.s.d
	s := p.s
	switch k := d.n(60); {
	case p.airFin || p.gone:
	case k < 30:
		if x.up && !x.bye {
			n := min(d.size(), 100<<10)
			x.t.Write(simBytes(p.inStart, x.sent, n))
			x.sent += n
			s.note("%v: the peer sends %d", p, n)
		}
	case k < 34:
		if x.up && !x.bye {
			x.bye = true
			x.t.CloseWrite()
			s.note("%v: the peer sends close_notify", p)
			if d.one(2) {
				p.airFin = true
			}
		}
	case k == 34 && d.one(2):
		p.airFin = true
		if d.one(2) && len(p.air) > 0 {
			p.air = p.air[:d.n(len(p.air))] // some of it is lost on the way
			x.lost = true
		}
		s.note("%v: the peer ends the stream, close_notify %v", p, x.bye)
	case k == 35 && d.one(2):
		errs := [...]unix.Errno{unix.ECONNRESET, unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.ENOMEM}
		p.err = errs[d.n(len(errs))]
		p.in, p.air, p.gone, p.fin, p.airFin = nil, nil, true, true, true
		s.note("%v: the peer resets: %v", p, p.err)
	case k == 36 && d.one(4):
		b := simBytes(p.inStart, 0, 1+d.n(300))
		p.air = append(p.air, b...)
		x.spoilt = true
		s.note("%v: %d bytes come that are no TLS", p, len(b))
	}
}
