package sntp

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

const (
	timeoutDefault  = 5 * time.Second
	distanceDefault = 1500 * time.Millisecond // RFC 5905 §13, MAXDIST
)

// QueryOptions are the settings of one question. The zero value works.
type QueryOptions struct {
	Timeout     time.Duration    // for the name to be resolved and the answer to come; default 5 s
	MaxDistance time.Duration    // see Sample.Distance; default 1.5 s
	Now         func() time.Time // this machine's clock; default time.Now
	Socket      conn.SocketOptions
}

// Query asks a server once, such as udp://192.0.2.1:123; a name needs mgr.Options.Resolver. done is
// called once, on the loop, with a Sample or an error; never before Query returns. An error of Query
// is one of the URL, and done is not called then. The returned function ends the question without a
// call of done.
func Query(m *mgr.Manager, server string, done func(Sample, error), opts ...QueryOptions) (cancel func(), err error) {
	var o QueryOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.Timeout <= 0 {
		o.Timeout = timeoutDefault
	}
	if o.MaxDistance <= 0 {
		o.MaxDistance = distanceDefault
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	q := &query{o: o, server: server, done: done}
	c, err := m.Connect(server, q.handle, mgr.ConnectOptions{Timeout: o.Timeout, Socket: o.Socket})
	if err != nil {
		return nil, fmt.Errorf("sntp: %w", err)
	}
	if !c.IsDatagram() {
		q.done = nil
		c.Close()
		return nil, fmt.Errorf("sntp: server %q: want udp://host:123", server)
	}
	q.conn = c
	q.timer = m.AfterFunc(o.Timeout, func() { q.end(Sample{}, ErrTimeout) })
	return func() { q.done = nil; q.end(Sample{}, nil) }, nil
}

// query is one question.
type query struct {
	o      QueryOptions
	server string
	done   func(Sample, error)
	conn   *conn.Conn
	timer  *mgr.Timer
	nonce  Timestamp
	sent   time.Time
	over   bool
}

func (q *query) handle(c *conn.Conn, ev conn.Event) {
	if q.over {
		return
	}
	switch ev := ev.(type) {
	case *conn.Connect:
		q.ask(c)
	case *conn.Datagram:
		q.answer(ev.Data)
	case *conn.Undelivered:
		q.end(Sample{}, ev.Err)
	case *conn.Error:
		q.end(Sample{}, ev.Err)
	case *conn.Close:
		q.end(Sample{}, conn.ErrClosed)
	}
}

// ask sends the question. Its timestamp is a random number, which the answer has to repeat: an
// attacker who cannot see it has to guess all 64 bits, and the server does not learn our time.
func (q *query) ask(c *conn.Conn) {
	for q.nonce == 0 {
		q.nonce = Timestamp(rand.Uint64())
	}
	p := Packet{Version: 4, Mode: 3, Transmit: q.nonce}
	var b [PacketSize]byte
	c.Write(p.Append(b[:0]))
	q.sent = q.o.Now() // it leaves at the end of this turn
}

func (q *query) answer(b []byte) {
	took := q.o.Now().Sub(q.sent) // by the monotonic clock, should the other one be set meanwhile
	p, err := Parse(b)
	if err != nil {
		return // not from the server, or it is none: the timeout tells
	}
	s, err := p.Check(q.nonce, q.sent, took, q.o.MaxDistance)
	if err == ErrBogus {
		return
	}
	s.Server = q.server
	q.end(s, err)
}

func (q *query) end(s Sample, err error) {
	if q.over {
		return
	}
	q.over = true
	if q.timer != nil {
		q.timer.Stop()
	}
	if q.conn != nil {
		q.conn.Close()
	}
	if q.done == nil {
		return
	}
	if err != nil {
		err = fmt.Errorf("sntp: %s: %w", q.server, err)
	}
	q.done(s, err)
}
