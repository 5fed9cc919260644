package mgr

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// A client of a port of this machine without a listener gets, once in some ten thousand times, that
// very port for its own end, and is then connected to itself. Here it binds to the port, so that it
// happens the first time.
func TestASocketConnectedToItselfIsRefused(t *testing.T) {
	for _, url := range []string{"tcp://127.0.0.1:0", "tcp://[::1]:0"} {
		for _, kind := range []Poller{Epoll, Select} {
			m, err := New(Options{Poller: kind})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			addr, _ := conn.ParseAddr(url)
			family, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Addr: addr.AddrPort.Addr().As16()})
			if ip := addr.AddrPort.Addr(); ip.Is4() {
				family, sa = unix.AF_INET, &unix.SockaddrInet4{Addr: ip.As4()}
			}
			fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Skip(err)
			}
			if err := unix.Bind(fd, sa); err != nil {
				t.Skip(err)
			}
			self, err := unix.Getsockname(fd)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Connect(fd, self); err != nil {
				t.Fatal(err)
			}
			unix.SetNonblock(fd, true)
			var got error
			connected := false
			c := m.adopt(fd, conn.RemotePeer(fd), m.sock, m.limits, func(_ *conn.Conn, ev conn.Event) {
				switch ev := ev.(type) {
				case *conn.Connect:
					connected = true
				case *conn.Error:
					got = ev.Err
				}
			})
			c.Driver().BeginConnecting(0)
			m.begin(c, nil)
			c.WriteString("to whom?")
			for range 5 {
				if err := m.Poll(0); err != nil {
					t.Fatal(err)
				}
			}
			if connected || !errors.Is(got, unix.ECONNREFUSED) {
				t.Errorf("%s: connected %v, error %v; want ECONNREFUSED", kind, connected, got)
			}
			again, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Bind(again, self); err != nil { // no SO_REUSEADDR: TIME_WAIT would be in the way
				t.Errorf("%s: the port is not free: %v", kind, err)
			}
			unix.Close(again)
		}
	}
}
