package conn

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The options that say which way packets take, and how they are marked.

// streamSocket makes the socket of a listener or of a connection.
func (o *SocketOptions) streamSocket(family int, network string) (int, error) {
	switch {
	case network == "sctp":
		fd, err := socketOf(family, unix.SOCK_STREAM, protoSCTP)
		if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ESOCKTNOSUPPORT) || errors.Is(err, unix.EPROTOTYPE) {
			return -1, fmt.Errorf("the kernel has no SCTP: %w", err)
		}
		return fd, err
	case o.MultiPath && network == "tcp" && protoMPTCP != unknown:
		// EPROTONOSUPPORT and EINVAL: the kernel is older than 5.6, or built without it.
		// ENOPROTOOPT: sysctl net.mptcp.enabled is 0. EACCES and EPERM: a security module forbids
		// it.
		fd, err := socketOf(family, unix.SOCK_STREAM, protoMPTCP)
		if err == nil || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOBUFS) ||
			errors.Is(err, unix.ENOMEM) {
			return fd, err
		}
	}
	return socketOf(family, unix.SOCK_STREAM, 0)
}

// setPath sets the options of SocketOptions that are for IP sockets of each kind.
func (o *SocketOptions) setPath(fd int) error {
	if o.Device != "" {
		if err := bindToDevice(fd, o.Device); err != nil {
			return fmt.Errorf("set SO_BINDTODEVICE %q: %w", o.Device, os.NewSyscallError("setsockopt", err))
		}
	}
	if o.Mark != 0 {
		if soMark.opt == unknown {
			return soMark.set(fd, 0) // says that it is not known
		}
		// All 32 bits of a mark count, and the kernel takes them as they are.
		if err := unix.SetsockoptInt(fd, soMark.level, soMark.opt, int(int32(o.Mark))); err != nil {
			return fmt.Errorf("set SO_MARK: %w", os.NewSyscallError("setsockopt", err))
		}
	}
	if o.TOS != 0 {
		return setTOS(fd, o.TOS)
	}
	return nil
}

// setTOS sets IP_TOS or IPV6_TCLASS. An IPv6 socket that takes IPv4 too has both, where the system
// lets it.
func setTOS(fd, tos int) error {
	err4 := ipTOS.set(fd, tos)
	err6 := ipv6TClass.set(fd, tos)
	if err4 != nil && err6 != nil {
		return err4
	}
	return nil
}

// SetTOS sets IP_TOS or IPV6_TCLASS, the byte that says how routers treat the packets: the upper
// six bits are the DSCP (RFC 2474).
func (k *Kernel) SetTOS(tos int) error {
	c := (*Conn)(k)
	return c.setOption("SetTOS", func(fd int) error { return setTOS(fd, tos) })
}

// IncomingCPU returns the number of the processor that handled the connection's last packet
// (SO_INCOMING_CPU; Linux).
func (k *Kernel) IncomingCPU() (cpu int, err error) {
	c := (*Conn)(k)
	err = c.setOption("IncomingCPU", func(fd int) error {
		if soIncomingCPU.opt == unknown {
			return soIncomingCPU.set(fd, 0)
		}
		cpu, err = unix.GetsockoptInt(fd, soIncomingCPU.level, soIncomingCPU.opt)
		return os.NewSyscallError("getsockopt", err)
	})
	return cpu, err
}
