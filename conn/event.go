package conn

import (
	"net/netip"
	"time"
)

// An Event is what a Handler is called with: one of the types below, or an event of a protocol
// layer (*http.Message, *websocket.Message, …). Each event is a pointer to a struct that the loop
// reuses: it, and every []byte in it, is valid until the handler returns. The method has a pointer
// receiver in every type, so that a type switch on the struct itself, which would never match, does
// not compile.
type Event interface {
	EventName() string // "conn.Read": for logs and traces
}

// A Handler is called on the loop's goroutine with each event of a connection, and type-switches on
// ev.
type Handler func(c *Conn, ev Event)

type (
	// Open is the first event of every connection and listener.
	Open struct{}

	// Accept says that a peer's connection was accepted. It follows Open.
	Accept struct{}

	// Resolve says that the name which an outbound connection is for has been resolved. The
	// addresses are tried next; a handler that likes none of them calls Close. It comes once more
	// if the addresses of the other family (IPv4, IPv6) arrive later.
	Resolve struct {
		Name  string
		Addrs []netip.Addr // in the order in which they are tried; valid until the handler returns
	}

	// Connect says that an outbound connection stands. It follows Open.
	Connect struct{}

	// Poll comes once each turn of the loop to the connections that asked for it with SetPoll.
	Poll struct{}

	// Drained says that the send queue, which had grown past its high-water mark, is empty again.
	Drained struct{}

	// EOF says that the peer has finished sending. All that it sent before has been delivered. When
	// the handlers have seen EOF the connection drains, unless SetHalfOpen(true) was called.
	EOF struct{}

	// Deadline says that the time set with SetDeadline has come.
	Deadline struct{}

	// Resumed says that reading goes on after it had stopped: because of Pause, of Layer.Hold, or
	// because too much was queued to send. Input that is unread in Recv comes with a Read event
	// after it.
	Resumed struct {
		For time.Duration // how long nothing was read
	}

	// Shutdown asks the connection to finish what it is doing and to close: Manager.Shutdown was
	// called. A connection without a protocol layer drains after it.
	//
	// With Restart, another process has taken the listeners over, and this one ends soon: see
	// Manager.Retire. Nothing drains by itself then: an HTTP connection serves one more request, a
	// WebSocket is closed with 1012.
	Shutdown struct {
		Restart bool
	}

	// Read says that bytes have arrived in c.Recv.
	Read struct {
		N    int  // bytes new since the last Read; 0 when unread bytes are delivered again after Resume
		Full bool // there was no room for more of them: see Layer.InputWaits
	}

	// Ready says that a descriptor given to Manager.Watch is ready: a read (In) or a write (Out)
	// would not wait. A hang-up or an error makes it ready for both. It comes again in each turn of
	// the loop until the cause is gone: the handler reads, or calls Pause or Close.
	Ready struct {
		In, Out bool
		Pri     bool // only if it was asked for
	}

	// Datagram is one datagram, which may be empty. Data and Path are valid until the handler
	// returns. Reply answers it.
	Datagram struct {
		Data      []byte
		From      Peer
		Path      []byte     // of the unix socket that sent it, or @name; nil if it has none
		To        netip.Addr // the address that it was sent to, ours or that of a group, if the socket tells it
		Interface int        // the index of the interface that it came by; 0 if the socket does not tell
		Truncated bool       // it was longer than Data (MSG_TRUNC)
		Missed    int        // datagrams before it that the kernel dropped, because the socket's buffer was full (Linux)

		c        *Conn
		local    Peer   // what Reply has as the source
		overflow uint32 // what the kernel has dropped since the socket was made, 0 if it does not tell
	}

	// Undelivered says that a datagram has not been sent, or has not arrived. The socket lives on.
	Undelivered struct {
		To Peer // where it went; the zero Peer if that is not known
		// Err is a bare errno, or says that the kernel took nothing for the write timeout. Of the
		// network (ICMP): ECONNREFUSED if no program has the port, EHOSTUNREACH, ENETUNREACH and
		// the like. EMSGSIZE: it was too long. ENOBUFS: a queue has overflowed, and datagrams are
		// lost; of a netlink socket, those that were to be received.
		Err     error
		Dropped int    // datagrams that were not sent; 0 if it was sent, and the network tells that it did not arrive
		MTU     int    // with EMSGSIZE, the largest packet that passes, if that is known
		Data    []byte // the beginning of the datagram, if the network tells it (Linux); valid until the handler returns
	}

	// Ancillary says that descriptors or credentials have come beside the bytes of the next Read,
	// over a unix socket: see Conn.SetAncillary. The descriptors are close-on-exec, and in the
	// state in which their sender had them: perhaps blocking. Descriptors that no handler takes
	// with Take are closed when the handlers return.
	Ancillary struct {
		Files       []int
		Credentials *Credentials // of the process that sent the bytes; nil if the kernel does not tell
		Control     []byte       // all control messages, as recvmsg(2) gives them; valid until the handler returns
		Truncated   bool         // there was more, which the kernel has thrown away (MSG_CTRUNC): too many descriptors are open, say
	}

	// Urgent says that urgent data has come: see Conn.SetUrgent. Other bytes that were sent before
	// it may still have to be read.
	Urgent struct {
		Byte   byte
		Inline bool // the byte stays in the stream (SO_OOBINLINE): Byte is 0
	}

	// Write says that bytes have been given to the kernel.
	Write struct {
		N int
	}

	// Error says why the connection is about to be closed; Close always follows. Only a listener
	// that cannot accept, because the process or the system is out of descriptors (EMFILE, ENFILE)
	// or because of a limit of connections, gets an Error and lives on.
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

// EventName implements Event.
func (*Open) EventName() string { return "conn.Open" }

// EventName implements Event.
func (*Accept) EventName() string { return "conn.Accept" }

// EventName implements Event.
func (*Resolve) EventName() string { return "conn.Resolve" }

// EventName implements Event.
func (*Connect) EventName() string { return "conn.Connect" }

// EventName implements Event.
func (*Poll) EventName() string { return "conn.Poll" }

// EventName implements Event.
func (*Drained) EventName() string { return "conn.Drained" }

// EventName implements Event.
func (*EOF) EventName() string { return "conn.EOF" }

// EventName implements Event.
func (*Deadline) EventName() string { return "conn.Deadline" }

// EventName implements Event.
func (*Shutdown) EventName() string { return "conn.Shutdown" }

// EventName implements Event.
func (*Resumed) EventName() string { return "conn.Resumed" }

// EventName implements Event.
func (*Read) EventName() string { return "conn.Read" }

// EventName implements Event.
func (*Ready) EventName() string { return "conn.Ready" }

// EventName implements Event.
func (*Datagram) EventName() string { return "conn.Datagram" }

// EventName implements Event.
func (*Undelivered) EventName() string { return "conn.Undelivered" }

// EventName implements Event.
func (*Ancillary) EventName() string { return "conn.Ancillary" }

// EventName implements Event.
func (*Urgent) EventName() string { return "conn.Urgent" }

// EventName implements Event.
func (*Write) EventName() string { return "conn.Write" }

// EventName implements Event.
func (*Error) EventName() string { return "conn.Error" }

// EventName implements Event.
func (*Close) EventName() string { return "conn.Close" }

// EventName implements Event.
func (*Wakeup) EventName() string { return "conn.Wakeup" }

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
	MemoryLimit                // the loop's connections held too much, and this one held much of it
	Protocol                   // the peer broke the rules of the protocol layer
	DeadlineOver               // a protocol deadline passed: a request or a handshake took too long
	Panicked                   // a handler panicked
	Refused                    // over the limit of connections
	ShuttingDown               // Manager.Shutdown or Manager.Close
	TLSFailed                  // TLS: the handshake failed, or a record was wrong
	IOError                    // any other error of the kernel
	Moved                      // the connection lives on in another process
	Unresolved                 // the name of the peer could not be resolved
	NumReasons                 // how many reasons there are
)

var reasonText = [NumReasons]string{
	Local: "closed locally", PeerClosed: "closed by the peer", Reset: "reset by the peer", BrokenPipe: "broken pipe",
	TimedOut: "timed out", Unreachable: "unreachable", Idle: "idle for too long", Stalled: "write stalled",
	SendLimit: "send limit", RecvLimit: "receive limit", MemoryLimit: "memory limit", Protocol: "protocol error",
	DeadlineOver: "deadline passed", Panicked: "handler panicked", Refused: "too many connections", ShuttingDown: "shutting down",
	TLSFailed: "TLS failed", IOError: "i/o error", Moved: "moved to another process", Unresolved: "name not resolved",
}

func (r Reason) String() string {
	if r < NumReasons {
		return reasonText[r]
	}
	return "unknown reason"
}
