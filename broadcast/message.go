package broadcast

import (
	"strconv"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
)

// A Message is what was published. It never changes.
type Message struct {
	Topic  string
	Offset uint64 // 0 for a message to one connection, which no history keeps
	Data   []byte

	// From is not 0 when Data is a JSON merge patch (RFC 7396) against the message with this
	// offset, for subscribers with SubscribeOptions.Delta.
	From uint64

	// Deleted says that this is no message: the topic was deleted. A Filter sees it too; what is
	// sent is what Options.EncodeDeleted makes of it.
	Deleted bool
}

// message is a Message on its way, with its encodings, each of which is made once, by the first
// loop that needs it.
type message struct {
	Message
	hub    *Hub
	topic  *topic       // nil when the topic is not kept track of
	at     uint64       // the place in the order: Offset, or the offset that was the last one
	except uint64       // the connection that does not get it; 0 for none
	only   uint64       // the one connection that gets it; 0 for all
	when   int64        // it was published; on Hub.clock
	places atomic.Int32 // where it is kept: history, queues of subscriptions, and what has to have it for a patch
	zipped atomic.Bool  // the compressed frame has been charged
	forms  atomic.Int64 // what the encoded forms are charged; -1 when the message is not kept any more

	deltas atomic.Pointer[deltas]
	given  *givenPatch // nil without one

	frameOnce, eventOnce sync.Once
	frame                *websocket.Prepared
	event                *http.PreparedEvent
}

// hold says that m is kept in one more place. It is charged to the budget once, however many there
// are.
func (m *message) hold() {
	if m.places.Add(1) == 1 {
		m.charge(m.cost())
	}
}

// release ends hold.
func (m *message) release() {
	if m.places.Add(-1) == 0 {
		m.charge(-m.cost())
	}
}

// cost is what m takes while it is kept, without its encodings.
func (m *message) cost() int {
	n := len(m.Data) + messageCost
	if m.given != nil {
		n += len(m.given.data)
	}
	return n
}

func (m *message) charge(n int) {
	if m.hub.budget != nil {
		m.hub.budget.Charge(n)
	}
}

// webSocket returns the frame of m. If Encode panics, it is one that every connection refuses.
func (m *message) webSocket(l *loop) *websocket.Prepared {
	m.frameOnce.Do(func() {
		op, b := websocket.Op(0), []byte(nil)
		encode := m.hub.opts.Encode
		if m.Deleted {
			encode = m.hub.opts.EncodeDeleted
		}
		if encode != nil {
			l.m.Try(func() { op, b = encode(nil, &m.Message) })
		} else {
			op, b = opOf(m.Data), m.Data
		}
		m.frame = websocket.Prepare(op, b)
		m.hub.charge(m, m.frame.Len())
	})
	return m.frame
}

// opOf is how data is sent by default.
func opOf(data []byte) websocket.Op {
	if utf8.Valid(data) {
		return websocket.Text
	}
	return websocket.Binary
}

// serverSent returns the server-sent event of m, nil if it cannot be sent, as when EncodeEvent
// panics.
func (m *message) serverSent(l *loop) *http.PreparedEvent {
	m.eventOnce.Do(func() { l.m.Try(m.encodeEvent) })
	return m.event
}

func (m *message) encodeEvent() {
	id := ""
	if m.Offset != 0 {
		id = strconv.FormatUint(m.Offset, 10)
	}
	event, data := "", []byte(nil)
	switch encode := m.hub.opts.EncodeEvent; {
	case m.Deleted:
		event = "deleted"
		_, data = m.hub.opts.EncodeDeleted(nil, &m.Message)
	case encode != nil:
		event, data = encode(nil, &m.Message)
	default:
		data = appendJSON(nil, &m.Message)
	}
	var err error
	if m.event, err = http.PrepareEvent(id, event, string(data)); err == nil {
		m.hub.charge(m, m.event.Len())
	}
}

// Missed tells a subscriber that messages passed it by.
type Missed struct {
	// N is how many. Where history is gone, and with it the knowledge which messages it was, N is
	// how many at most.
	N uint64
	// Reset says that the offset to go on from is none of this run of the program.
	Reset bool
}

func (m *Missed) add(x Missed) {
	m.N += x.N
	m.Reset = m.Reset || x.Reset
}

// defaultMissed is {"missed":12}, or {"missed":12,"reset":true}.
func defaultMissed(b []byte, m Missed) (websocket.Op, []byte) {
	b = strconv.AppendUint(append(b, `{"missed":`...), m.N, 10)
	if m.Reset {
		b = append(b, `,"reset":true`...)
	}
	return websocket.Text, append(b, '}')
}
