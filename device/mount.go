package device

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"strconv"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device/internal/rest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/json"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// maxDocument bounds the documents and messages that peers send.
const maxDocument = 64 << 10

// Mount adds the routes of the device to x, below prefix, such as "/api":
//
//	GET   PREFIX/settings         the document, with its version as ETag
//	PUT   PREFIX/settings         all settings; a secret may be left out
//	PATCH PREFIX/settings         some of them: a merge patch (RFC 7396), in which null is the default
//	GET   PREFIX/schema           the declaration as JSON Schema
//	GET   PREFIX/actions          the actions that the caller may call
//	POST  PREFIX/actions/NAME     calls one; {"confirm": true} for those that ask
//	GET   PREFIX/audit            the last changes and actions, and what else was recorded, for an admin
//	GET   PREFIX/rpc              a WebSocket that speaks JSON-RPC 2.0
//
// PUT and PATCH heed If-Match. They reply when the disk has the change, with {"version": 7,
// "saved": true, "restart": ["wifi.ssid"]}. A refused request gets an RFC 9457 problem document. Its
// "code" says why, for programs and for pages in other languages than English; its "errors" tell
// what is wrong with each setting: 422, or 403 if one of them is for a higher role. The status is 400
// if the body is no JSON in UTF-8. A caller whom Options.Who does not know gets 401, one without the
// role 403.
//
// The methods of the WebSocket are get, set {"patch", "version"}, subscribe, call {"action",
// "confirm"}, schema and actions. After subscribe, whose result is the document, each change comes
// as {"method": "changed", "params": {"version": 8, "patch": {…}}}; {"method": "missed"} means that
// some changes were lost: the client has to subscribe again.
func (d *core) Mount(x *http.Mux, prefix string) {
	reads := func(role Role, h func(c *conn.Conn, m *http.Message, who Who)) func(c *conn.Conn, m *http.Message) {
		return func(c *conn.Conn, m *http.Message) {
			if who := d.opts.Who(c, &m.Request); who.Role < role {
				d.refuse(c, who)
			} else {
				h(c, m, who)
			}
		}
	}
	x.MustHandle("GET "+prefix+"/settings", reads(Viewer, d.getSettings))
	x.MustHandle("PUT "+prefix+"/settings", reads(Viewer, d.putSettings))
	x.MustHandle("PATCH "+prefix+"/settings", reads(Viewer, d.putSettings))
	x.MustHandle("GET "+prefix+"/schema", reads(Viewer, func(c *conn.Conn, _ *http.Message, _ Who) {
		http.ReplyBytes(c, 200, "application/schema+json", d.Schema())
	}))
	x.MustHandle("GET "+prefix+"/actions", reads(Viewer, func(c *conn.Conn, _ *http.Message, who Who) {
		http.ReplyBytes(c, 200, "application/json", d.actionsFor(who))
	}))
	x.MustHandle("POST "+prefix+"/actions/{name}", reads(Viewer, d.postAction))
	x.MustHandle("GET "+prefix+"/audit", reads(Admin, func(c *conn.Conn, _ *http.Message, _ Who) {
		json.Reply(c, 200, d.Audit())
	}))
	x.MustHandle("GET "+prefix+"/rpc", d.rpc)
}

// actionsFor returns the actions that who may call, as JSON.
func (d *core) actionsFor(who Who) []byte {
	list := []*Action{}
	for _, a := range d.actions {
		if who.Role >= a.Role {
			list = append(list, a)
		}
	}
	text, err := stdjson.Marshal(list)
	if err != nil {
		panic("device: actions: " + err.Error()) // they are texts
	}
	return text
}

func (d *core) getSettings(c *conn.Conn, m *http.Message, _ Who) {
	text, version, _ := d.snapshot()
	v := http.Validators{ETag: etag(version)}
	http.SetHeader(c, "ETag", v.ETag)
	http.SetHeader(c, "Cache-Control", "no-cache")
	if v.Check(&m.Request) == http.NotModified {
		http.Error(c, 304)
		return
	}
	http.ReplyBytes(c, 200, "application/json", text)
}

func etag(version uint64) string { return `"` + strconv.FormatUint(version, 10) + `"` }

// putSettings is PUT and PATCH.
func (d *core) putSettings(c *conn.Conn, m *http.Message, who Who) {
	how, types := replace, []string(nil)
	if m.Method == "PATCH" {
		how, types = patch, []string{"application/merge-patch+json"}
	}
	if !rest.IsJSON(&m.Request, types...) {
		problem(c, 415, rest.Coded("not-json", "send application/json"))
		return
	}
	if len(m.Body) > maxDocument {
		problem(c, 413, rest.Coded("too-long", "the document is too large"))
		return
	}
	if err := rest.Check(m.Body); err != nil {
		problem(c, 400, err)
		return
	}
	seen, ok := ifMatch(m.Header("If-Match"))
	if !ok {
		problem(c, 412, ErrConflict)
		return
	}
	later := rest.LaterOf(c, m.Later())
	var version uint64
	version, err := d.apply(who, seen, how, m.Body, func(err error) {
		later.Complete(func(c *conn.Conn) {
			http.SetHeader(c, "ETag", etag(version))
			http.ReplyBytes(c, 200, "application/json", d.outcome(version, err))
		}, nil)
	})
	if err != nil {
		refused(c, err)
	}
}

// ifMatch returns the version of an If-Match; 0 is any. It is false for one that we have never
// given.
func ifMatch(value []byte) (uint64, bool) {
	text := string(bytes.TrimSpace(value))
	if text == "" || text == "*" {
		return 0, true
	}
	unquoted, err := strconv.Unquote(text)
	if err != nil {
		return 0, false
	}
	version, err := strconv.ParseUint(unquoted, 10, 64)
	return version, err == nil && version > 0
}

func (d *core) postAction(c *conn.Conn, m *http.Message, who Who) {
	var p struct {
		Confirm bool `json:"confirm"`
	}
	if !rest.IsJSON(&m.Request) {
		problem(c, 415, rest.Coded("not-json", "send application/json"))
		return
	}
	if len(m.Body) > 0 {
		if err := rest.Read(m.Body, &p, `the body is {"confirm": true}, or empty`); err != nil {
			problem(c, 400, err)
			return
		}
	}
	later := rest.LaterOf(c, m.Later())
	err := d.call(who, string(m.PathValue("name")), p.Confirm, func(err error) {
		later.Complete(func(c *conn.Conn) {
			if err != nil {
				problem(c, 500, err)
				return
			}
			http.Reply(c, 204, "", "")
		}, nil)
	})
	if err != nil {
		refused(c, err)
	}
}

// refuse replies to a caller without the right: with 401 if nobody knows who it is.
func (d *core) refuse(c *conn.Conn, who Who) {
	if who.Role == Nobody && who.Name == "" && d.opts.Challenge != "" {
		http.SetHeader(c, "WWW-Authenticate", d.opts.Challenge)
		problem(c, 401, rest.Coded("log-in", "log in first"))
		return
	}
	problem(c, 403, errForbidden)
}

// refused replies to a change or a call that was not made.
func refused(c *conn.Conn, err error) {
	var invalid *Invalid
	var confirm errConfirm
	switch {
	case errors.As(err, &invalid) && invalid.denied():
		problem(c, 403, errForbidden, invalid.Fields...)
	case errors.As(err, &invalid):
		problem(c, 422, rest.Coded("settings", "the settings were refused"), invalid.Fields...)
	case errors.As(err, &confirm):
		problem(c, 428, confirm)
	case errors.Is(err, ErrConflict):
		problem(c, 412, err)
	case errors.Is(err, errNoAction):
		problem(c, 404, err)
	case errors.Is(err, errForbidden):
		problem(c, 403, err)
	default:
		problem(c, 503, err)
	}
}

// problem replies with a problem document (RFC 9457).
func problem(c *conn.Conn, status int, why error, fields ...FieldError) {
	text, err := stdjson.Marshal(struct {
		Title  string       `json:"title"`
		Status int          `json:"status"`
		Code   string       `json:"code,omitempty"`
		Errors []FieldError `json:"errors,omitempty"`
	}{why.Error(), status, rest.Code(why), fields})
	if err != nil {
		http.Error(c, 500)
		return
	}
	http.ReplyBytes(c, status, "application/problem+json", text)
}

// rpc upgrades to the WebSocket of JSON-RPC. The user of the WebSocket is decided here.
func (d *core) rpc(c *conn.Conn, m *http.Message) {
	ended := func() {}
	if d.opts.Opened != nil {
		if f := d.opts.Opened(c, &m.Request); f != nil {
			ended = f
		}
	}
	who := d.opts.Who(c, &m.Request)
	if who.Role < Viewer {
		ended()
		d.refuse(c, who)
		return
	}
	if websocket.Upgrade(c, m, &d.opts.WebSocket) != nil {
		ended()
		return // it has been refused
	}
	c.SetHandler(func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Message:
			d.said(c, who, ev.Data)
		case *conn.Close:
			ended()
		}
	})
}

// said handles one message of JSON-RPC. The reply may come after the connection has ended.
func (d *core) said(c *conn.Conn, who Who, text []byte) {
	m, id := mgr.Of(c), c.ID()
	call := message{
		d: d, who: who,
		enter: func(f func()) {
			m.Complete(func() {
				if m.Lookup(id) != nil {
					f()
				}
			})
		},
		send: func(reply []byte) { websocket.Send(c, websocket.Text, reply) },
		join: func(offset uint64) error { return d.push.subscribe(c, offset) },
	}
	call.serve(text)
}
