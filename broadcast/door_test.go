package broadcast

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/seed4930a636/mangusta/conn"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// newDoorRig is newRig with a Door at /hub.
func newDoorRig(t *testing.T, p mgr.Poller, hub Options, door DoorOptions) *rig {
	hub.Encode, hub.EncodeEvent = Framed, func(b []byte, m *Message) (string, []byte) { return "", appendJSON(b, m) }
	return newRig(t, p, hub, func(r *rig) { r.door = NewDoor(r.hub, door) })
}

// enter opens a WebSocket at the Door.
func (r *rig) enter(query string) *client {
	r.t.Helper()
	return r.open("GET /hub"+query+" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", false)
}

// relative writes the offsets of a message as distances from the first one of the hub.
func (r *rig) relative(s string) string {
	for i := range uint64(30) {
		s = strings.ReplaceAll(s, fmt.Sprint(r.hub.first+i), fmt.Sprintf("+%d", i))
	}
	return s
}

// wantRelative reads messages and compares them, with offsets as relative writes them.
func (c *client) wantRelative(r *rig, messages ...string) {
	c.t.Helper()
	for _, want := range messages {
		got, err := c.read()
		if err != nil {
			c.t.Fatalf("%v instead of %q", err, want)
		}
		if got = r.relative(got); got != want {
			c.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestAClientOfTheDoorSubscribesByMessages(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newDoorRig(t, p, Options{History: History{Count: 2}}, DoorOptions{})
		first := r.publish("a/b", "1")
		c := r.enter("")
		c.say(`{"subscribe":{"a/+":null}}`)
		c.wantRelative(r, `{"live":+1}`)
		r.publish("a/b", `{"x":2}`)
		c.wantRelative(r, `{"topic":"a/b","offset":+2,"data":{"x":2}}`)
		c.say(`{"subscribe":{"c":0,"a/b":null}}`)
		c.wantRelative(r, `{"live":+2}`)
		r.publish("c", "\xff\n\x00")
		c.wantRelative(r, "{\"topic\":\"c\",\"offset\":+3}\n\xff\n\x00")
		c.say(`{"unsubscribe":["a/+","a/b","no"],"ping":true}`)
		c.wantRelative(r, `{"pong":+3}`)
		r.publish("a/b", "3")
		r.publish("c", "text")
		c.wantRelative(r, `{"topic":"c","offset":+5,"data":"text"}`)

		// Another one goes on from the first message: one is kept no longer.
		r.publish("a/b", "4")
		c = r.enter("")
		c.say(fmt.Sprintf(`{"subscribe":{"a/b":%d,"c":null}}`, first.Offset))
		c.wantRelative(r, `{"missed":1}`, `{"topic":"a/b","offset":+4,"data":3}`, `{"topic":"a/b","offset":+6,"data":4}`, `{"live":+6}`)
		c = r.enter("")
		c.say(`{"subscribe":{"a/b":12345}}`)
		c.wantRelative(r, `{"missed":2,"reset":true}`, `{"topic":"a/b","offset":+4,"data":3}`, `{"topic":"a/b","offset":+6,"data":4}`, `{"live":+6}`)
	})
}

// Without history a client is told what it missed, and only then that it has all.
func TestTheDoorSaysLiveAfterMissed(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newDoorRig(t, p, Options{}, DoorOptions{})
		at := r.publish("a", "1")
		r.publish("a", "2")
		c := r.enter("")
		c.say(fmt.Sprintf(`{"subscribe":{"a":%d,"b":null}}`, at.Offset))
		c.wantRelative(r, `{"missed":1}`, `{"live":+2}`)
		for _, query := range []string{fmt.Sprintf("topic=a&since=%d", at.Offset), fmt.Sprintf("since=%d&topic=a", at.Offset)} {
			s := r.open("GET /hub?"+query+" HTTP/1.1\r\nHost: x\r\n\r\n", true)
			s.wantRelative(r, `{"missed":1}`)
			if got := r.relative(s.id); got != "+1" {
				t.Errorf("the first id is %s", got)
			}
			s.wantRelative(r, `{"live":+2}`)
			if got := r.relative(s.id); got != "+2" {
				t.Errorf("the id of live is %s", got)
			}
		}
	})
}

// Messages that wait for a slow client have not been sent. If the Door said "live" past it, the
// client would go on after it.
func TestLiveDoesNotCoverWhatWaitsForASlowClient(t *testing.T) {
	f := newFakes(t, Options{Encode: JSON, History: History{Count: 5}})
	c, _ := f.open()
	other, _ := f.open()
	f.subscribe(c, "a", SubscribeOptions{Window: 1})
	u := f.hub.subscriber(c)
	waiting, sent := 0, uint64(0)
	f.subscribe(other, "b", SubscribeOptions{Filter: func(*Message) bool { // amid the turn that distributes all
		waiting, sent = u.waiting, u.sentUpTo()
		return true
	}})
	first, _ := f.hub.Publish("a", []byte("fills the window"))
	f.hub.Publish("a", []byte("waits"))
	f.hub.Publish("b", nil)
	f.turn(func() {})
	if waiting != 1 || sent != first.Offset {
		t.Errorf("%d messages wait, and what is sent goes up to %d, want 1 and %d", waiting, sent, first.Offset)
	}
	if f.turn(func() { sent = u.sentUpTo() }); sent != f.hub.Offset() {
		t.Errorf("later it goes up to %d, want %d", sent, f.hub.Offset())
	}
}

func TestEventsOfTheDoorTakePatternsWithTheirOwnSince(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newDoorRig(t, p, Options{History: History{Count: 9}}, DoorOptions{AliveInterval: 50 * time.Millisecond})
		r.publish("a", "1")
		r.publish("b", "2")
		r.publish("c", "3")
		s := r.open(fmt.Sprintf("GET /hub?topic=a&since=0&topic=b&since=%d&topic=c&since= HTTP/1.1\r\nHost: x\r\n\r\n", r.hub.Offset()), true)
		message := func() string {
			for {
				text, err := s.readAny()
				if err != nil {
					t.Fatal(err)
				}
				if !strings.HasPrefix(text, `{"live"`) {
					return r.relative(text)
				}
			}
		}
		if got := message(); got != `{"topic":"a","offset":+1,"data":1}` {
			t.Error(got)
		}
		if got, err := s.readAny(); r.relative(got) != `{"live":+3}` || err != nil {
			t.Error(got, err)
		}
		r.publish("c", "4")
		if got := message(); got != `{"topic":"c","offset":+4,"data":4}` {
			t.Error(got)
		}
		// A sign of life says how far the client is.
		for range 2 {
			if got, err := s.readAny(); r.relative(got) != `{"live":+4}` || err != nil {
				t.Error(got, err)
			}
		}
	})
}

// readAny returns the data of the next event, whatever its type.
func (c *client) readAny() (string, error) {
	data := ""
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return "", err
		}
		switch name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ": "); {
		case name == "id":
			c.id = value
		case name == "data":
			data = value
		case name == "" && data != "":
			return data, nil
		}
	}
}

// guarded is a Door with tokens: "all" may do everything, "a" may have topics below a, "brief" ends
// soon.
var guarded = DoorOptions{Authorize: func(r *mghttp.Request, token string) (Rights, error) {
	below := func(s string) bool { return strings.HasPrefix(s, "a/") }
	switch token {
	case "all":
		return Rights{Publish: func(string) bool { return true }}, nil
	case "a":
		return Rights{Subscribe: below, Publish: below, Until: time.Now().Add(time.Hour)}, nil
	case "brief":
		return Rights{Until: time.Now().Add(200 * time.Millisecond)}, nil
	case "old":
		return Rights{Until: time.Now().Add(-time.Second)}, nil
	}
	return Rights{}, errors.New("the token is wrong")
}, TokenTimeout: 200 * time.Millisecond}

func TestTheDoorGuardsWithTokens(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newDoorRig(t, p, Options{}, guarded)
		c := r.enter("")
		c.say(`{"token":"a","subscribe":{"a/#":null,"b":null,"#/a":null}}`)
		for i := range 4 {
			got, _ := c.read()
			want := [...]string{`{"token":{"expires":`, `{"refused":"b","error":"this client may not subscribe to it"}`,
				`{"refused":"#/a","error":"broadcast: malformed pattern"}`, `{"live":`}[i]
			if !strings.HasPrefix(got, want) {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
		c.say(`{"publish":"b","data":1,"id":7}`)
		c.want(`{"reply":7,"error":"this client may not publish to it"}`)
		c.say(`{"publish":"a/+","data":1,"id":8}`)
		c.want(`{"reply":8,"error":"broadcast: malformed topic"}`)
		c.say(`{"publish":"a/b","id":9}`)
		c.want(`{"reply":9,"error":"broadcast: there is neither data nor base64"}`)
		c.say(`{"publish":"a/b","data":{"x": 1},"id":9}`)
		c.wantRelative(r, `{"reply":9,"offset":+1,"subscribers":1}`, `{"topic":"a/b","offset":+1,"data":{"x": 1}}`)
		c.say(`{"publish":"a/b","base64":"/w=="}`)
		c.wantRelative(r, "{\"topic\":\"a/b\",\"offset\":+2}\n\xff")

		// Another token in place.
		c.say(`{"token":"all","subscribe":{"b":null}}`)
		c.wantRelative(r, `{"token":{}}`, `{"live":+2}`)
		c.say(`{"token":"a"}`)
		c.read()
		c.want(`{"refused":"b","error":"this client may not subscribe to it"}`)
		r.publish("b", "not for it")
		r.publish("a/b", "3")
		c.wantRelative(r, `{"topic":"a/b","offset":+4,"data":3}`)
		c.say(`{"token":"brief"}`)
		c.read()
		if got := c.end(); got != "close 4401" {
			t.Errorf("its rights are over: %s", got)
		}

		for text, want := range map[string]string{
			`{"token":"wrong"}`:                 "close 4401",
			`{"token":"old"}`:                   "close 4401",
			`{"token":12}`:                      "close 4401",
			`{"subscribe":{"a/b":null}}`:        "close 4401",
			`{}`:                                "close 4401",
			`[]`:                                "close 1003",
			`{"token":"all"`:                    "close 1003",
			``:                                  "close 1003",
			`{"token":"all","subscribe":[1,2]}`: "",
		} {
			c := r.enter("")
			c.say(text)
			if want != "" {
				if got := c.end(); got != want {
					t.Errorf("%s: %s, want %s", text, got, want)
				}
				continue
			}
			c.wantRelative(r, `{"token":{}}`, `{"live":+4}`)
		}
		if got := r.enter("").end(); got != "close 4401" {
			t.Errorf("no token has come: %s", got)
		}
		c = r.enter("?access_token=all")
		c.say(`{"subscribe":{"b":null}}`)
		c.wantRelative(r, `{"live":+4}`)

		s := r.open("GET /hub?topic=a/b&access_token=brief HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", true)
		if _, err := io.Copy(io.Discard, s.Conn); err != nil {
			t.Errorf("the stream does not end with the rights: %v", err)
		}
	})
}

func TestTheDoorRefusesRequests(t *testing.T) {
	r := newDoorRig(t, mgr.Auto, Options{}, guarded)
	upgrade := "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	many := ""
	for i := range 33 {
		many += fmt.Sprintf("topic=%d&", i)
	}
	for _, tt := range []struct {
		line, fields string
		status       int
		body         string
	}{
		{"PUT /hub", "", 405, "405"},
		{"GET /hub?topic=a/b", "", 401, `{"error":"the token is wrong"}`},
		{"HEAD /hub?topic=a/b", "", 401, ""},
		{"HEAD /hub?topic=a/b&access_token=all", "", 200, ""},
		{"GET /hub?access_token=all", "", 400, `{"error":"no topic: ask for ?topic=PATTERN"}`},
		{"GET /hub?access_token=all&topic=%23/a", "", 400, `is no pattern`},
		{"GET /hub?access_token=all&topic=%zz", "", 400, `malformed`},
		{"GET /hub?access_token=all&" + many, "", 400, `more than 32 topics`},
		{"GET /hub?access_token=a&topic=b", "", 403, `may not have`},
		{"GET /hub", upgrade + "Authorization: Bearer x\r\n", 401, `{"error":"the token is wrong"}`},
		{"GET /hub", upgrade + "Authorization: Bearer all\r\nOrigin: http://other\r\n", 403, ``},
		{"POST /hub?topic=a/b", "", 401, `{"error":"the token is wrong"}`},
		{"POST /hub?topic=a/b&access_token=all", "Origin: http://other\r\n", 403, `another origin`},
		{"POST /hub?topic=a/b&access_token=all", "Sec-Fetch-Site: cross-site\r\n", 403, `another origin`},
		{"POST /hub?topic=a/b&access_token=all", "Origin: http://x\r\n", 200, `{"offset":`},
		{"POST /hub?topic=a/b&access_token=all", "", 200, `"subscribers":0}`},
		{"POST /hub?topic=b&access_token=a", "", 403, `may not publish`},
		{"POST /hub?topic=&access_token=all", "", 400, `is no topic`},
	} {
		c := r.dial()
		fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n%s\r\n", tt.line, tt.fields)
		resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: strings.Fields(tt.line)[0]})
		if err != nil {
			t.Fatal(tt.line, err)
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.body) {
			t.Errorf("%s %q: %d %s", tt.line, tt.fields, resp.StatusCode, body)
		}
	}
}

// A page that is hidden asks for less, and for the newest when it is looked at again.
func TestAClientAsksForAnInterval(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newDoorRig(t, p, Options{}, DoorOptions{})
		c := r.enter("")
		c.say(`{"subscribe":{"a":null},"interval":9999999}`)
		c.wantRelative(r, `{"live":+0}`)
		c.say(`{"subscribe":{"b":null}}`)
		c.wantRelative(r, `{"live":+0}`)
		for i := range 3 {
			r.publish("a", fmt.Sprint(i))
			r.publish("b", fmt.Sprint(i))
		}
		c.wantRelative(r, `{"topic":"a","offset":+1,"data":0}`)
		r.idle() // all of them have come to the loop, and wait there
		c.say(`{"ping":true}`)
		c.wantRelative(r, `{"pong":0}`)
		c.say(`{"interval":0}`)
		c.wantRelative(r, `{"topic":"a","offset":+5,"data":2}`, `{"topic":"b","offset":+6,"data":2}`)
		r.publish("a", "3")
		r.publish("a", "4")
		c.wantRelative(r, `{"topic":"a","offset":+7,"data":3}`, `{"topic":"a","offset":+8,"data":4}`)
	})
}

func TestAClientAsksForPatches(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		for _, keep := range []int{0, 9} { // without history there is nothing to compare with
			r := newDoorRig(t, p, Options{History: History{Count: keep}}, DoorOptions{})
			c := r.enter("")
			c.say(`{"delta":true,"subscribe":{"a":null}}`)
			c.wantRelative(r, `{"live":+0}`)
			const one, two = `{"name":"a rather long name that stays","n":1}`, `{"name":"a rather long name that stays","n":2}`
			r.publish("a", one)
			r.publish("a", two)
			c.wantRelative(r, `{"topic":"a","offset":+1,"data":`+one+`}`)
			if keep == 0 {
				c.wantRelative(r, `{"topic":"a","offset":+2,"data":`+two+`}`)
			} else {
				c.wantRelative(r, `{"topic":"a","offset":+2,"from":+1,"patch":{"n":2}}`)
			}
		}
	})
}

func TestAClientWithTooManyPatternsIsTold(t *testing.T) {
	r := newDoorRig(t, mgr.Auto, Options{}, DoorOptions{MaxPatterns: 2})
	c := r.enter("")
	c.say(`{"subscribe":{"a":null,"b":null,"c":null}}`)
	c.wantRelative(r, `{"refused":"c","error":"broadcast: the connection has too many subscriptions"}`, `{"live":+0}`)
	c.say(`{"subscribe":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}}`)
	if got := c.end(); got != "close 1008" {
		t.Error(got)
	}
	c = r.enter("")
	c.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewBinaryFrame([]byte("{\"subscribe\":{\"a\":null}}")))))
	c.wantRelative(r, `{"live":+0}`)
}

// The Door's connections go on to the program's handler with what is not the Door's.
func TestTheDoorHandsEventsOn(t *testing.T) {
	ends := make(chan string, 9)
	r := newDoorRig(t, mgr.Auto, Options{}, DoorOptions{Events: func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Control:
			ends <- fmt.Sprint(ev.Op, " ", ev.Code)
		case *conn.Close:
			ends <- "close"
		}
	}})
	c := r.enter("")
	c.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")))))
	c.end()
	for _, want := range []string{"close 1000", "close"} {
		select {
		case got := <-ends:
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		case <-time.After(patience):
			t.Fatal("no", want)
		}
	}
}

// The reader of JSON agrees with encoding/json.
func TestMembersAndStringsOfJSON(t *testing.T) {
	for _, text := range []string{`{}`, ` { "a" : [1, {"b": "}"}] , "\u00e9\ud83d\ude00\ud83d\n\/": "x\ud83d\u0041" }`, `{"a":1,"b":null,"c":"\\\""}`} {
		if !validJSON([]byte(text)) {
			t.Fatal(text)
		}
		var want map[string]json.RawMessage
		json.Unmarshal([]byte(text), &want)
		n := 0
		for name, value := range members([]byte(text)) {
			n++
			if string(want[name]) != string(value) {
				t.Errorf("%s: %q is %s", text, name, value)
			}
			var s string
			if json.Unmarshal(value, &s) == nil && value[0] == '"' {
				if got, ok := unquote(value); got != s || !ok {
					t.Errorf("%s is %q, want %q", value, got, s)
				}
			}
		}
		if n != len(want) {
			t.Errorf("%s: %d members", text, n)
		}
	}
	for _, bad := range []string{``, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{1:2}`, `[`, `[1`, `[1,`, `"\u12"`, `"\x"`, `"\`} {
		for range members([]byte(bad)) { // no panic
		}
		for range elements([]byte(bad)) {
		}
		unquote([]byte(bad))
	}
}

// A Door serves the connections of its hub's managers only.
func TestTheDoorRefusesConnectionsOfAForeignManager(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		m, err := mgr.New(mgr.Options{Poller: p})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		foreign := NewHub(Options{Encode: Framed}, m)
		var why []error
		refused := func(_ *conn.Conn, _ *mghttp.Request, err error) { why = append(why, err) }
		r := newRig(t, p, Options{}, func(r *rig) { r.door = NewDoor(foreign, DoorOptions{Refused: refused}) })
		r.wantStatus("GET /hub?topic=a", 500)
		r.wantStatus("POST /hub?topic=a", 500)
		r.wantStatus("GET /hub HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX: ", 500)
		r.do(func() {
			for _, err := range why {
				if !errors.Is(err, ErrForeign) {
					t.Error(err)
				}
			}
			if len(why) != 3 || foreign.Stats().Subscriptions != 0 {
				t.Errorf("%d requests were refused, %d subscriptions", len(why), foreign.Stats().Subscriptions)
			}
		})
	})
}

// Options.Presence may end the subscriptions of a stream of events before the Door looks at them.
func TestEventsEndIfPresenceEndsTheSubscription(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		var r *rig
		var log panics
		newRig(t, p, Options{Encode: Framed, Presence: func(p Presence) {
			if p.Joined {
				r.hub.UnsubscribeAll(r.m.Lookup(p.Conn))
			}
		}}, func(x *rig) {
			r, x.log = x, &log
			x.door = NewDoor(x.hub)
		})
		c := r.dial()
		io.WriteString(c, "GET /hub?topic=a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		reply, err := io.ReadAll(c)
		if err != nil || !strings.HasSuffix(string(reply), "\r\n0\r\n\r\n") {
			t.Errorf("%q, %v", reply, err)
		}
		r.do(func() {
			if s := r.m.Stats(); s.Panics != 0 {
				t.Errorf("%d panics", s.Panics)
			}
		})
	})
}
