package conn

// A Transport moves bytes between a connection and its descriptor. Its methods never block: they
// return EAGAIN instead, and may return EINTR. Read returns 0 and no error at the end of the
// stream.
type Transport interface {
	Read(fd int, p []byte) (int, error)
	Write(fd int, p []byte) (int, error)
	// Writev sends the pieces in order, as one; it may take only part of them.
	Writev(fd int, pieces [][]byte) (int, error)
	// CloseWrite ends the stream towards the peer: shutdown(SHUT_WR).
	CloseWrite(fd int) error
	Close(fd int) error
}

// A Layered is a Transport that has a protocol of its own between the connection and the
// descriptor: TLS. It holds input that the poller does not know of, and output that the kernel has
// not taken yet. One Layered serves one connection; Layer.SetTransport puts it there. Its methods
// run on the loop's goroutine and never block.
//
// It adds to the contract of Transport:
//
//   - Read returns plaintext. It returns EAGAIN only after it has used up all input that it holds, so Buffered is false
//     after that; it never returns bytes and an error together. A Read may make the transport send (TLS: KeyUpdate).
//   - Write and Writev are called when Unsent is 0. They count the bytes that the transport has taken, and may leave some
//     of their ciphertext in Unsent. They take less than was asked, or return EAGAIN, only when the kernel takes no more.
//   - CloseWrite may return EAGAIN (close_notify waits). It is called again when there is room. After it has returned
//     nil, Unsent is 0 for good.
//   - CloseWrite and Close do not tell the peer that the stream is whole if Layer.WasCut (TLS: no close_notify).
//   - Close sends what it can without waiting, ends a handshake that is going on, releases everything, and closes the
//     descriptor. With the descriptor -1 it only releases: other code has closed the descriptor.
//   - An error that is a syscall.Errno is the kernel's. Any other is the protocol's: the connection fails with TLSFailed
//     after what is Unsent, such as an alert, has been sent.
type Layered interface {
	Transport

	// Below returns the Transport that moves the bytes of this one.
	Below() Transport

	// Handshake does what it can for the connection to become usable. It returns nil when that is
	// done, and an event to be fired then, or nil for none; EAGAIN to be called again when there is
	// input; and ErrComputing to be called again after Layer.Computed. Until it has returned nil,
	// Read and Write are not called. It may leave output in Unsent.
	Handshake(fd int) (Event, error)

	// Buffered reports whether Read might give something although the descriptor has nothing to
	// read.
	Buffered() bool

	// Unsent returns how many bytes wait in the transport for the kernel to take them.
	Unsent() int

	// Holds returns how many bytes of memory the transport takes for the connection, idle or not: what
	// is Unsent, input that it holds, its state. It may be an estimate. It changes in calls of the
	// methods above, Flush and CloseWrite only.
	Holds() int

	// Flush gives the kernel what is Unsent, or a part of it. EAGAIN says that the kernel takes no
	// more.
	Flush(fd int) error
}
