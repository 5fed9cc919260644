package conn_test

import (
	"bytes"
	"fmt"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// A Line is the event of a protocol of lines. Its text is valid until the handler returns.
type Line struct{ Text []byte }

// EventName implements conn.Event.
func (*Line) EventName() string { return "line.Line" }

// A lineLayer turns Read into Line.
type lineLayer struct{ line Line } // reused: an event allocates nothing

func (l *lineLayer) handle(c *conn.Conn, ev conn.Event) {
	if _, ok := ev.(*conn.Read); !ok {
		return
	}
	for c.IsOpen() && !c.Layer().Stopped() { // the handler may close or pause the connection
		text, _, found := bytes.Cut(c.Recv.Bytes(), []byte("\n"))
		if !found {
			return // the rest of the line comes with another Read
		}
		c.Recv.Discard(len(text) + 1)
		l.line.Text = text
		c.Layer().Emit(&l.line)
	}
}

// A protocol layer of the program's own, with an event of its own. mgr.ConnectOptions.Setup and the
// Open event of a listener's connections are the places to put it on.
func ExampleConn_SetProtocol() {
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Open:
			c.SetProtocol(new(lineLayer).handle, nil)
		case *Line:
			fmt.Fprintf(c, "%d bytes\n", len(ev.Text))
		}
	})
	d.Send("hel", "lo\nwo", "rld!\n")
	fmt.Print(d.Sent())
	// Output:
	// 5 bytes
	// 6 bytes
}
