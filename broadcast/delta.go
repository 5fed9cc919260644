package broadcast

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"unicode/utf8"
)

// ErrDelta is returned by Subscribe for SubscribeOptions.Delta where the hub keeps nothing
// (History, Retain), or where a WebSocket could not tell a patch from a document: Options.Encode is
// nil.
var ErrDelta = errors.New("broadcast: Delta needs History or Retain, and for a WebSocket Options.Encode")

const (
	maxDelta       = 256 << 10 // bytes of a document of which patches are made
	maxDeltas      = 8         // patches that one message has, against different ones before it
	maxDeltaTopics = 1024      // of which a subscriber gets patches
	maxDeltaDepth  = 16        // of objects in each other: all that is in them is read once for each
)

// deltas are the patches that bring subscribers to one message: each is made once, by the first
// loop that needs it.
type deltas struct {
	mu   sync.Mutex
	list []delta
}

// delta is the patch against one message; nil when there is none that is worth it.
type delta struct {
	from  uint64 // place
	patch *message
}

// givenPatch is the patch that came with a message: see PublishPatch.
type givenPatch struct {
	from uint64 // place
	data []byte
}

// against returns what brings a subscriber that has the message has to m: a patch, or m itself.
func (m *message) against(has *message) *message {
	if has == nil || has == m || m.Deleted || len(m.Data) > maxDelta {
		return m
	}
	d := m.deltas.Load()
	for d == nil {
		m.deltas.CompareAndSwap(nil, &deltas{})
		d = m.deltas.Load()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.list {
		if x.from == has.at {
			return x.or(m)
		}
	}
	if len(d.list) == maxDeltas {
		return m
	}
	x := delta{has.at, m.patch(has)}
	d.list = append(d.list, x)
	return x.or(m)
}

func (d delta) or(m *message) *message {
	if d.patch != nil {
		return d.patch
	}
	return m
}

// patch makes a patch of the message has; nil when m itself is shorter, or cannot be expressed as a
// patch.
func (m *message) patch(has *message) *message {
	data := m.patchData(has)
	if data == nil || len(data) >= len(m.Data) {
		return nil
	}
	p := &message{Message: m.Message, hub: m.hub, topic: m.topic, at: m.at, when: m.when}
	p.Data, p.From = data, has.Offset
	// It stays as long as m does. Its frame and its event are as long as the data, about.
	m.hub.charge(m, 3*len(data)+2*formCost+messageCost)
	p.forms.Store(-1)
	return p
}

// patchData returns the patch of the message has; nil if there is none.
func (m *message) patchData(has *message) []byte {
	if m.given != nil && m.given.from == has.at {
		return m.given.data
	}
	if !validJSON(has.Data) || !validJSON(m.Data) {
		return nil
	}
	data, ok := appendMergePatch(nil, has.Data, m.Data, maxDeltaDepth)
	if !ok {
		return nil
	}
	return data
}

// patched returns what brings u, which has an extra, to m.
func (u *subscriber) patched(m *message) *message {
	if u.extra.has == nil || m.topic == nil { // a message without a topic is to this connection alone
		return m
	}
	return m.against(u.extra.has[m.topic])
}

// remember notes that u, which has an extra, was sent m: the next message of its topic may be a
// patch.
func (u *subscriber) remember(m *message) {
	has := u.extra.has
	if has == nil || m.topic == nil {
		return
	}
	old := has[m.topic]
	if old != nil {
		old.release()
		delete(has, m.topic)
	}
	switch b := m.hub.budget; {
	case b != nil && b.Scarce():
		u.forget()
		return
	case m.Deleted, len(m.Data) > maxDelta, !isObject(m.Data):
		return
	}
	if old == nil && len(has) >= maxDeltaTopics {
		for t, x := range has { // any one
			x.release()
			delete(has, t)
			break
		}
	}
	m.hold()
	has[m.topic] = m
}

// forget forgets what u has.
func (u *subscriber) forget() {
	if u.extra == nil {
		return
	}
	for _, m := range u.extra.has {
		m.release()
	}
	clear(u.extra.has)
}

// appendMergePatch appends the JSON merge patch (RFC 7396) that makes to of from, both of which are
// valid JSON. It returns false if there is none: one of them is no object, has a name twice, is
// more than depth deep where they differ, or a member becomes null, which in a patch means that it
// goes.
func appendMergePatch(b, from, to []byte, depth int) ([]byte, bool) {
	if depth == 0 || !isObject(from) || !isObject(to) {
		return nil, false
	}
	old := make(map[string][]byte)
	for name, value := range members(from) {
		if _, twice := old[name]; twice || strings.ContainsRune(name, utf8.RuneError) {
			return nil, false
		}
		old[name] = value
	}
	b = append(b, '{')
	empty := len(b)
	seen := make(map[string]bool)
	for name, value := range members(to) {
		if seen[name] || strings.ContainsRune(name, utf8.RuneError) {
			return nil, false
		}
		seen[name] = true
		was, had := old[name]
		if had && bytes.Equal(was, value) {
			continue
		}
		start := len(b)
		b = appendName(b, empty, name)
		switch {
		case had && isObject(was) && isObject(value):
			ok, inner := false, len(b)
			if b, ok = appendMergePatch(b, was, value, depth-1); !ok {
				return nil, false
			}
			if len(b) == inner+2 { // {}: they differ in nothing but white space
				b = b[:start]
			}
		case hasNull(value, depth-1):
			return nil, false
		default:
			b = append(b, value...)
		}
	}
	for name := range members(from) {
		if !seen[name] {
			b = append(appendName(b, empty, name), "null"...)
		}
	}
	return append(b, '}'), true
}

// appendName appends the name of a member to an object whose first begins at start.
func appendName(b []byte, start int, name string) []byte {
	if len(b) > start {
		b = append(b, ',')
	}
	return append(appendQuoted(b, name), ':')
}

func isObject(b []byte) bool {
	b = skipSpace(b)
	return len(b) > 0 && b[0] == '{'
}

// hasNull reports whether a value is null or an object that has one in it, which a patch cannot
// say, or may have: it is more than depth deep. Arrays are taken as they are.
func hasNull(b []byte, depth int) bool {
	if len(b) > 0 && b[0] == 'n' || depth == 0 && isObject(b) {
		return true
	}
	names := make(map[string]bool)
	for name, value := range members(b) {
		if names[name] || hasNull(value, depth-1) {
			return true
		}
		names[name] = true
	}
	return false
}
