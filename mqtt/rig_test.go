package mqtt_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/mqtt"
	"github.com/seed4930a636/mangusta/mqtt/broker"
)

const patience = time.Minute

// A place is a broker of some kind.
type place struct {
	name string
	dial func(ctx context.Context) (net.Conn, error)
}

// eachBroker runs f with the embedded broker, and with Mosquitto if it is there.
func eachBroker(t *testing.T, f func(t *testing.T, p place)) {
	t.Run("embedded", func(t *testing.T) {
		b, err := broker.Start(broker.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		f(t, place{"embedded", b.Dial})
	})
	t.Run("mosquitto", func(t *testing.T) {
		q := newMosquitto(t)
		q.start()
		f(t, place{"mosquitto", q.dial})
	})
}

// A mosquitto is Debian's broker, on a unix socket; it can be killed and started again.
type mosquitto struct {
	t      testing.TB
	binary string
	dir    string
	cmd    *exec.Cmd
}

func newMosquitto(t testing.TB) *mosquitto {
	t.Helper()
	binary, err := exec.LookPath("mosquitto")
	if err != nil {
		binary = "/usr/sbin/mosquitto"
	}
	if _, err := os.Stat(binary); err != nil {
		t.Skip("mosquitto is not installed")
	}
	dir, err := os.MkdirTemp("", "mosq") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf := fmt.Sprintf("listener 0 %s/s\nallow_anonymous true\npersistence true\npersistence_location %s/\nautosave_interval 1\nautosave_on_changes true\nmax_queued_messages 0\nlog_dest none\nuser root\n", dir, dir)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return &mosquitto{t: t, binary: binary, dir: dir}
}

func (q *mosquitto) start() {
	q.t.Helper()
	q.cmd = exec.Command(q.binary, "-c", filepath.Join(q.dir, "conf"))
	if err := q.cmd.Start(); err != nil {
		q.t.Fatal(err)
	}
	q.t.Cleanup(q.kill)
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) { // it does not say when it is ready
		if c, err := q.dial(context.Background()); err == nil {
			c.Close()
			return
		}
		if time.Since(began) > patience {
			q.t.Fatal("mosquitto does not listen")
		}
	}
}

func (q *mosquitto) kill() {
	if q.cmd != nil {
		q.cmd.Process.Kill()
		q.cmd.Wait()
		q.cmd = nil
		os.Remove(filepath.Join(q.dir, "s"))
	}
}

func (q *mosquitto) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(q.dir, "s"))
}

// A node is a hub with a bridge, on a loop that runs.
type node struct {
	t    *testing.T
	hub  *broadcast.Hub
	m    *mgr.Manager
	b    *mqtt.Bridge
	seen chan string // "TOPIC DATA" of each message of the hub
}

func newNode(t *testing.T, o mqtt.Options, hubOpts broadcast.Options) *node {
	t.Helper()
	n := &node{t: t, seen: make(chan string, 100_000)}
	var err error
	if n.m, err = mgr.New(mgr.Options{}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.m.Run(context.Background())
	}()
	o.Log = slog.New(slog.DiscardHandler)
	if n.b, err = mqtt.New(o); err != nil {
		t.Fatal(err)
	}
	hubOpts.Tap = func(m *broadcast.Message, id string) {
		n.b.Tap(m, id)
		text := m.Topic + " " + string(m.Data)
		if m.Deleted {
			text = m.Topic + " deleted"
		}
		n.seen <- text
	}
	n.hub = broadcast.NewHub(hubOpts, n.m)
	if err := n.b.Start(n.hub); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		n.b.Close(ctx)
		n.m.Close()
		<-ended
	})
	n.until("connected", func(s mqtt.Stats) bool { return s.Connected })
	return n
}

// until waits for figures.
func (n *node) until(what string, ok func(s mqtt.Stats) bool) mqtt.Stats {
	n.t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) { // the figures tell nobody when they change
		s := n.b.Stats()
		if ok(s) {
			return s
		}
		if time.Since(began) > patience {
			n.t.Fatalf("not %s: %+v", what, s)
		}
	}
}

func (n *node) next() string {
	n.t.Helper()
	select {
	case text := <-n.seen:
		return text
	case <-time.After(patience):
		n.t.Fatalf("the hub does not get the next message: %+v", n.b.Stats())
		return ""
	}
}

func (n *node) want(texts ...string) {
	n.t.Helper()
	for _, text := range texts {
		if got := n.next(); got != text {
			n.t.Fatalf("the hub has %q, want %q", got, text)
		}
	}
}

func (n *node) publish(topic, data string) {
	n.t.Helper()
	if _, err := n.hub.Publish(topic, []byte(data)); err != nil {
		n.t.Fatal(err)
	}
	n.want(topic + " " + data)
}

// A client is somebody else at the broker.
type client struct {
	t   testing.TB
	cm  *autopaho.ConnectionManager
	got chan *paho.Publish
}

var clients int

func newClient(t testing.TB, p place, filters ...string) *client {
	t.Helper()
	clients++
	c := &client{t: t, got: make(chan *paho.Publish, 100_000)}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	subscribed := make(chan error, 10)
	cm, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{{Scheme: "mqtt", Host: "x"}}, KeepAlive: 30,
		AttemptConnection: func(ctx context.Context, _ autopaho.ClientConfig, _ *url.URL) (net.Conn, error) { return p.dial(ctx) },
		ReconnectBackoff:  autopaho.NewConstantBackoff(50 * time.Millisecond),
		OnConnectionUp: func(cm *autopaho.ConnectionManager, _ *paho.Connack) {
			go func() {
				s := &paho.Subscribe{}
				for _, f := range filters {
					s.Subscriptions = append(s.Subscriptions, paho.SubscribeOptions{Topic: f, QoS: 1, RetainAsPublished: true})
				}
				var err error
				if len(filters) > 0 {
					_, err = cm.Subscribe(ctx, s)
				}
				select {
				case subscribed <- err:
				default:
				}
			}()
		},
		ClientConfig: paho.ClientConfig{ClientID: "client" + strconv.Itoa(clients),
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
				c.got <- r.Packet
				return true, nil
			}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-subscribed; err != nil {
		t.Fatal(err)
	}
	c.cm = cm
	return c
}

func (c *client) send(topic, data string, qos byte, retain bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.cm.Publish(ctx, &paho.Publish{Topic: topic, Payload: []byte(data), QoS: qos, Retain: retain}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) next() *paho.Publish {
	c.t.Helper()
	select {
	case p := <-c.got:
		return p
	case <-time.After(patience):
		c.t.Fatal("the client does not get the next message")
		return nil
	}
}

func (c *client) want(texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		p := c.next()
		got := p.Topic + " " + string(p.Payload)
		if p.Retain {
			got += " retained"
		}
		if got != text {
			c.t.Fatalf("the client gets %q, want %q", got, text)
		}
	}
}
