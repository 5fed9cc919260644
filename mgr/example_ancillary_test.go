package mgr_test

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// One process hands a file that it has opened to another, which may not open it itself. Here both
// ends of the unix socket are on one loop.
func ExampleManager_descriptors() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	m.Wrap(ends[1], func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Open:
			c.SetAncillary(true)
		case *conn.Ancillary:
			for _, fd := range ev.Take() { // ours now
				f := os.NewFile(uintptr(fd), "received")
				fmt.Fprint(f, "written by the receiver")
				f.Close()
			}
			fmt.Println("from this process:", ev.Credentials != nil && ev.Credentials.PID == os.Getpid())
			m.Close()
		}
	})
	f, err := os.CreateTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(f.Name())
	sender, _ := m.Wrap(ends[0], nil)
	sender.SendMsg([]byte("a file for you"), int(f.Fd()))
	m.Run(context.Background())
	b, _ := os.ReadFile(f.Name())
	fmt.Printf("%s\n", b)
	// Output:
	// from this process: true
	// written by the receiver
}

// A goroutine that has opened a file, which may take long, hands it to a connection of the loop.
func ExampleManager_SendMsg() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	m.Wrap(ends[1], func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Open:
			c.SetAncillary(true)
		case *conn.Ancillary:
			for _, fd := range ev.Take() { // ours now
				f := os.NewFile(uintptr(fd), "received")
				b, _ := io.ReadAll(f)
				fmt.Printf("the file says: %s\n", b)
				f.Close()
			}
		case *conn.Read:
			fmt.Printf("with it: %s\n", c.Recv.Bytes())
			m.Close()
		}
	})
	sender, err := m.Wrap(ends[0], nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	go func(id uint64) {
		r, w, err := os.Pipe()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Fprint(w, "good morning")
		w.Close()
		m.SendMsg(id, []byte("a file for you"), int(r.Fd()))
		r.Close() // it has been duplicated
	}(sender.ID())
	m.Run(context.Background())
	// Output:
	// the file says: good morning
	// with it: a file for you
}
