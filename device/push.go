package device

import (
	"bytes"
	"reflect"
	"strconv"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/websocket"
)

// changesTopic is the topic of push.hub.
const changesTopic = "changed"

// A push sends the changes to the subscribers of JSON-RPC. Each change is encoded once for all of
// them, as the merge patch (RFC 7396) from the version before it. A new subscriber gets a snapshot,
// and the patches after it. A subscriber whose connection did not keep up is told "missed", and
// asks for a snapshot.
type push struct {
	d      *core
	hub    *broadcast.Hub
	patch  patcher
	offset uint64 // of the last change

	published uint64 // the offset of the last document in Options.Hub; 0 is not known

	text, doc []byte // for reuse
}

func newPush(d *core) *push {
	return &push{d: d, patch: patcher{d.root, make([]bool, len(d.fields))}, hub: broadcast.NewHub(broadcast.Options{
		History:   broadcast.History{Count: 64, Bytes: 256 << 10},
		Subscribe: broadcast.SubscribeOptions{Limit: broadcast.Limit{Messages: 256, Bytes: 256 << 10}, TellMissed: true},
		EncodeMissed: func(b []byte, m broadcast.Missed) (websocket.Op, []byte) {
			b = append(b, `{"jsonrpc":"2.0","method":"missed","params":{"changes":`...)
			b = strconv.AppendUint(b, m.N, 10)
			return websocket.Text, append(b, "}}"...)
		},
	}, d.group)}
}

// shown reports whether a setting is part of the documents that others get.
func shown(f *Field) bool { return !f.Secret }

// changed publishes a change to the settings in to. It is called with the lock of core held, so the
// patches come in the order of the versions.
func (p *push) changed(c *Change, to reflect.Value) {
	version := c.Version
	p.text = append(p.text[:0], `{"jsonrpc":"2.0","method":"changed","params":{"version":`...)
	p.text = strconv.AppendUint(p.text, version, 10)
	p.text = append(p.text, `,"patch":`...)
	before := len(p.text)
	p.text = p.patch.append(p.text, c.Items, to, shown)
	patch := p.text[before:]
	p.text = append(p.text, "}}"...)
	if receipt, err := p.hub.Publish(changesTopic, p.text); err == nil {
		p.offset = receipt.Offset
	} else {
		// The loop's queue is full, or closed. The versions have a hole before the next patch, so
		// the client sees that it has to ask.
		p.d.opts.Log.Error("a change could not be pushed", "version", version, "why", err)
	}
	if hub := p.d.opts.Hub; hub != nil {
		topic := p.d.opts.Topic
		if topic == "" {
			topic = "settings"
		}
		from := p.published
		if bytes.Contains(patch, []byte("null")) {
			from = 0 // a reading without a value: in a document it is null, in a patch that removes it
		}
		p.doc = p.d.root.appendDocument(p.doc[:0], to, shown)
		receipt, err := hub.PublishPatch(topic, p.doc, patch, from)
		if err != nil {
			p.d.opts.Log.Error("a change could not be published", "version", version, "topic", topic, "why", err)
		}
		p.published = receipt.Offset
	}
}

// snapshot returns the document of the settings, its version, and the offset after which the
// changes of later versions come.
func (d *core) snapshot() (text []byte, version, offset uint64) {
	d.mu.Lock()
	v, version, offset := d.now, d.version, d.push.offset
	d.mu.Unlock()
	if offset == 0 {
		offset = d.push.hub.Offset()
	}
	return d.root.appendDocument(nil, v, shown), version, offset
}

// subscribe has c, a WebSocket, get the changes after offset.
func (p *push) subscribe(c *conn.Conn, offset uint64) error {
	p.hub.UnsubscribeAll(c)
	return p.hub.Subscribe(c, changesTopic, broadcast.SubscribeOptions{Since: offset})
}
