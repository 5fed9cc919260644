package conn

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAbstractName(t *testing.T) {
	name := fmt.Sprintf("@mangusta-test-%d", os.Getpid())
	lfd := listenOn(t, "unix://"+name, SocketOptions{})
	dialTo(t, &unix.SockaddrUnix{Name: name})
	acceptFrom(t, lfd)
	want := "conn: listen unix://" + name + ": bind: address already in use"
	if fd, err := Listen(unixAddr(name), SocketOptions{}); err == nil || err.Error() != want {
		t.Errorf("second Listen = %d, %v", fd, err)
	}
	if err := RemoveUnix(unixAddr(name)); err != nil {
		t.Errorf("RemoveUnix: %v", err)
	}
	if _, err := os.Lstat(name); err == nil {
		t.Error("an abstract name made a file")
	}
}

func TestUnknownZoneIsAnError(t *testing.T) {
	_, err := Listen(parse(t, "tcp://[fe80::1%25nosuch0]:0"), SocketOptions{})
	want := `conn: listen tcp://[fe80::1%25nosuch0]:0: zone "nosuch0": ioctl SIOCGIFINDEX: no such device`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
