package broadcast

import (
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
)

// A Message is what was published. It never changes.
type Message struct {
	Topic  string
	Offset uint64 // 0 for a message to one connection, which is in nobody's history
	Data   []byte
}

// message is a Message on its way, with its encodings, each of which is made once, by the first loop that needs it.
type message struct {
	Message
	hub    *Hub
	topic  *topic // nil when the topic is not kept track of
	at     uint64 // the place in the order: Offset, or the offset that was the last one
	except uint64 // the connection that does not get it; 0 for none
	only   uint64 // the one connection that gets it; 0 for all
	when   int64  // it was published; on Hub.clock

	frameOnce, eventOnce sync.Once
	frame                *websocket.Prepared
	event                *http.PreparedEvent
}

// webSocket returns the frame of m.
func (m *message) webSocket() *websocket.Prepared {
	m.frameOnce.Do(func() {
		m.frame = unencoded // should Encode panic
		if encode := m.hub.opts.Encode; encode != nil {
			op, b := encode(nil, &m.Message)
			m.frame = websocket.Prepare(op, b)
			return
		}
		m.frame = websocket.Prepare(opOf(m.Data), m.Data)
	})
	return m.frame
}

// unencoded is refused by every connection.
var unencoded = websocket.Prepare(0, nil)

// opOf is how data is sent when nobody says otherwise.
func opOf(data []byte) websocket.Op {
	if utf8.Valid(data) {
		return websocket.Text
	}
	return websocket.Binary
}

// events returns the server-sent event of m: the offset is its id, the topic its type.
func (m *message) events() *http.PreparedEvent {
	m.eventOnce.Do(func() {
		id := ""
		if m.Offset != 0 {
			id = strconv.FormatUint(m.Offset, 10)
		}
		m.event, _ = http.PrepareEvent(id, m.Topic, string(m.Data)) // a valid topic has no line end
	})
	return m.event
}

// Missed tells a subscriber that messages passed it by.
type Missed struct {
	// N is how many. Where history is gone, and with it the knowledge which messages it was, N is how many at most.
	N uint64
	// Reset says that the offset to go on from is none of this run of the program.
	Reset bool
}

// defaultMissed is {"missed":12}, or {"missed":12,"reset":true}.
func defaultMissed(b []byte, m Missed) (websocket.Op, []byte) {
	b = strconv.AppendUint(append(b, `{"missed":`...), m.N, 10)
	if m.Reset {
		b = append(b, `,"reset":true`...)
	}
	return websocket.Text, append(b, '}')
}
