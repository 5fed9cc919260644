package websocket

// A Compressor compresses messages with permessage-deflate (RFC 7692); package websocket/deflate
// has one. It is safe for concurrent use, so all loops of a program may share one.
type Compressor interface {
	// AppendOffer appends the parameters that a client offers, in the form "; name=value; name".
	AppendOffer(b []byte) []byte

	// Accept judges the parameters of a client's offer. It appends those of the server's reply, in
	// the form of AppendOffer. The Agreement is nil if the offer is declined.
	Accept(b []byte, offer Parameters) ([]byte, *Agreement)

	// Confirm judges the parameters of a server's response to the offer. An error fails the
	// handshake.
	Confirm(response Parameters) (*Agreement, error)
}

// An Agreement is what both sides have agreed on for a connection. Connections whose Codec
// remembers nothing may share one.
type Agreement struct {
	Codec Codec

	// Threshold is the size in bytes from which on a message is compressed.
	Threshold int

	// Alike is the size in bytes up to which SendPrepared may send a message that another
	// connection has compressed. It is negative if messages refer to those before.
	Alike int

	// Again is an offer that leads to the same agreement when the connection has moved to another
	// process. It is empty if the Codec remembers earlier messages.
	Again string
}

// A Codec compresses and inflates the messages of a connection. It belongs to the goroutine of the
// loop; if connections of several loops share it, it is safe for concurrent use.
type Codec interface {
	// Append compresses p and appends the result to dst. p is a whole message if both first and
	// last are set, otherwise a fragment. Append returns false if a whole message is better sent as
	// it is.
	Append(dst, p []byte, first, last bool) ([]byte, bool)

	// Sent says that the result of Append for p is queued: later messages may refer to p.
	Sent(p []byte)

	// Begin begins a received message. It appends to dst the bytes that the message may refer to.
	Begin(dst []byte) ([]byte, Decoder)

	// Drop ends the Codec, when the connection ends.
	Drop()
}

// A Decoder inflates one message, which comes in pieces.
type Decoder interface {
	// Inflate inflates src and appends the result to dst, as far as dst has capacity. The last 32
	// KiB of dst must be the last bytes that Begin and Inflate have put there. With last, src ends
	// the message. n is how many bytes of src were taken. If more is set, dst has no room left: the
	// caller makes room and calls again with the rest of src, which may be empty. An error means
	// that the message is corrupt.
	Inflate(dst, src []byte, last bool) (out []byte, n int, more bool, err error)

	// Drop ends the Decoder, whether the message has come whole or not.
	Drop()
}

// wants reports whether a message of n bytes is to be compressed; a is nil without compression.
func (a *Agreement) wants(n int) bool { return a != nil && n >= a.Threshold }
