package broadcast

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// A query is what the query of a request asks for.
type query struct {
	wishes   []wish
	interval time.Duration // MinInterval
}

// A wish is a subscription.
type wish struct {
	pattern string
	since   uint64 // as SubscribeOptions has it
	latest  bool   // the last message of each topic, too
}

func (q *query) wish(pattern string) *wish {
	for i := range q.wishes {
		if q.wishes[i].pattern == pattern {
			return &q.wishes[i]
		}
	}
	return nil
}

// parseQuery reads topic=PATTERN&topic=PATTERN&since=OFFSET&latest=PATTERN&interval=MS. A since is
// for the topics before it that have none yet, and for all where it is the only one. The errors are
// for the client.
func parseQuery(m *http.Message, most int) (q query, err error) {
	given, sinces, last := 0, 0, uint64(0)
	var latest []string
	for v, err := range m.QueryVars() {
		if err != nil {
			return q, fmt.Errorf("the query is malformed: %w", err)
		}
		switch string(v.Name) {
		case "topic":
			pattern := string(v.Value)
			if !ValidPattern(pattern) {
				return q, fmt.Errorf("%.100q is no pattern", pattern)
			}
			if q.wish(pattern) != nil {
				continue
			}
			if len(q.wishes) == most {
				return q, fmt.Errorf("more than %d topics", most)
			}
			q.wishes = append(q.wishes, wish{pattern: pattern})
		case "since":
			if last, err = parseOffset(v.Value); err != nil {
				return q, err
			}
			sinces++
			for ; given < len(q.wishes); given++ {
				q.wishes[given].since = last
			}
		case "latest":
			if len(latest) == most {
				return q, fmt.Errorf("latest for more than %d topics", most)
			}
			latest = append(latest, string(v.Value))
		case "interval":
			if _, ok := parseNumber(v.Value); !ok {
				return q, fmt.Errorf("%.100q is no interval", v.Value)
			}
			q.interval = parseInterval(v.Value)
		}
	}
	if sinces == 1 {
		for i := range q.wishes {
			q.wishes[i].since = last
		}
	}
	for _, pattern := range latest {
		w := q.wish(pattern)
		if w == nil {
			return q, fmt.Errorf("latest is %.100q, which is none of the topics", pattern)
		}
		w.latest = true
	}
	return q, nil
}

// parseOffset reads the offset of the last message that a client has, of its query; an empty one is
// a newcomer's.
func parseOffset(b []byte) (uint64, error) {
	if _, ok := parseNumber(b); !ok && len(b) > 0 {
		return 0, fmt.Errorf("%.100q is no offset", b)
	}
	return ParseSince(b), nil
}

var errNoTopic = errors.New("no topic: ask for ?topic=PATTERN")

// query returns what the query asks for, or refuses the request.
func (d *Door) query(c *conn.Conn, m *http.Message, rights *Rights) (query, bool) {
	q, err := parseQuery(m, d.opts.MaxPatterns)
	if err != nil {
		d.refuse(c, &m.Request, 400, err)
		return q, false
	}
	if q.interval != 0 {
		q.interval = max(q.interval, d.hub.opts.Subscribe.MinInterval)
	}
	for _, w := range q.wishes {
		if !rights.maySubscribe(w.pattern) {
			d.refuse(c, &m.Request, 403, fmt.Errorf("this client may not have %.100q", w.pattern))
			return q, false
		}
	}
	return q, true
}

// serveEvents makes a stream of events.
func (d *Door) serveEvents(c *conn.Conn, m *http.Message) {
	rights, err := d.authorize(&m.Request)
	if err != nil {
		d.refuse(c, &m.Request, 401, err)
		return
	}
	q, ok := d.query(c, m, &rights)
	if !ok {
		return
	}
	if len(q.wishes) == 0 {
		d.refuse(c, &m.Request, 400, errNoTopic)
		return
	}
	if id := http.LastEventID(m); len(id) > 0 {
		d.resume(q.wishes, ParseSince(id))
	}
	http.StartEvents(c)
	s := http.EventStream(c)
	if s == nil {
		return // it was a HEAD request
	}
	// An id without data is no event, but an EventSource comes back with it: one that is cut before
	// its first message misses nothing either (HTML standard 9.2.6).
	fmt.Fprintf(s, "id: %d\n\n", firstID(q.wishes, d.hub.Offset()))
	if d.subscribe(c, &q) != nil {
		s.End()
		return
	}
	u := d.hub.subscriber(c)
	if u == nil { // Options.Presence has ended it
		s.End()
		return
	}
	live := func() {
		at, id := u.sentUpTo(), ""
		if at != 0 {
			id = strconv.FormatUint(at, 10)
		}
		s.SendEvent(id, "live", string(appendLive(nil, at)))
	}
	u.whenCaughtUp(live)
	d.attend(s, u, rights.Until, live)
}

// resume has the client of an EventSource go on after its Last-Event-ID. It comes back with the URL
// that it came with first, so offsets there are mostly older; but where they differ it may still
// be before the higher ones. It has the latest of that time.
func (d *Door) resume(list []wish, id uint64) {
	h := d.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range list {
		w := &list[i]
		if _, known := h.place(w.since); !known || w.since < id {
			w.since = id
		}
		w.latest = false
	}
}

// subscribe makes the subscriptions of a query.
func (d *Door) subscribe(c *conn.Conn, q *query) error {
	o := SubscribeOptions{TellMissed: true, MinInterval: q.interval, Greet: true}
	for _, w := range q.wishes {
		o.Since = w.since
		if err := d.hub.Subscribe(c, w.pattern, o); err != nil {
			return err
		}
	}
	o.Since = 0
	for _, w := range q.wishes {
		if w.latest {
			if err := d.hub.Subscribe(c, w.pattern, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// firstID returns the Last-Event-ID of a client that has got nothing yet: the lowest of its
// offsets. at is the newest, which newcomers have.
func firstID(list []wish, at uint64) uint64 {
	id := uint64(math.MaxUint64)
	for _, w := range list {
		switch w.since {
		case 0:
			id = min(id, at)
		case All:
			id = 0
		default:
			id = min(id, w.since)
		}
	}
	return id
}

// attend ends the stream with the rights of its client, and says meanwhile that it lives.
func (d *Door) attend(s *http.Stream, u *subscriber, until time.Time, live func()) {
	sign := u.l.m.Every(d.opts.AliveInterval, func() {
		if !u.busy && len(u.caught) == 0 {
			live()
		}
	})
	var rights term
	rights.begin(u.l, until, func() { s.End() })
	s.OnEnd(func() {
		sign.Stop()
		rights.end()
	})
}
