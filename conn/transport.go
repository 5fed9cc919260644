package conn

// A Transport moves bytes between a connection and its descriptor. Its methods never block: they return EAGAIN instead,
// and may return EINTR. Read returns 0 and no error at the end of the stream.
type Transport interface {
	Read(fd int, p []byte) (int, error)
	Write(fd int, p []byte) (int, error)
	// Writev sends the pieces in order, as one; it may take only part of them.
	Writev(fd int, pieces [][]byte) (int, error)
	// CloseWrite ends the stream towards the peer: shutdown(SHUT_WR).
	CloseWrite(fd int) error
	Close(fd int) error
}
