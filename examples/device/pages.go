package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
)

// shared is what the handlers of all loops and the sampler share.
type shared struct {
	pages atomic.Int64 // open WebSockets

	sync.Mutex
	interval int64
	history  history
	latest   []byte // sample; nil is none
	changes  []Change
	clock    *Clock
}

// hello comes to each page when it has subscribed: what it needs besides the samples.
type hello struct {
	Boot     string   `json:"boot"`
	Host     Host     `json:"host"`
	Interval int64    `json:"interval"` // ms
	Limits   bounds   `json:"limits"`   // of the interval, ms
	History  []point  `json:"history"`
	Log      []Line   `json:"log"`
	Changes  []Change `json:"changes"`
}

type bounds struct {
	Min int64 `json:"min"`
	Max int64 `json:"max"`
}

// present greets a page: it subscribes to the log last.
func (d *device) present(p broadcast.Presence) {
	if p.Joined && p.Pattern == logLines {
		d.greet(p.Conn)
	}
}

// greet gives a page all that the others have: the log, the last minutes and the latest sample. It
// has its subscriptions. Figures that were published before hello are in hello, and all others come
// after it, since the publisher has the lock.
func (d *device) greet(page uint64) {
	d.shared.Lock()
	defer d.shared.Unlock()
	points := d.shared.history.points
	if points == nil {
		points = []point{} // [] in JSON, not null
	}
	net := d.shared.changes
	if net == nil {
		net = []Change{}
	}
	text, err := json.Marshal(hello{Boot: d.boot, Host: d.host, Interval: d.shared.interval,
		Limits:  bounds{minInterval.Milliseconds(), maxInterval.Milliseconds()},
		History: points, Log: d.ring.since(0), Changes: net})
	if err == nil {
		err = d.hub.PublishTo(page, greetings, text)
	}
	if err == nil && d.shared.latest != nil {
		err = d.hub.PublishTo(page, samples, d.shared.latest)
	}
	if err != nil {
		d.log.Error("a page could not be greeted", "why", err)
	}
}

// opened notes a new WebSocket. The page itself subscribes, but it cannot ask for the latest sample
// alone when it is slow.
func (d *device) opened(c *conn.Conn) {
	d.log.Info("page opened", "from", d.from(c), "pages", d.shared.pages.Add(1))
	if err := d.hub.Subscribe(c, samples, broadcast.SubscribeOptions{Policy: broadcast.KeepLatest, TellMissed: true}); err != nil {
		d.log.Error("a page could not subscribe", "from", d.from(c), "topic", samples, "why", err)
	}
}

func (d *device) left(c *conn.Conn, end *websocket.Control) {
	d.log.Info("page closed", "from", d.from(c), "code", int(end.Code), "pages", d.shared.pages.Add(-1))
}

// refused says in the log why a page is not let in.
func (d *device) refused(c *conn.Conn, _ *http.Request, why error) {
	d.log.Warn("a page was refused", "from", d.from(c), "why", why)
}

var errForeign = errors.New("a page of another origin may change no setting")

// foreign replies to a request that a page of another site has the user's browser send.
func (d *device) foreign(c *conn.Conn, r *http.Request) {
	d.refused(c, r, errForeign)
	http.Error(c, 403)
}

// set replies to POST /interval, a setting to change: 202, or an error that says what is wrong with
// it. All pages hear of a change on the topic "state".
func (d *device) set(c *conn.Conn, ev conn.Event) {
	m, ok := ev.(*http.Message)
	if !ok {
		return
	}
	if m.Method != "POST" {
		http.SetHeader(c, "Allow", "POST")
		http.Error(c, 405)
		return
	}
	ms, err := parseOrder(m.Body)
	status := 400
	if err == nil {
		select {
		case d.orders <- order{interval: ms, from: d.from(c)}:
			http.ReplyBytes(c, 202, "", nil)
			return
		default:
			status, err = 503, fmt.Errorf("the device is busy with %d other settings: try again", maxOrders)
		}
	}
	d.log.Warn("a setting was refused", "from", d.from(c), "why", err)
	text, _ := json.Marshal(struct { // strings can be encoded
		Error string `json:"error"`
	}{err.Error()})
	http.ReplyBytes(c, status, "application/json", text)
}

// parseOrder reads {"ms": 500}. The errors are for the person at the page.
func parseOrder(text []byte) (ms int64, err error) {
	var doc struct {
		MS json.RawMessage `json:"ms"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return 0, fmt.Errorf("the message is not understood: %w", err)
	}
	if dec.More() {
		return 0, fmt.Errorf("the message is not understood: there is more behind its end")
	}
	if len(doc.MS) == 0 {
		return 0, fmt.Errorf("the sample interval, \"ms\", is missing")
	}
	ms, err = strconv.ParseInt(string(doc.MS), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the sample interval must be a whole number of ms, not %s", cut(string(doc.MS), 40))
	}
	return ms, State{IntervalMS: ms}.check()
}
