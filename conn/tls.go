package conn

// A ServerTLS puts TLS beneath accepted connections: *tlsconn.Server does. It is for the loop;
// programs give it to Listen.
type ServerTLS interface {
	// ServeTLS puts a Layered transport on c, which has not begun.
	//
	// preface is nil, or reads what comes before the first record, such as a PROXY header. It is
	// given all that has come, and returns how long the preface is: 0 when more bytes are needed,
	// negative when there is none. An error ends the connection.
	ServeTLS(c *Conn, preface func(b []byte) (n int, err error))

	// RefusalTLS returns what a peer is sent that is turned away before its handshake, and that
	// never changes: an alert.
	RefusalTLS() []byte
}

// A ClientTLS puts TLS beneath outbound connections: *tlsconn.Client does. It is for the loop;
// programs give it to Connect.
type ClientTLS interface {
	// DialTLS puts a Layered transport on c, which has not begun. host is the name or the address
	// that the server's certificate must be for.
	DialTLS(c *Conn, host string)
}
