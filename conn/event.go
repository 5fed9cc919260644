package conn

// An Event is what a Handler is called with: one of the types below, or an event of a protocol layer
// (http.Message, websocket.Message, …). An event that carries data is a pointer to a struct that the loop reuses:
// it, and every []byte in it, is valid until the handler returns.
type Event any

// A Handler is called on the loop's goroutine with each event of a connection, and type-switches on ev.
type Handler func(c *Conn, ev Event)

type (
	// Open is the first event of every connection and listener.
	Open struct{}

	// Accept says that a peer's connection was accepted. It follows Open.
	Accept struct{}

	// Connect says that an outbound connection stands. It follows Open.
	Connect struct{}

	// Poll comes once each turn of the loop to the connections that asked for it with SetPoll.
	Poll struct{}

	// Drained says that the send queue, which had grown past its high-water mark, is empty again.
	Drained struct{}

	// EOF says that the peer has finished sending. What it sent before has been delivered. When the handlers have seen
	// EOF the connection drains, unless SetHalfOpen(true) was called.
	EOF struct{}

	// Deadline says that the time set with SetDeadline has come.
	Deadline struct{}

	// Shutdown asks the connection to finish what it is doing and to close: Manager.Shutdown was called.
	// A connection without a protocol layer drains after it.
	Shutdown struct{}

	// Read says that bytes have arrived in c.Recv.
	Read struct {
		N int // bytes new since the last Read; 0 when unread bytes are delivered again after Resume
	}

	// Write says that bytes have been given to the kernel.
	Write struct {
		N int
	}

	// Error says why the connection is about to be closed; Close always follows. Only a listener that cannot accept, because
	// the process or the system is out of descriptors (EMFILE, ENFILE) or MaxConns connections are open, gets an Error and
	// lives on.
	Error struct {
		Reason Reason
		Err    error
	}

	// Close is the last event of a connection, and comes exactly once.
	Close struct {
		Reason Reason
	}

	// Wakeup carries the bytes that another goroutine sent with Manager.Wakeup.
	Wakeup struct {
		Data []byte
	}
)

// A Reason tells why a connection ended. Stats.Closed counts the closed connections by reason.
type Reason uint8

const (
	Local        Reason = iota // closed by this program: Close, Drain, or a protocol that was done
	PeerClosed                 // the peer finished sending, and all was answered
	Reset                      // ECONNRESET: the peer aborted
	BrokenPipe                 // EPIPE: the peer no longer takes what we send
	TimedOut                   // ETIMEDOUT: the kernel gave up on the peer (keep-alive, retransmissions)
	Unreachable                // EHOSTUNREACH, ENETUNREACH: no way to the peer
	Idle                       // no byte in either direction for the idle timeout
	Stalled                    // the peer took nothing of what is queued for the write timeout
	SendLimit                  // the send queue would have grown past its limit
	RecvLimit                  // unread input grew past its limit
	Protocol                   // the peer broke the rules of the protocol layer
	DeadlineOver               // a protocol deadline passed: a request or a handshake took too long
	Panicked                   // a handler panicked
	Refused                    // over the limit of connections
	ShuttingDown               // Manager.Shutdown or Manager.Close
	IOError                    // any other error of the kernel
	NumReasons                 // how many reasons there are
)

var reasonText = [NumReasons]string{
	Local: "closed locally", PeerClosed: "closed by the peer", Reset: "reset by the peer", BrokenPipe: "broken pipe",
	TimedOut: "timed out", Unreachable: "unreachable", Idle: "idle for too long", Stalled: "write stalled",
	SendLimit: "send limit", RecvLimit: "receive limit", Protocol: "protocol error", DeadlineOver: "deadline passed",
	Panicked: "handler panicked", Refused: "too many connections", ShuttingDown: "shutting down", IOError: "i/o error",
}

func (r Reason) String() string {
	if r < NumReasons {
		return reasonText[r]
	}
	return "unknown reason"
}
