package conn

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func listenMany(t *testing.T, url string, o SocketOptions, n int) []int {
	t.Helper()
	fds, err := ListenMany(parse(t, url), o, n)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		t.Cleanup(func() { unix.Close(fd) })
	}
	return fds
}

func TestListenManyGivesEachSocketAPartOfTheConnections(t *testing.T) {
	fds := listenMany(t, "tcp://127.0.0.1:0", SocketOptions{}, 3)
	port := LocalAddr(fds[0]).Port()
	for _, fd := range fds {
		if at := LocalAddr(fd); at.Port() != port {
			t.Errorf("one is at %v, the first at port %d", at, port)
		}
	}
	const clients = 60 // that one of three gets none has a chance of 1 in 10^10
	for range clients {
		dialTo(t, loopback4(port))
	}
	sum := 0
	for i, lfd := range fds {
		n := 0
		for {
			fd, _, err := AcceptFD(lfd)
			if err != nil {
				break
			}
			unix.Close(fd)
			n++
		}
		if n == 0 {
			t.Errorf("socket %d got none", i)
		}
		sum += n
	}
	if sum != clients {
		t.Errorf("%d of %d connections were there to accept", sum, clients)
	}
}

// Two programs of one user must not share a port by mistake.
func TestListenManyFindsThePortTaken(t *testing.T) {
	fds := listenMany(t, "tcp://127.0.0.1:0", SocketOptions{}, 2)
	a := Addr{Network: "tcp", AddrPort: LocalAddr(fds[0])}
	if _, err := ListenMany(a, SocketOptions{}, 2); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a second group: %v", err)
	}
	if _, err := Listen(a, SocketOptions{}); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a single listener: %v", err)
	}
	more, err := ListenMany(a, SocketOptions{ReusePort: true}, 2)
	if err != nil {
		t.Fatalf("with ReusePort: %v", err)
	}
	for _, fd := range more {
		unix.Close(fd)
	}
}

func TestListenManyOnAllAddresses(t *testing.T) {
	fds := listenMany(t, "tcp://:0", SocketOptions{}, 2)
	dialTo(t, loopback4(LocalAddr(fds[1]).Port()))
}

func TestDupSharesTheBacklog(t *testing.T) {
	lfd := listenOn(t, "tcp://127.0.0.1:0", SocketOptions{})
	other, err := Dup(lfd)
	if err != nil {
		t.Fatal(err)
	}
	port := LocalAddr(lfd).Port()
	unix.Close(other)
	if other, err = Dup(lfd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(other) })
	dialTo(t, loopback4(port))
	acceptFrom(t, other)
	if fd, _, err := AcceptFD(lfd); err != unix.EAGAIN {
		t.Errorf("accept of the other = %d, %v", fd, err)
	}
}
