package device

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/seed4930a636/mangusta/device/internal/rest"
)

// The error codes of JSON-RPC 2.0 §5.1, and ours, of the range that it leaves to servers.
const (
	codeParse     = -32700
	codeRequest   = -32600
	codeMethod    = -32601
	codeParams    = -32602
	codeForbidden = -32001
	codeConflict  = -32002
	codeConfirm   = -32003
	codeBusy      = -32004
	codeAction    = -32005
)

// maxBatch bounds the calls of one batch.
const maxBatch = 64

// An rpcError is the error object of JSON-RPC.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

// A message is what a peer has sent: one call, or a batch. reply is sent when all its calls are
// done.
type message struct {
	d       *core
	who     Who
	batch   bool
	waiting int      // calls under way, and one for the reading of the message
	replies [][]byte // those of notifications are left out
	after   []func() // what is done when the reply was sent
	send    func(reply []byte)
	enter   func(f func()) // runs f on the goroutine of the message, later
	join    func(offset uint64) error
}

// serve reads text, and calls send at most once with the reply. send and join are called on the
// goroutine of serve; so is what enter is given.
func (m *message) serve(text []byte) {
	m.waiting = 1
	text = bytes.TrimLeft(text, " \t\r\n")
	var calls []json.RawMessage
	switch err := rest.Check(text); {
	case err != nil:
		m.fail(nil, codeParse, err.Error(), nil)
	case text[0] != '[':
		m.one(text)
	case json.Unmarshal(text, &calls) != nil || len(calls) == 0 || len(calls) > maxBatch:
		m.fail(nil, codeRequest, "a batch has 1 to "+strconv.Itoa(maxBatch)+" calls", nil)
	default:
		m.batch = true
		for _, c := range calls {
			m.one(c)
		}
	}
	m.done()
}

// A request is one call (JSON-RPC 2.0 §4).
type request struct {
	Version string          `json:"jsonrpc"`
	Method  *string         `json:"method"`
	Params  json.RawMessage `json:"params"`
	ID      json.RawMessage `json:"id"`
}

// null is the id of a reply to a call whose id cannot be made out.
var null = json.RawMessage("null")

func (m *message) one(text []byte) {
	var r request
	if _, err := object(text); err != nil || json.Unmarshal(text, &r) != nil || r.Version != "2.0" || r.Method == nil {
		m.fail(nil, codeRequest, "this is no call of JSON-RPC 2.0", nil)
		return
	}
	if r.ID != nil && (r.ID[0] == '{' || r.ID[0] == '[' || r.ID[0] == 't' || r.ID[0] == 'f') {
		m.fail(nil, codeRequest, "an id is a text, a number or null", nil)
		return
	}
	id := r.ID // nil for a notification, which gets no reply
	var p params
	if r.Params != nil {
		if r.Params[0] != '{' {
			m.failCall(id, codeParams, "params must be an object", nil)
			return
		}
		dec := json.NewDecoder(bytes.NewReader(r.Params))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&p); err != nil {
			m.failCall(id, codeParams, err.Error(), nil)
			return
		}
	}
	m.call(id, *r.Method, &p)
}

// params are those of all methods.
type params struct {
	Patch   json.RawMessage `json:"patch"`   // set
	Version uint64          `json:"version"` // set: the version that the caller has seen; 0 is any
	Action  string          `json:"action"`  // call
	Confirm bool            `json:"confirm"` // call
}

func (m *message) call(id json.RawMessage, method string, p *params) {
	d := m.d
	if m.who.Role < Viewer {
		m.failCall(id, codeForbidden, errForbidden.Error(), nil)
		return
	}
	switch method {
	case "get":
		text, version, _ := d.snapshot()
		m.result(id, document(text, version))
	case "schema":
		m.result(id, d.Schema())
	case "actions":
		m.result(id, d.actionsFor(m.who))
	case "subscribe":
		text, version, offset := d.snapshot()
		m.result(id, document(text, version))
		m.after = append(m.after, func() {
			if err := m.join(offset); err != nil {
				d.opts.Log.Error("a page could not subscribe", "why", err)
			}
		})
	case "set":
		m.set(id, p)
	case "call":
		m.waiting++
		err := d.call(m.who, p.Action, p.Confirm, func(err error) {
			m.enter(func() {
				if err != nil {
					m.failCall(id, codeAction, err.Error(), nil)
				} else {
					m.result(id, []byte("{}"))
				}
				m.done()
			})
		})
		if err != nil {
			m.refuse(id, err)
			m.done()
		}
	default:
		m.failCall(id, codeMethod, "there is no method "+strconv.Quote(method), nil)
	}
}

func document(text []byte, version uint64) []byte {
	b := append([]byte(`{"version":`), strconv.FormatUint(version, 10)...)
	b = append(append(b, `,"settings":`...), text...)
	return append(b, '}')
}

func (m *message) set(id json.RawMessage, p *params) {
	if p.Patch == nil {
		m.failCall(id, codeParams, "set needs a patch", nil)
		return
	}
	m.waiting++
	var version uint64
	version, err := m.d.apply(m.who, p.Version, patch, p.Patch, func(err error) {
		m.enter(func() {
			m.result(id, m.d.outcome(version, err))
			m.done()
		})
	})
	if err != nil {
		m.refuse(id, err)
		m.done()
	}
}

// refuse tells why a call was not made.
func (m *message) refuse(id json.RawMessage, err error) {
	var invalid *Invalid
	var confirm errConfirm
	switch {
	case errors.As(err, &invalid) && invalid.denied():
		m.failCall(id, codeForbidden, errForbidden.Error(), invalid.Fields)
	case errors.As(err, &invalid):
		m.failCall(id, codeParams, "the settings were refused", invalid.Fields)
	case errors.As(err, &confirm):
		m.failCall(id, codeConfirm, confirm.question, nil)
	case errors.Is(err, ErrConflict):
		m.failCall(id, codeConflict, err.Error(), nil)
	case errors.Is(err, errNoAction):
		m.failCall(id, codeParams, err.Error(), nil)
	case errors.Is(err, errForbidden):
		m.failCall(id, codeForbidden, err.Error(), nil)
	default:
		m.failCall(id, codeBusy, err.Error(), nil)
	}
}

func (m *message) result(id json.RawMessage, result []byte) {
	if id == nil {
		return
	}
	b := append([]byte(`{"jsonrpc":"2.0","id":`), id...)
	b = append(append(b, `,"result":`...), result...)
	m.replies = append(m.replies, append(b, '}'))
}

// failCall is the reply to a call that was understood: a notification gets none.
func (m *message) failCall(id json.RawMessage, code int, text string, data any) {
	if id != nil {
		m.fail(id, code, text, data)
	}
}

func (m *message) fail(id json.RawMessage, code int, text string, data any) {
	if id == nil {
		id = null
	}
	reply, err := json.Marshal(struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   rpcError        `json:"error"`
	}{"2.0", id, rpcError{code, text, data}})
	if err == nil {
		m.replies = append(m.replies, reply)
	}
}

// done ends one call, and sends the reply after the last one.
func (m *message) done() {
	if m.waiting--; m.waiting > 0 {
		return
	}
	switch {
	case len(m.replies) == 0:
	case m.batch:
		m.send(append(append([]byte("["), bytes.Join(m.replies, []byte(","))...), ']'))
	default:
		m.send(m.replies[0])
	}
	for _, f := range m.after {
		f()
	}
}
