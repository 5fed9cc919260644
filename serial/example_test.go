package serial_test

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/serial"
)

// A line that has gone is opened again by a timer.
func ExampleOpen() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	handle := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Read:
			fmt.Printf("%q\n", c.Recv.Bytes())
			c.Recv.Discard(c.Recv.Len())
		case *conn.Error:
			if errors.Is(ev.Err, serial.ErrGone) {
				fmt.Println("unplugged")
			}
		}
	}
	_, err = serial.Open(m, "/dev/ttyNoSuchLine", handle, serial.Options{Mode: serial.Mode{Speed: 19200, Parity: serial.Even}})
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output: true
}

func ExampleParseMode() {
	m, err := serial.ParseMode("19200 8E1")
	fmt.Println(m.Speed, m.Parity, m.CharBits(), err)
	_, err = serial.ParseMode("19200 9E1")
	fmt.Println(err)
	// Output:
	// 19200 E 11 <nil>
	// serial: 9 data bits: want 5 to 8
}
