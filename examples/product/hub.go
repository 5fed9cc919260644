package main

import (
	"encoding/json"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/owner"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// The topics of the hub. A page gets them by mangusta.js from /hub: the newest message of each at
// once, and then each change. To change settings it uses REST or JSON-RPC, below /api.
const (
	topicState   = "state"   // the settings and the readings, without secrets
	topicUpdate  = "update"  // the Status of the updater
	topicNetwork = "network" // network.Status
	topicLogs    = "logs"    // the lines of the log, one message each
)

var topicsOf = owner.Topics{
	device.Viewer: {topicState, topicUpdate, topicNetwork},
	device.Admin:  {topicLogs},
}

func newHub(m *mgr.Manager) *broadcast.Hub {
	return broadcast.NewHub(broadcast.Options{
		Encode: broadcast.Framed, Retain: true,
		// For a page whose link was cut for a moment.
		History: broadcast.History{Count: 64, Bytes: 64 << 10, Total: 1 << 20},
	}, m)
}

func (p *product) serveHub(x *http.Mux) {
	x.MustHandle("GET /hub", p.owner.Door(p.hub, "hub", topicsOf))
	p.logs.Mount(x, "/logs", p.owner.Allow(device.Admin, "logs"))
	p.logs.Publish(p.m, p.hub, topicLogs)
	p.watchNetwork()
}

// publish publishes v as JSON.
func (p *product) publish(topic string, v any) {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = p.hub.Publish(topic, text)
	}
	if err != nil {
		p.log.Error("pages do not get a message", "topic", topic, "why", err)
	}
}
