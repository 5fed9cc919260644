package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	nethttp "net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/mqtt"
	"github.com/seed4930a636/mangusta/mqtt/broker"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

func TestMain(m *testing.M) { programtest.Main(m, main) }

// A home has an MQTT client at the broker, as Home Assistant has: it gets what is retained.
type home struct {
	t   *testing.T
	hub *broadcast.Hub

	mu   sync.Mutex
	last map[string]string // by topic; one that was deleted is not in it
}

func newHome(t *testing.T, url, client string) *home {
	t.Helper()
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &home{t: t, last: map[string]string{}}
	quiet := slog.New(slog.DiscardHandler)
	b, err := mqtt.New(mqtt.Options{
		URL: url, Client: client, Session: -1, Log: quiet,
		In: []mqtt.In{{Filter: "#", QoS: 1}}, Out: []mqtt.Out{{Pattern: "+/set/+", QoS: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.hub = broadcast.NewHub(broadcast.Options{Retain: true, Tap: func(m *broadcast.Message, id string) {
		b.Tap(m, id)
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.last[m.Topic] = string(m.Data); m.Deleted {
			delete(h.last, m.Topic)
		}
	}}, m)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); m.Run(ctx) }()
	if err := b.Start(h.hub); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close(ctx)
		cancel()
		<-ended
		m.Close()
	})
	return h
}

// topics returns the last message of each topic.
func (h *home) topics() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string]string{}
	for topic, text := range h.last {
		all[topic] = text
	}
	return all
}

func (h *home) until(what string, is func(map[string]string) bool) {
	h.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if all := h.topics(); is(all) {
			return
		} else if time.Now().After(end) {
			h.t.Fatalf("waited for %s, and have %q", what, all)
		}
	}
}

// want waits until the last message of a topic is text.
func (h *home) want(topic, text string) {
	h.t.Helper()
	h.until(topic+" "+text, func(all map[string]string) bool { return all[topic] == text })
}

func (h *home) say(topic, text string) {
	h.t.Helper()
	if _, err := h.hub.Publish(topic, []byte(text)); err != nil {
		h.t.Fatal(err)
	}
}

// The whole life of a device in Home Assistant: found, shown, controlled, cut off, back, removed.
func TestLife(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		own, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { own.Close() })
		url := "mqtt://" + own.Addr()
		args := []string{"-listen", "127.0.0.1:0", "-broker", url, "-id", "b1", "-poller", poller}
		p := programtest.Start(t, args...)
		first := newHome(t, url, "first")
		first.want("b1/state/target", "55")

		// One that comes later gets all of it: it is retained.
		h := newHome(t, url, "second")
		h.until("six entities and a button", func(all map[string]string) bool {
			n := 0
			for topic := range all {
				if strings.HasPrefix(topic, "homeassistant/") {
					n++
				}
			}
			return n == 7
		})
		h.want("b1/status", "online")
		h.until("the states", func(all map[string]string) bool { return len(all) == 7+6+1 })
		for topic, text := range h.topics() {
			if !strings.HasPrefix(topic, "homeassistant/") {
				continue
			}
			var c struct {
				UniqueID string `json:"unique_id"`
				State    string `json:"state_topic"`
				Status   string `json:"availability_topic"`
				Device   struct{ Identifiers []string }
			}
			if err := json.Unmarshal([]byte(text), &c); err != nil || c.UniqueID == "" || c.Status != "b1/status" || len(c.Device.Identifiers) != 1 {
				t.Errorf("%s: %s %v", topic, text, err)
			}
			if c.State != "" && h.topics()[c.State] == "" {
				t.Errorf("%s: its state %s has no value", topic, c.State)
			}
		}

		h.say("b1/set/target", "60.5")
		h.want("b1/state/target", "60.5")
		h.say("b1/set/mode", "heat")
		h.want("b1/state/mode", "heat")
		h.want("b1/state/readings-burning", "ON")
		h.say("b1/set/action-flush", "PRESS")
		h.want("b1/state/pump", "ON")
		h.want("b1/state/pump", "OFF")
		req, err := nethttp.NewRequest("PATCH", "http://"+p.Addr+"/api/settings", strings.NewReader(`{"target": 40}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := nethttp.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("%s %s", resp.Status, text)
		}
		h.want("b1/state/target", "40")

		p.Signal(syscall.SIGKILL) // the broker says it
		h.want("b1/status", "offline")
		p = programtest.Start(t, args...)
		h.want("b1/status", "online")
		h.want("b1/state/target", "55")
		if err := p.Terminate(patience); err != nil {
			t.Error(err)
		}
		h.want("b1/status", "offline")

		if out, err := programtest.Run(t, "-broker", url, "-id", "b1", "-remove", "-poller", poller); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		h.until("nothing but the status", func(all map[string]string) bool {
			for topic := range all {
				if strings.HasPrefix(topic, "homeassistant/") || strings.HasPrefix(topic, "b1/state/") {
					return false
				}
			}
			return true
		})
	})
}

// mosquitto_sub reads what Home Assistant would.
func TestMosquittoReadsTheDiscovery(t *testing.T) {
	if _, err := exec.LookPath("mosquitto_sub"); err != nil {
		t.Skip("SKIPPED, NOT TESTED: there is no mosquitto_sub here (apt-get install mosquitto-clients)")
	}
	own, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.Close() })
	programtest.Start(t, "-listen", "127.0.0.1:0", "-broker", "mqtt://"+own.Addr(), "-id", "b2")
	host, port, _ := strings.Cut(own.Addr(), ":")
	out, err := exec.CommandContext(t.Context(), "mosquitto_sub", "-h", host, "-p", port, "-W", "20", "-C", "7", "-F", "%r %t %p", "-t", "homeassistant/+/b2/+/config").CombinedOutput()
	if err != nil || bytes.Count(out, []byte(`"availability_topic":"b2/status"`)) != 7 {
		t.Errorf("%v %s", err, out)
	}
}
