package conntest

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// A Wire is the double of a socket: a conn.Transport whose peer is the test. The zero value takes
// nothing that is written; NewWire makes one that takes everything.
type Wire struct {
	Sent    []byte // what the peer got
	Room    int    // bytes that the kernel takes before it answers EAGAIN; negative is any number
	Writes  int    // system calls that wrote
	Shut    bool   // CloseWrite was called
	Closed  int    // how often Close was called
	Taken   int    // bytes that the peer got
	Outcome error  // of the attempt to connect: see Dialogue.Attach
	Forget  bool   // Sent stays as it is: for many connections, or much data

	arrived []arrival
	fail    error
}

// arrival is what one read finds: bytes, the end of the stream (neither), or an error.
type arrival struct {
	data []byte
	err  error
}

// NewWire returns a Wire whose kernel takes any number of bytes.
func NewWire() *Wire { return &Wire{Room: -1} }

// Arrive queues what a read finds: data, the end of the stream if both are nil, or an error. A read
// never joins two pieces. Data that is empty and not nil is nothing: no read finds it.
func (w *Wire) Arrive(data []byte, err error) {
	if data != nil && len(data) == 0 && err == nil {
		return
	}
	w.arrived = append(w.arrived, arrival{data, err})
}

// Unread returns how many bytes have arrived and have not been read.
func (w *Wire) Unread() int {
	n := 0
	for _, a := range w.arrived {
		n += len(a.data)
	}
	return n
}

// FailWrite has the next write fail with err.
func (w *Wire) FailWrite(err error) { w.fail = err }

func (w *Wire) readable() bool { return len(w.arrived) > 0 }

// Read implements conn.Transport.
func (w *Wire) Read(_ int, p []byte) (int, error) {
	if len(w.arrived) == 0 {
		return -1, unix.EAGAIN
	}
	a := &w.arrived[0]
	if len(a.data) == 0 {
		err := a.err
		if err == nil {
			return 0, nil // the end of the stream stays
		}
		w.arrived = slices.Delete(w.arrived, 0, 1)
		return -1, err
	}
	n := copy(p, a.data)
	if a.data = a.data[n:]; len(a.data) == 0 {
		w.arrived = slices.Delete(w.arrived, 0, 1)
	}
	return n, nil
}

// InputWaits is that of conn.Socket.
func (w *Wire) InputWaits(int) bool { return len(w.arrived) > 0 }

// Write implements conn.Transport.
func (w *Wire) Write(_ int, p []byte) (int, error) { return w.Writev(0, [][]byte{p}) }

// Writev implements conn.Transport.
func (w *Wire) Writev(_ int, pieces [][]byte) (int, error) {
	w.Writes++
	if err := w.fail; err != nil {
		w.fail = nil
		return -1, err
	}
	n, asked := 0, 0
	for _, p := range pieces {
		k := len(p)
		asked += k
		if w.Room >= 0 {
			k = min(k, w.Room)
		}
		w.take(p[:k])
		n += k
	}
	if n == 0 && asked > 0 {
		return -1, unix.EAGAIN
	}
	return n, nil
}

// take has the peer get p, for which there is room.
func (w *Wire) take(p []byte) {
	if w.Room >= 0 {
		w.Room -= len(p)
	}
	if !w.Forget {
		w.Sent = append(w.Sent, p...)
	}
	w.Taken += len(p)
}

// CloseWrite implements conn.Transport.
func (w *Wire) CloseWrite(int) error { w.Shut = true; return nil }

// Close implements conn.Transport.
func (w *Wire) Close(int) error { w.Closed++; return nil }

// ConnectOutcome tells a connection how its attempt to connect has ended.
func (w *Wire) ConnectOutcome(int, conn.Peer) error { return w.Outcome }
