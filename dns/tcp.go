package dns

import (
	"encoding/binary"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// openTCP sends b on a connection of its own (RFC 7766), with its length before it (RFC 1035
// §4.2.2).
func (t *try) openTCP(b []byte) (err error) {
	m := t.q.m
	limits := conn.Limits{Recv: 1<<16 + 2}
	t.c, err = m.Connect(conn.Addr{Network: "tcp", AddrPort: t.server}.String(), t.stream,
		mgr.ConnectOptions{Timeout: t.q.l.conf.timeout + time.Second, Limits: limits}) // the timer of the query is first
	if err != nil {
		return err
	}
	t.q.l.stats.TCP++
	t.c.Write(binary.BigEndian.AppendUint16(nil, uint16(len(b))))
	t.c.Write(b)
	return nil
}

// stream is the handler of a try's connection.
func (t *try) stream(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *conn.Read:
		b := c.Recv.Bytes()
		if len(b) < 2 || t.over {
			return
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			c.Layer().ExpectInput(2 + n)
			return
		}
		t.got(b[2:2+n], false)
	case *conn.Error:
		if !t.over {
			t.fail(ev.Err)
		}
	case *conn.Close:
		if !t.over {
			t.fail(errClosed)
		}
	}
}
