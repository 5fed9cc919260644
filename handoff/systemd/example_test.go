package systemd_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/seed4930a636/mangusta/handoff/systemd"
	"github.com/seed4930a636/mangusta/mgr"
)

// A service says that it is ready, and then beats twice as often as its watchdog wants. Here the
// example plays the service manager, too.
func ExampleNotifier() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	os.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "notify"))
	os.Setenv("WATCHDOG_USEC", "20000")

	n, err := systemd.NewNotifier()
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	n.Watchdog(m)
	n.Ready()
	m.AfterFunc(100*time.Millisecond, func() { n.Stopping(); m.Close() })
	m.Run(context.Background())

	b := make([]byte, 100)
	for range 2 {
		k, _ := manager.Read(b)
		fmt.Printf("%s\n", b[:k])
	}
	// Output:
	// READY=1
	// WATCHDOG=1
}
