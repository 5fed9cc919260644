package systemd_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/seed4930a636/mangusta/handoff/systemd"
	"github.com/seed4930a636/mangusta/mgr"
)

// For the race detector.
func TestNotifierIsClosedWhileItIsUsed(t *testing.T) {
	s := newSupervisor(t)
	t.Setenv("NOTIFY_SOCKET", s.path)
	n, err := systemd.NewNotifier()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	go func() {
		n.Status("x")
		n.Environ()
		close(done)
	}()
	n.Close()
	<-done
	if n.Present() {
		t.Error("present after Close")
	}
}

func TestMalformedEnvironment(t *testing.T) {
	pid := fmt.Sprint(os.Getpid())
	for _, tt := range []struct{ pid, fds, names, want string }{
		{"x", "1", "", `systemd: listeners: LISTEN_PID "x" is no number`},
		{pid, "x", "", `systemd: listeners: LISTEN_FDS "x" is not a number from 0 to 1024`},
		{pid, "-1", "", `systemd: listeners: LISTEN_FDS "-1" is not a number from 0 to 1024`},
		{pid, "2000", "", `systemd: listeners: LISTEN_FDS "2000" is not a number from 0 to 1024`},
		{pid, "2", "a:b:c", `systemd: listeners: 3 names in LISTEN_FDNAMES for 2 descriptors`},
		{"1", "2", "", ""},
		{"", "2", "", ""},
		{pid, "0", "", ""},
	} {
		t.Setenv("LISTEN_PID", tt.pid)
		t.Setenv("LISTEN_FDS", tt.fds)
		t.Setenv("LISTEN_FDNAMES", tt.names)
		s, err := systemd.Listeners()
		if tt.want == "" {
			if err != nil || len(s.Left()) != 0 {
				t.Errorf("%+v: %v", tt, err)
			}
		} else if err == nil || err.Error() != tt.want {
			t.Errorf("%+v: %v", tt, err)
		}
		if os.Getenv("LISTEN_FDS") != "" {
			t.Error("LISTEN_FDS is still set")
		}
	}
	for _, tt := range []struct{ path, usec, want string }{
		{"relative", "", `systemd: NOTIFY_SOCKET "relative" is neither a path nor an abstract name`},
		{"@", "", `systemd: NOTIFY_SOCKET "@" is neither a path nor an abstract name`},
		{"vsocket", "soon", ""}, // of a kind that may come
		{"/x", "soon", `systemd: WATCHDOG_USEC "soon" is not a number of microseconds`},
		{"/x", "-1", `systemd: WATCHDOG_USEC "-1" is not a number of microseconds`},
	} {
		t.Setenv("NOTIFY_SOCKET", tt.path)
		t.Setenv("WATCHDOG_USEC", tt.usec)
		if _, err := systemd.NewNotifier(); tt.want == "" && err != nil || tt.want != "" && (err == nil || err.Error() != tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestWithoutAServiceManagerNothingHappens(t *testing.T) {
	n, err := systemd.NewNotifier()
	if err != nil || n.Present() {
		t.Fatal(n, err)
	}
	for _, err := range []error{n.Ready(), n.Reloading(), n.Stopping(), n.Status("x"), n.MainPID()} {
		if err != nil {
			t.Error(err)
		}
	}
}

// In a virtual machine NOTIFY_SOCKET may lead to its host. The service starts all the same.
func TestNotifySocketOfAHost(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "vsock:2:1234")
	t.Setenv("WATCHDOG_USEC", "10000")
	n, err := systemd.NewNotifier()
	if err != nil || n.Present() {
		t.Fatal(n, err)
	}
	want := `systemd: notify: NOTIFY_SOCKET "vsock:2:1234" is no unix socket: unsupported operation`
	for _, err := range []error{n.Ready(), n.Reloading(), n.Stopping(), n.Status("x"), n.MainPID()} {
		if !errors.Is(err, errors.ErrUnsupported) || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if got := n.Environ(); !slices.Equal(got, []string{"NOTIFY_SOCKET=vsock:2:1234"}) {
		t.Errorf("Environ %q", got)
	}
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	n.Watchdog(m)()
	n.Close()
	if err := n.Ready(); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

func TestNotifyRefusesASecondLine(t *testing.T) {
	s := newSupervisor(t)
	t.Setenv("NOTIFY_SOCKET", s.path)
	n, err := systemd.NewNotifier()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.Send("STATUS=x\nMAINPID=1"); err == nil {
		t.Error("sent")
	}
	n.Status("two\nlines")
	n.MainPID()
	s.want("STATUS=two lines", fmt.Sprintf("MAINPID=%d\nREADY=1", os.Getpid()))
}
