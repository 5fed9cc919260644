package conn_test

import (
	"fmt"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// A meter follows connections without being their handler.
type meter struct{ in, out int }

func (m *meter) Watch(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *conn.Read:
		m.in += ev.N
	case *conn.Write:
		m.out += ev.N
	}
}

func ExampleWatcher() {
	var m meter
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *conn.Accept:
			c.SetWatcher(&m)
		case *conn.Read:
			c.Recv.Discard(c.Recv.Len())
			c.WriteString("thank you")
		}
	})
	d.Send("hello")
	fmt.Println(m.in, "bytes in,", m.out, "out")
	// Output: 5 bytes in, 9 out
}
