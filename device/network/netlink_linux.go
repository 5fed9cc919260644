package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds the wait for the kernel's next message.
const patience = 2 * time.Second

// errInterrupted says that something has changed while the kernel was telling.
var errInterrupted = errors.New("the dump was interrupted")

// room is that for one answer: the kernel sends 32 KiB at most (netlink_dump).
const room = 64 << 10

// dump asks the kernel for all of a kind, and calls each with the messages: the type, and what
// follows the header. They are in the buffer in, which has room.
func dump(in []byte, request uint16, each func(kind uint16, body []byte)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	const sequence = 1
	var b [unix.SizeofNlMsghdr + 4]byte // a struct rtgenmsg, padded: AF_UNSPEC
	binary.NativeEndian.PutUint32(b[0:], uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], request)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	binary.NativeEndian.PutUint32(b[8:], sequence)
	if err := retried(func() error { return unix.Sendto(fd, b[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) }); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	a := answer{sequence: sequence, each: each}
	for {
		var n int
		var from unix.Sockaddr
		err := retried(func() (err error) {
			n, from, err = unix.Recvfrom(fd, in, 0)
			return err
		})
		if err != nil {
			return os.NewSyscallError("recvfrom", err)
		}
		if a, ok := from.(*unix.SockaddrNetlink); !ok || a.Pid != 0 {
			continue // another process may send, too
		}
		if done, err := a.take(in[:n]); done || err != nil {
			return err
		}
	}
}

// An answer is what comes of a dump: several datagrams, each with several messages.
type answer struct {
	sequence    uint32
	each        func(kind uint16, body []byte)
	interrupted bool
}

// take reads a datagram, and reports whether it was the last.
func (a *answer) take(b []byte) (done bool, err error) {
	err = messages(b, func(h header, body []byte) error {
		if h.sequence != a.sequence {
			return nil
		}
		a.interrupted = a.interrupted || h.flags&unix.NLM_F_DUMP_INTR != 0
		switch h.kind {
		case unix.NLMSG_DONE:
			done = true
		case unix.NLMSG_ERROR:
			if len(body) < 4 {
				return errShort
			}
			return fmt.Errorf("netlink: %w", unix.Errno(-int32(binary.NativeEndian.Uint32(body))))
		default:
			a.each(h.kind, body)
		}
		return nil
	})
	if err == nil && done && a.interrupted {
		err = errInterrupted
	}
	return done, err
}

// retried calls f until a signal does not interrupt it.
func retried(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

var errShort = errors.New("netlink: a message is cut")

// A header is a struct nlmsghdr.
type header struct {
	kind, flags uint16
	sequence    uint32
}

// messages calls each with the messages in b, until it returns an error.
func messages(b []byte, each func(h header, body []byte) error) error {
	for len(b) > 0 {
		if len(b) < unix.SizeofNlMsghdr {
			return errShort
		}
		n := binary.NativeEndian.Uint32(b)
		if n < unix.SizeofNlMsghdr || uint64(n) > uint64(len(b)) {
			return errShort
		}
		h := header{binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:]), binary.NativeEndian.Uint32(b[8:])}
		if err := each(h, b[unix.SizeofNlMsghdr:n]); err != nil {
			return err
		}
		b = b[min(aligned(int(n)), len(b)):]
	}
	return nil
}

// aligned returns n, rounded up to what netlink aligns to.
func aligned(n int) int { return (n + 3) &^ 3 }

// attributes calls each with the attributes in b (struct rtattr), up to the first that is malformed.
func attributes(b []byte, each func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return
		}
		each(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofRtAttr:n])
		b = b[min(aligned(n), len(b)):]
	}
}

// number returns a number of 32 bits; 0 if v is none.
func number(v []byte) uint32 {
	if len(v) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(v)
}

// addressOf returns the address in v; not valid if it is none.
func addressOf(v []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(v)
	return a
}
