package server

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	mgjson "github.com/seed4930a636/mangusta/http/json"
	"github.com/seed4930a636/mangusta/websocket"
)

// How many topics and subscribers are listed at most: by GET /stats, and for the page.
const (
	listedInStats = 1000
	listedOnPage  = 50
)

// Figures are what GET /stats answers, and what the page is sent.
type Figures struct {
	Time        int64        `json:"time"`   // Unix time in ms
	Uptime      float64      `json:"uptime"` // s
	Settings    Settings     `json:"settings"`
	Hub         HubFigures   `json:"hub"`
	Connections Connections  `json:"connections"`
	Topics      []Topic      `json:"topics"`      // those with the newest messages first
	Subscribers []Subscriber `json:"subscribers"` // by messages that wait, then by messages skipped, the most first
	MoreTitle   string       `json:"more_title,omitempty"`
	More        []Figure     `json:"more,omitempty"` // see Options.More
}

// Settings are what the command line says.
type Settings struct {
	History int    `json:"history"` // messages of each topic
	Limit   int    `json:"limit"`   // bytes
	Policy  string `json:"policy"`
	Token   bool   `json:"token"` // there is one
	MaxBody int    `json:"max_body"`
}

// HubFigures are broadcast.Stats.
type HubFigures struct {
	Offset        uint64  `json:"offset"` // of the message published last
	Published     uint64  `json:"published"`
	Refused       uint64  `json:"refused"`
	Delivered     uint64  `json:"delivered"`
	Replayed      uint64  `json:"replayed"`
	Skipped       uint64  `json:"skipped"`
	Lost          uint64  `json:"lost"`
	Disconnected  uint64  `json:"disconnected"`
	Bytes         uint64  `json:"bytes"`
	FanOut        float64 `json:"fan_out"` // s
	Subscriptions int     `json:"subscriptions"`
	Topics        int     `json:"topics"`
	Kept          int     `json:"kept"`
	KeptBytes     int     `json:"kept_bytes"`
	Held          int     `json:"held"` // bytes of memory for what is kept
	Looks         uint64  `json:"looks"`
	Queued        int     `json:"queued"`
	QueuedBytes   int     `json:"queued_bytes"`
}

// Connections counts those that have subscribed.
type Connections struct {
	WebSocket int `json:"websocket"`
	Events    int `json:"events"`
	Slow      int `json:"slow"` // messages wait for them
}

// A Topic is a broadcast.TopicInfo.
type Topic struct {
	Name        string `json:"topic"`
	Published   uint64 `json:"published"`
	Skipped     uint64 `json:"skipped"`
	Offset      uint64 `json:"offset"`
	Deleted     bool   `json:"deleted,omitempty"`
	Kept        int    `json:"kept"`
	KeptBytes   int    `json:"kept_bytes"`
	Subscribers int    `json:"subscribers"`
}

// A Subscriber is a broadcast.SubscriberInfo.
type Subscriber struct {
	ID           uint64   `json:"id"`
	Address      string   `json:"address"` // empty for that of a unix socket
	Kind         string   `json:"kind"`    // "websocket" or "events"
	Patterns     []string `json:"patterns"`
	Delivered    uint64   `json:"delivered"`
	Skipped      uint64   `json:"skipped"`
	Waiting      int      `json:"waiting"`
	WaitingBytes int      `json:"waiting_bytes"`
	Slow         bool     `json:"slow"`
}

// figures gives them to then, with so many topics and subscribers at most, on one of the loops.
func (s *server) figures(listed int, then func(Figures)) {
	s.subscribers(func(all []Subscriber, n Connections) {
		now := time.Now()
		f := Figures{Time: now.UnixMilli(), Uptime: now.Sub(s.began).Seconds(), Settings: Settings{History: s.cfg.history,
			Limit: s.cfg.limit, Policy: s.cfg.policy, Token: s.cfg.token != "", MaxBody: maxBody}}
		st := s.hub.Stats()
		f.Hub = HubFigures{Offset: s.hub.Offset(), Published: st.Published, Refused: st.Refused, Delivered: st.Delivered,
			Replayed: st.Replayed, Skipped: st.Skipped, Lost: st.Lost, Disconnected: st.Disconnected, Bytes: st.Bytes,
			FanOut: st.FanOut.Seconds(), Subscriptions: st.Subscriptions, Topics: st.Topics, Kept: st.Kept, KeptBytes: st.KeptBytes,
			Held: st.Held, Looks: st.Looks, Queued: st.Queued, QueuedBytes: st.QueuedBytes}
		f.Topics = []Topic{} // [] in JSON, not null
		for _, t := range s.hub.Newest(listed) {
			f.Topics = append(f.Topics, Topic(t))
		}
		f.Connections = n
		if s.cfg.more.More != nil {
			f.MoreTitle, f.More = s.cfg.more.MoreTitle, s.cfg.more.More()
		}
		f.Subscribers = all[:min(len(all), listed)]
		then(f)
	})
}

// subscribers has each loop list its subscribers, and gives all to then, the slowest first, with
// their number. No loop waits for another: then runs on the one that is ready last.
func (s *server) subscribers(then func([]Subscriber, Connections)) {
	managers := s.m.Managers()
	lists := make([][]Subscriber, len(managers))
	var left atomic.Int32
	left.Store(int32(len(managers)))
	ready := func() {
		if left.Add(-1) > 0 {
			return
		}
		all := append([]Subscriber{}, slices.Concat(lists...)...) // [] in JSON, not null
		slices.SortFunc(all, func(a, b Subscriber) int {
			return cmp.Or(cmp.Compare(b.WaitingBytes, a.WaitingBytes), cmp.Compare(b.Waiting, a.Waiting),
				cmp.Compare(b.Skipped, a.Skipped), cmp.Compare(a.ID, b.ID))
		})
		var n Connections
		for _, x := range all {
			n.add(x)
		}
		then(all, n)
	}
	for i, m := range managers {
		err := m.Do(func() {
			m.Broadcast(func(c *conn.Conn) { // on its loop: in place
				if info, ok := s.hub.Subscriber(c); ok {
					lists[i] = append(lists[i], subscriber(c, info))
				}
			})
			ready()
		})
		if err != nil { // it has no room, or is closed: its subscribers are left out
			ready()
		}
	}
}

func subscriber(c *conn.Conn, info broadcast.SubscriberInfo) Subscriber {
	x := Subscriber{ID: c.ID(), Kind: "events", Patterns: info.Patterns, Delivered: info.Delivered, Skipped: info.Skipped,
		Waiting: info.Waiting, WaitingBytes: info.WaitingBytes, Slow: info.Waiting > 0}
	if at := c.RemoteAddr(); at.IsValid() {
		x.Address = at.String()
	}
	if websocket.Is(c) {
		x.Kind = "websocket"
	}
	return x
}

func (n *Connections) add(x Subscriber) {
	if x.Kind == "websocket" {
		n.WebSocket++
	} else {
		n.Events++
	}
	if x.Slow {
		n.Slow++
	}
}

// stats answers GET /stats.
func (s *server) stats(_ *conn.Conn, m *http.Message) {
	later := m.Later()
	s.figures(listedInStats, func(f Figures) {
		later.Do(func() {
			later.With(func(c *conn.Conn) {
				http.SetHeader(c, "Cache-Control", "no-store")
				mgjson.Reply(c, 200, f)
			})
		})
	})
}

// figuresTopic is the only topic of the console.
const figuresTopic = "figures"

// tick shows the figures to the pages, if there are any.
func (s *server) tick() {
	if s.console.Subscribers(figuresTopic) > 0 {
		s.show()
	}
}

// show publishes the figures.
func (s *server) show() {
	s.figures(listedOnPage, func(f Figures) {
		text, err := json.Marshal(f)
		if err == nil {
			_, err = s.console.Publish(figuresTopic, text)
		}
		if err != nil {
			slog.Warn("the figures could not be shown", "why", err)
		}
	})
}
