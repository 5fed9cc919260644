package mgr_test

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// The output of another program, a serial line, a socket from elsewhere: any descriptor of a stream
// becomes a connection.
func ExampleManager_Wrap() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := m.Wrap(pipe[0], func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *conn.Read:
			fmt.Printf("read %q\n", c.Recv.Bytes())
			c.Recv.Discard(c.Recv.Len())
		case *conn.Close:
			m.Close()
		}
	}); err != nil {
		fmt.Println(err)
		return
	}
	w := os.NewFile(uintptr(pipe[1]), "pipe")
	w.WriteString("21.5 °C")
	w.Close()
	m.Run(context.Background())
	// Output: read "21.5 °C"
}
