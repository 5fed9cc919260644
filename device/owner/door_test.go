package owner

import (
	"bufio"
	"encoding/json"
	nethttp "net/http"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// mountHub adds a hub whose topics are for several roles.
func (r *rig) mountHub(g mgr.Group, x *http.Mux) {
	r.hub = broadcast.NewHub(broadcast.Options{Encode: broadcast.JSON, Retain: true}, g)
	x.MustHandle("/hub", r.o.Door(r.hub, "hub", Topics{device.Viewer: {"state", "rooms/#"}, device.Admin: {"logs"}}))
}

// until reads messages until one has part in it, and fails at one that has bad in it.
func (l *line) until(part, bad string) {
	l.t.Helper()
	for {
		text, err := wsutil.ReadServerText(l)
		switch {
		case err != nil:
			l.t.Fatalf("%s: %v", part, err)
		case bad != "" && strings.Contains(string(text), bad):
			l.t.Fatalf("it was sent %s", text)
		case strings.Contains(string(text), part):
			return
		}
	}
}

func (l *line) say(text string) {
	l.t.Helper()
	if err := wsutil.WriteClientText(l, []byte(text)); err != nil {
		l.t.Fatal(err)
	}
}

// user adds a user, and returns a client that has logged in.
func (c *client) user(name, role string) *client {
	c.r.t.Helper()
	c.want(200, "{}", "PUT", "/owner/users/"+name, `{"role":"`+role+`","password":"`+password+`"}`)
	u := c.r.client()
	u.want(200, "{}", "POST", "/owner/login", login(name, password))
	return u
}

// token makes a token of a role for one scope.
func (c *client) token(name, role, scope string) (key string) {
	c.r.t.Helper()
	_, text := c.ask("POST", "/owner/tokens", `{"name":"`+name+`","role":"`+role+`","scopes":["`+scope+`"]}`)
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(text), &made); err != nil || made.Token == "" {
		c.r.t.Fatal(text, err)
	}
	return made.Token
}

func TestDoorHasTheTopicsOfTheRole(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r, ann := owned(t, p)
		for _, topic := range []string{"state", "logs", "rooms/hall"} {
			if _, err := r.hub.Publish(topic, []byte(`"of `+topic+`"`)); err != nil {
				t.Fatal(err)
			}
		}
		viewer, admin := ann.user("bob", "viewer").dialTo("/hub"), ann.dialTo("/hub")
		for _, pattern := range []string{"logs", "#", "+", "+/#", "other"} {
			viewer.say(`{"subscribe":{"` + pattern + `":0}}`)
			viewer.until(`{"refused":"`+pattern+`"`, "of logs")
		}
		viewer.say(`{"subscribe":{"state":0,"rooms/+":0}}`)
		viewer.until("of rooms/hall", "of logs")
		admin.say(`{"subscribe":{"state":0,"logs":0}}`)
		admin.until("of logs", "")
		// Nobody publishes.
		admin.say(`{"publish":"state","data":1,"id":1}`)
		admin.until(`may not publish`, "")
		ann.want(403, "*", "POST", "/hub?topic=state", "1")
	})
}

func TestDoorRefusesStrangers(t *testing.T) {
	r, ann := owned(t, 0)
	key := ann.token("reader", "viewer", "settings")
	for c, status := range map[*client]int{r.client(): 401, r.client("Authorization", "Bearer x"): 401, r.client("Authorization", "Bearer "+key): 403} {
		for _, field := range [][]string{nil, {"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "MTIzNDU2Nzg5MDEyMzQ1Ng=="}} {
			c := r.client(append(field, c.fields...)...)
			c.want(status, "*", "GET", "/hub?topic=state", "")
			c.want(status, "*", "POST", "/hub?topic=state", "1")
		}
	}
	key = ann.token("other", "viewer", "hub")
	l := r.client("Authorization", "Bearer "+key).dialTo("/hub")
	l.say(`{"subscribe":{"state":0}}`)
	l.until(`{"live"`, "")
	r.client("Authorization", "Bearer "+key).want(403, "*", "GET", "/hub?topic=logs", "")
}

// WebSockets and streams of events end with the session that has opened them.
func TestDoorEndsWithTheSession(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r, ann := owned(t, p)
		bob := ann.user("bob", "viewer")
		socket, mine, stream := bob.dialTo("/hub"), ann.dialTo("/hub"), bob.stream("/hub?topic=state")
		mine.say(`{"subscribe":{"state":0}}`)
		mine.until(`{"live"`, "")
		bob.want(200, "{}", "POST", "/owner/logout", "")
		socket.wantClosedWith(ws.StatusCode(broadcast.CloseToken))
		for stream.Scan() {
		}
		if err := stream.Err(); err != nil {
			t.Error(err)
		}
		if _, err := r.hub.Publish("state", []byte(`"later"`)); err != nil {
			t.Fatal(err)
		}
		mine.until("later", "")
		mine.close()
	})
}

// A socket whose role changes ends: its rights are those of the role that it came with.
func TestDoorEndsWithTheRole(t *testing.T) {
	_, ann := owned(t, 0)
	socket := ann.user("bob", "admin").dialTo("/hub")
	ann.want(200, "{}", "PUT", "/owner/users/bob", `{"role":"viewer"}`)
	socket.wantClosedWith(ws.StatusCode(broadcast.CloseToken))
}

// Closed sockets are forgotten.
func TestDoorForgetsWhatHasEnded(t *testing.T) {
	r, ann := owned(t, 0)
	ann.dialTo("/hub").close()
	resp := ann.open("/hub?topic=state")
	resp.Body.Close()
	ann.want(403, "*", "GET", "/hub?topic=other", "")
	r.wantSockets(0)
}

// open begins a stream of events.
func (c *client) open(path string) *nethttp.Response {
	c.r.t.Helper()
	req, err := nethttp.NewRequest("GET", c.r.url+path, nil)
	if err != nil {
		c.r.t.Fatal(err)
	}
	req.Header.Set("Cookie", c.cookie)
	resp, err := nethttp.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != 200 {
		c.r.t.Fatal(resp, err)
	}
	c.r.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (c *client) stream(path string) *bufio.Scanner { return bufio.NewScanner(c.open(path).Body) }
