// Package conn has Conn: one connection, or one listener, on a poll loop. It holds the buffers, the
// phases, the limits and the timeouts, and makes the read, write and accept system calls. It knows
// no poller and no protocol.
//
// # Three doors
//
// One object has three kinds of callers, and shows each of them its own methods:
//
//   - Conn is for programs: Write, Recv, Pause, Drain, Close, options. Package mgr makes Conns:
//     Manager.Listen, Manager.Connect, Manager.Wrap. Conn.Kernel has the options of the socket, which
//     are rarely needed.
//   - Layer, from Conn.Layer, is for protocol layers, such as packages http and websocket, that sit between the
//     connection and the user's handler. Conn.SetProtocol puts one on.
//   - Driver, from Conn.Driver, is for the loop that carries the connection. Its comment is the contract of a loop.
//
// # Events
//
// A Handler is called with each event. An event is a pointer to a struct that the loop reuses: it
// and every []byte in it are valid until the handler returns. No call of a handler makes another
// handler run.
//
//	event      payload      who gets it, and when
//	Open       -            everybody, first
//	Accept     -            an inbound connection, after Open
//	Connect    -            an outbound connection, when it stands
//	Read       N            bytes have arrived in Conn.Recv
//	EOF        -            the peer has finished sending
//	Write      N            bytes have left for the kernel
//	Drained    -            the send queue fell from above HighWater to empty
//	Resumed    For          reading goes on after it had stopped
//	Wakeup     Data         Manager.Wakeup sent bytes to this connection
//	Poll       -            each turn of the loop, after SetPoll(true)
//	Deadline   -            the time of Layer.SetDeadline has come
//	Ready      In, Out      a descriptor of Manager.Watch is ready
//	Datagram   Data, From…  one datagram has come, on a socket of udp:// or unixgram://
//	Undelivered  Err, To…   a datagram was not sent, or has not arrived; the socket lives on
//	Ancillary  Files…       descriptors or credentials came with the bytes of the next Read, after SetAncillary(true)
//	Urgent     Byte         an urgent byte has come, after SetUrgent(true)
//	Shutdown   -            the manager shuts down
//	Error      Reason, Err  the connection failed; Close follows at once
//	Close      Reason       everybody, last, exactly once, whatever panics
//
// The order is:
//
//	Open (Accept | Connect)? (Read | EOF | Write | Drained | Resumed | Wakeup | Poll | Deadline | Ready |
//	  Datagram | Undelivered | Ancillary | Urgent | Shutdown)* Error? Close
//
// A listener that cannot accept gets an Error and lives on; that is the one Error without a Close.
// A watcher (Conn.SetWatcher) sees an event first, the protocol layer second, the user's handler
// last.
//
// # Limits
//
// Limits bounds what one connection holds and how long it takes: unread input (Recv), queued output
// (Send), the mark at which reading stops (HighWater), what broadcasts leave waiting (Backlog), and
// times (Idle, Stall). Crossing a limit ends the connection with an Error that says which, or
// refuses the Write that crosses it (RefuseOnFull, Backlog). An idle connection holds no buffer. A
// datagram socket never ends because of them: what is over a limit is dropped, counted and told.
//
// # Goroutines
//
// A Conn belongs to the goroutine of its loop: call its methods in handlers, timers and functions
// given to Manager.Do. Only ID is safe for concurrent use.
package conn
