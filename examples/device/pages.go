package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/websocket"
)

// loopSide belongs to the loop's goroutine.
type loopSide struct {
	pages    int // open WebSockets
	interval int64
	history  history
}

// hello is the first document on each WebSocket: what a page needs besides the samples.
type hello struct {
	Type     string  `json:"type"`
	Boot     string  `json:"boot"`
	Host     Host    `json:"host"`
	Interval int64   `json:"interval"` // ms
	Limits   bounds  `json:"limits"`   // of the interval, ms
	History  []point `json:"history"`
	Log      []Line  `json:"log"`
}

type bounds struct {
	Min int64 `json:"min"`
	Max int64 `json:"max"`
}

// opened gives a new page all that the others have: the log, the last minutes and, from the hub, the latest sample.
func (d *device) opened(c *conn.Conn) {
	d.loop.pages++
	d.log.Info("page opened", "from", c.RemoteAddr(), "pages", d.loop.pages)
	points := d.loop.history.points
	if points == nil {
		points = []point{} // [] in JSON, not null
	}
	d.tell(c, hello{Type: "hello", Boot: d.boot, Host: d.host, Interval: d.loop.interval,
		Limits:  bounds{minInterval.Milliseconds(), maxInterval.Milliseconds()},
		History: points, Log: d.ring.since(0)})
	for _, t := range []struct {
		name string
		how  broadcast.SubscribeOptions
	}{
		{samples, broadcast.SubscribeOptions{Policy: broadcast.KeepLatest}},
		{settings, broadcast.SubscribeOptions{Since: d.hub.Offset()}}, // hello has what was said before
		{logLines, broadcast.SubscribeOptions{Since: d.hub.Offset()}},
	} {
		if err := d.hub.Subscribe(c, t.name, t.how); err != nil {
			d.log.Error("a page could not subscribe", "from", c.RemoteAddr(), "topic", t.name, "why", err)
		}
	}
}

func (d *device) left(c *conn.Conn, end *websocket.Control) {
	d.loop.pages--
	d.log.Info("page closed", "from", c.RemoteAddr(), "code", int(end.Code), "pages", d.loop.pages)
}

// said handles what a page sent: a setting to change, or an answer that says what is wrong with it.
func (d *device) said(c *conn.Conn, text []byte) {
	ms, err := parseOrder(text)
	if err == nil {
		select {
		case d.orders <- order{interval: ms, from: c.RemoteAddr().String()}:
			return
		default:
			err = fmt.Errorf("the device is busy with %d other settings: try again", maxOrders)
		}
	}
	d.log.Warn("a setting was refused", "from", c.RemoteAddr(), "why", err)
	d.tell(c, struct {
		Type  string `json:"type"`
		About string `json:"about"`
		Error string `json:"error"`
	}{"error", "interval", err.Error()})
}

// parseOrder reads {"type": "interval", "ms": 500}. The errors are for the person at the page.
func parseOrder(text []byte) (ms int64, err error) {
	var doc struct {
		Type string          `json:"type"`
		MS   json.RawMessage `json:"ms"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return 0, fmt.Errorf("the message is not understood: %w", err)
	}
	if dec.More() {
		return 0, fmt.Errorf("the message is not understood: there is more behind its end")
	}
	if doc.Type != "interval" {
		return 0, fmt.Errorf("there is no setting %q, only \"interval\"", doc.Type)
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

// tell sends doc to one page.
func (d *device) tell(c *conn.Conn, doc any) {
	text, err := json.Marshal(doc)
	if err != nil {
		d.log.Error("a document could not be encoded", "why", err)
		return
	}
	if err := websocket.Send(c, websocket.Text, text); err != nil {
		d.log.Warn("a page could not be told", "from", c.RemoteAddr(), "why", err)
	}
}
