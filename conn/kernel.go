package conn

// A Kernel is a connection as the kernel has it: the options of its socket that can be changed
// while it is open, groups of multicast, and what the kernel knows of the peer. Most programs set
// options once, with SocketOptions. Its methods are for the goroutine of the loop, and return
// ErrClosed after the end of the connection.
type Kernel Conn

// Kernel returns c as the kernel has it.
func (c *Conn) Kernel() *Kernel { return (*Kernel)(c) }
