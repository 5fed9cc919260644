package mgr_test

import (
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// Watch tells when a descriptor is ready, and the program reads it: here an eventfd, as a driver
// may hand it out.
func ExampleManager_Watch() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = m.Watch(fd, func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *conn.Ready:
			var count [8]byte
			unix.Read(fd, count[:])
			fmt.Println(binary.NativeEndian.Uint64(count[:]), "events")
			c.Close()
		case *conn.Close:
			unix.Close(fd) // it stayed the program's
			m.Close()
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	unix.Write(fd, binary.NativeEndian.AppendUint64(nil, 3))
	m.Run(context.Background())
	// Output: 3 events
}
