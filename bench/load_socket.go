package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A load is an epoll instance with sockets to a server, on one thread that is bound to the load's
// processor. Nothing in it allocates while it runs, so that it costs less than any server.
type load struct {
	ep    int
	to    unix.SockaddrInet4
	host  string
	socks []*socket
	buf   []byte
	evs   []unix.EpollEvent
}

// socket is one connection.
type socket struct {
	fd   int
	in   scanner
	out  []byte        // what send did not take
	sent time.Duration // when the message that is under way was sent, since begin
	busy bool          // a message is under way
	got  int           // messages of a broadcast
}

// begin is what the load's clock counts from.
var begin = time.Now()

func now() time.Duration { return time.Since(begin) }

// onLoadThread runs f with a new load for addr on a thread of its own.
func onLoadThread(addr string, f func(l *load) error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		pinThread()
		l, err := newLoad(addr)
		if err == nil {
			err = f(l)
			l.close()
		}
		done <- err
	}()
	return <-done
}

func newLoad(addr string) (*load, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &load{ep: ep, to: unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, host: addr,
		buf: make([]byte, 256<<10), evs: make([]unix.EpollEvent, 1024)}, nil
}

func (l *load) close() {
	for _, s := range l.socks {
		unix.Close(s.fd)
	}
	unix.Close(l.ep)
}

// dial connects; the socket blocks for at most ten seconds in any call.
func (l *load) dial() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	patience := unix.Timeval{Sec: 10}
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience)
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if _, err := again(func() (int, error) { return 0, unix.Connect(fd, &l.to) }); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect: %w", err)
	}
	return fd, nil
}

// again repeats a call that a signal of Go's runtime has interrupted. On Linux an interrupted
// connect goes on waiting.
func again(call func() (int, error)) (n int, err error) {
	for {
		if n, err = call(); err != unix.EINTR {
			return n, err
		}
	}
}

// watch makes fd non-blocking and has it reported as index i.
func (l *load) watch(fd, i int) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	return unix.EpollCtl(l.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)})
}

// key and accept are those of RFC 6455 §1.3, so that the floor need not compute a hash.
const (
	key    = "dGhlIHNhbXBsZSBub25jZQ=="
	accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// upgradeRequest is a client's handshake.
func upgradeRequest(host, path string, deflated bool) []byte {
	b := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n", path, host, key)
	if deflated {
		b = append(b, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"...)
	}
	return append(b, "\r\n"...)
}

// open opens n WebSockets.
func (l *load) open(n int, path string, deflated bool) error {
	req := upgradeRequest(l.host, path, deflated)
	for range n {
		fd, err := l.dial()
		if err != nil {
			return fmt.Errorf("connection %d: %w", len(l.socks)+1, err)
		}
		l.socks = append(l.socks, &socket{fd: fd})
		if err := l.handshake(fd, req, deflated); err != nil {
			return fmt.Errorf("connection %d: %w", len(l.socks), err)
		}
		if err := l.watch(fd, len(l.socks)-1); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) handshake(fd int, req []byte, deflated bool) error {
	if _, err := again(func() (int, error) { return unix.Write(fd, req) }); err != nil {
		return fmt.Errorf("handshake: write: %w", err)
	}
	var head []byte
	for !bytes.Contains(head, []byte("\r\n\r\n")) {
		n, err := again(func() (int, error) { return unix.Read(fd, l.buf) })
		if err != nil || n == 0 {
			return fmt.Errorf("handshake: read: %w after %q", errors.Join(err, errEnded), head)
		}
		head = append(head, l.buf[:n]...)
	}
	switch {
	case !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) || !bytes.Contains(head, []byte(accept)):
		return fmt.Errorf("handshake: answered %q", head)
	case !bytes.HasSuffix(head, []byte("\r\n\r\n")):
		return fmt.Errorf("handshake: bytes behind it: %q", head)
	case deflated && !strings.Contains(string(head), "permessage-deflate"):
		return fmt.Errorf("handshake: the server does not compress: %q", head)
	}
	return nil
}

var errEnded = errors.New("the server has closed the connection")

// send sends b on s, and keeps what the socket does not take; b must not change until it is out.
func (l *load) send(i int, b []byte) error {
	s := l.socks[i]
	n, err := send(s.fd, b)
	switch {
	case err == unix.EAGAIN:
		n = 0
	case err != nil:
		return fmt.Errorf("write: %w", err)
	}
	if n == len(b) {
		return nil
	}
	s.out = b[n:]
	return l.arm(i, unix.EPOLLIN|unix.EPOLLOUT)
}

// flush goes on with what send kept.
func (l *load) flush(i int) error {
	s := l.socks[i]
	b := s.out
	s.out = nil
	if len(b) == 0 {
		return nil
	}
	if err := l.arm(i, unix.EPOLLIN); err != nil {
		return err
	}
	return l.send(i, b)
}

func (l *load) arm(i int, events uint32) error {
	return unix.EpollCtl(l.ep, unix.EPOLL_CTL_MOD, l.socks[i].fd, &unix.EpollEvent{Events: events, Fd: int32(i)})
}

// wait waits up to a tenth of a second and returns what is ready.
func (l *load) wait() ([]unix.EpollEvent, error) {
	n, err := unix.EpollWait(l.ep, l.evs, 100)
	if err == unix.EINTR {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("epoll_wait: %w", err)
	}
	return l.evs[:n], nil
}

// read reads once from socket i, sends what was waiting, and returns how many messages have ended.
func (l *load) read(ev unix.EpollEvent) (messages int, err error) {
	if ev.Events&unix.EPOLLOUT != 0 {
		if err := l.flush(int(ev.Fd)); err != nil || ev.Events&^unix.EPOLLOUT == 0 {
			return 0, err
		}
	}
	s := l.socks[ev.Fd]
	n, err := recv(s.fd, l.buf)
	switch {
	case err == unix.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read: %w", err)
	case n == 0:
		return 0, errEnded
	}
	return s.in.scan(l.buf[:n])
}

var errSilent = errors.New("no message within ten seconds")

// message reads one whole message of one frame from socket i, for the checks before a run.
func (l *load) message(i int) (head byte, p []byte, err error) {
	s := l.socks[i]
	var b []byte
	for limit := now() + 10*time.Second; now() < limit; {
		n, err := recv(s.fd, l.buf)
		switch {
		case err == unix.EAGAIN:
			unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}, 1000)
			continue
		case err != nil || n == 0:
			return 0, nil, errors.Join(err, errEnded)
		}
		b = append(b, l.buf[:n]...)
		done, err := s.in.scan(l.buf[:n])
		if err != nil {
			return 0, nil, err
		}
		if done > 1 {
			return 0, nil, fmt.Errorf("%d messages for one", done)
		}
		if done == 1 {
			size := map[byte]int{126: 4, 127: 10}[b[1]]
			return b[0], b[max(size, 2):], nil
		}
	}
	return 0, nil, errSilent
}

// check sends want on socket 0, and compares what comes back on all of the sockets in from.
func (l *load) check(want []byte, deflated bool, from []int) error {
	if err := l.send(0, frame(want, deflated)); err != nil {
		return err
	}
	for l.socks[0].out != nil { // a message larger than the socket's buffer
		unix.Poll([]unix.PollFd{{Fd: int32(l.socks[0].fd), Events: unix.POLLOUT}}, 1000)
		if err := l.flush(0); err != nil {
			return err
		}
	}
	for _, i := range from {
		head, got, err := l.message(i)
		if err != nil {
			return fmt.Errorf("check of a message: %w", err)
		}
		if deflated {
			if head&0x40 == 0 {
				return errors.New("check of a message: it is not compressed")
			}
			if got, err = inflate(got); err != nil {
				return fmt.Errorf("check of a message: %w", err)
			}
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("check of a message: got %.100q", got)
		}
	}
	return nil
}
