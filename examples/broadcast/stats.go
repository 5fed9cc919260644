package main

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"slices"
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
	Subscribers []Subscriber `json:"subscribers"` // those for whom most waits first, then those who were skipped most
}

// Settings are what the command line says.
type Settings struct {
	History int    `json:"history"` // messages of each topic
	Limit   int    `json:"limit"`   // bytes
	Policy  string `json:"policy"`
	Token   bool   `json:"token"` // publishing takes one
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

// figures returns them, with so many topics and subscribers at most.
func (s *server) figures(listed int) Figures {
	now := time.Now()
	f := Figures{Time: now.UnixMilli(), Uptime: now.Sub(s.began).Seconds(), Settings: Settings{History: s.cfg.history,
		Limit: s.cfg.limit, Policy: s.cfg.policy, Token: s.cfg.token != "", MaxBody: maxBody}}
	st := s.hub.Stats()
	f.Hub = HubFigures{Offset: s.hub.Offset(), Published: st.Published, Refused: st.Refused, Delivered: st.Delivered,
		Replayed: st.Replayed, Skipped: st.Skipped, Lost: st.Lost, Disconnected: st.Disconnected, Bytes: st.Bytes,
		FanOut: st.FanOut.Seconds(), Subscriptions: st.Subscriptions, Topics: st.Topics, Kept: st.Kept, KeptBytes: st.KeptBytes,
		Queued: st.Queued, QueuedBytes: st.QueuedBytes}
	topics := s.hub.Topics()
	slices.SortFunc(topics, func(a, b broadcast.TopicInfo) int { return cmp.Compare(b.Offset, a.Offset) })
	f.Topics = make([]Topic, 0, min(len(topics), listed))
	for _, t := range topics[:min(len(topics), listed)] {
		f.Topics = append(f.Topics, Topic(t))
	}
	f.Subscribers = s.subscribers(&f.Connections)
	f.Subscribers = f.Subscribers[:min(len(f.Subscribers), listed)]
	return f
}

// subscribers returns the subscribers, the slowest first, and counts them in n.
func (s *server) subscribers(n *Connections) []Subscriber {
	list := []Subscriber{} // [] in JSON, not null
	s.m.Broadcast(func(c *conn.Conn) {
		info, ok := s.hub.Subscriber(c)
		if !ok {
			return
		}
		x := Subscriber{ID: c.ID(), Kind: "events", Patterns: info.Patterns, Delivered: info.Delivered, Skipped: info.Skipped,
			Waiting: info.Waiting, WaitingBytes: info.WaitingBytes, Slow: info.Waiting > 0}
		if at := c.RemoteAddr(); at.IsValid() {
			x.Address = at.String()
		}
		if websocket.Is(c) {
			x.Kind = "websocket"
			n.WebSocket++
		} else {
			n.Events++
		}
		if x.Slow {
			n.Slow++
		}
		list = append(list, x)
	})
	slices.SortFunc(list, func(a, b Subscriber) int {
		return cmp.Or(cmp.Compare(b.WaitingBytes, a.WaitingBytes), cmp.Compare(b.Waiting, a.Waiting),
			cmp.Compare(b.Skipped, a.Skipped), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// stats answers GET /stats.
func (s *server) stats(c *conn.Conn, _ *http.Message) {
	http.SetHeader(c, "Cache-Control", "no-store")
	mgjson.Reply(c, 200, s.figures(listedInStats))
}

// live answers GET /live: a WebSocket that gets the figures once a second, for the page.
func (s *server) live(c *conn.Conn, m *http.Message) {
	if websocket.Upgrade(c, m, &s.upgrade) != nil {
		return
	}
	if s.console.Subscribers(figuresTopic) == 0 {
		s.show() // what is kept was for a page that has been closed
	}
	if err := s.console.Subscribe(c, figuresTopic); err != nil {
		c.Close()
	}
}

// figuresTopic is the only topic of the console.
const figuresTopic = "figures"

// tick shows the figures to the pages, if there are any.
func (s *server) tick() {
	if s.console.Subscribers(figuresTopic) > 0 {
		s.show()
	}
}

func (s *server) show() {
	text, err := json.Marshal(s.figures(listedOnPage))
	if err == nil {
		_, err = s.console.Publish(figuresTopic, text)
	}
	if err != nil {
		slog.Warn("the figures could not be shown", "why", err)
	}
}
