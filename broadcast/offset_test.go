package broadcast

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// The bound of this file is JavaScript's Number.MAX_SAFE_INTEGER: a page takes two offsets above it
// for one.

func TestInjectRefusesAnOffsetThatNoPageCanHold(t *testing.T) {
	f := newFakes(t, Options{History: History{Count: 10}})
	for _, offset := range []uint64{MaxOffset + 1, 1 << 62, 1<<64 - 1} {
		if err := f.hub.Inject(offset, "a", nil, time.Time{}); err != ErrOffset {
			t.Errorf("%d: %v", offset, err)
		}
	}
	if err := f.hub.Inject(MaxOffset, "a", []byte("last"), time.Time{}); err != nil {
		t.Error(err)
	}
	refused := f.hub.Stats().Refused
	if r, err := f.hub.Publish("a", []byte("beyond")); err != ErrOffset || r.Offset != 0 {
		t.Errorf("Publish after the last offset: %+v, %v", r, err)
	}
	if _, err := f.hub.Delete("a"); err != ErrOffset {
		t.Errorf("Delete after the last offset: %v", err)
	}
	if n := f.hub.Stats().Refused - refused; n != 2 {
		t.Errorf("%d are counted as refused", n)
	}
}

// An engine whose stream has come to such an offset is as good as down: Publish says why, and the
// subscribers are told that something is missing. A new stream mends it.
func TestAnEngineBeyondTheLastOffsetIsDown(t *testing.T) {
	e := newSinkOf(t)
	f := newFakes(t, Options{Engine: e, History: History{Count: 10}})
	s := <-e.sink
	down := func(why string) {
		t.Helper()
		state := f.hub.Engine()
		if state.Up || !errors.Is(state.Err, ErrOffset) {
			t.Errorf("%s: %+v", why, state)
		}
		if _, err := f.hub.Publish("a", nil); !errors.Is(err, ErrDown) || !errors.Is(err, ErrOffset) {
			t.Errorf("%s: Publish: %v", why, err)
		}
	}
	s.Begin(Info{Epoch: MaxOffset + 1, First: MaxOffset + 2, Last: MaxOffset + 1})
	down("an epoch too high")
	s.Begin(Info{Epoch: base, First: base + 1, Last: 1 << 63})
	down("a last offset too high")
	s.Begin(Info{Epoch: base, First: base + 1, Last: base})
	if !f.hub.Engine().Up {
		t.Error("it is not up with a good stream")
	}
	_, w := f.subscriber("a", SubscribeOptions{TellMissed: true})
	s.Deliver(stored(1, "a"))
	refused := f.hub.Stats().Refused
	s.Deliver(&Entry{Offset: MaxOffset + 1, Topic: "a", Time: time.Now()})
	s.Deliver(&Entry{Offset: 1<<64 - 1, Topic: "a", Time: time.Now()})
	if n := f.hub.Stats().Refused - refused; n != 2 {
		t.Errorf("%d entries are counted as refused", n)
	}
	down("an entry too high")
	f.turn(func() {})
	f.want(w, "x", `{"missed":1}`)
	s.Begin(Info{Epoch: 2 * base, First: 2*base + 1, Last: 2 * base})
	s.Deliver(&Entry{Offset: 2*base + 1, Topic: "a", Data: []byte("new")})
	f.turn(func() {})
	f.want(w, `{"missed":0,"reset":true}`, "new")
}

// TestARemoteEndsALinkWithoutOffsets: a Door that sends something else as an offset is not believed,
// nor is what comes after it: the Remote begins again where it was.
func TestARemoteEndsALinkWithoutOffsets(t *testing.T) {
	for _, bad := range []string{"9007199254740992", "18446744073709551616", "-1", "1.5", `"7"`} {
		for _, message := range []string{`{"topic":"a","offset":%s,"data":1}`, `{"live":%s}`, `{"pong":%s}`, `{"topic":"a","offset":9,"from":%s,"patch":{}}`} {
			m, err := mgr.New(mgr.Options{})
			if err != nil {
				t.Fatal(err)
			}
			turns, closed, problem := 0, "", ""
			l, err := http.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
				switch ev := ev.(type) {
				case *http.Message:
					websocket.Upgrade(c, ev, nil)
				case *websocket.Open:
					if turns++; turns == 1 {
						websocket.Send(c, websocket.Text, []byte(`{"topic":"a","offset":7,"data":1}`))
						websocket.Send(c, websocket.Text, []byte(`{"live":7}`))
						websocket.Send(c, websocket.Text, fmt.Appendf(nil, message, bad))
						websocket.Send(c, websocket.Text, []byte(`{"topic":"a","offset":10,"data":1}`))
					}
				case *websocket.Message:
					if turns == 2 {
						closed = string(ev.Data)
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []uint64
			o := DialOptions{Message: func(m *Message) { got = append(got, m.Offset) }}
			o.Link.MinDelay = time.Millisecond
			o.State = func(s *websocket.State) {
				if s.Reason != "" {
					problem = s.Reason
				}
			}
			r, err := Dial(m, "ws://"+l.LocalAddr().String(), o)
			if err != nil {
				t.Fatal(err)
			}
			r.Subscribe("a", 0)
			for end := time.Now().Add(patience); closed == "" && time.Now().Before(end); {
				m.Poll(10 * time.Millisecond)
			}
			if want := `{"subscribe":{"a":7}}`; closed != want || len(got) != 1 || got[0] != 7 {
				t.Fatalf(message+": it got %d and asks for %s instead of %s (%s)", bad, got, closed, want, problem)
			}
			m.Close()
		}
	}
}

// TestTheScriptEndsALinkWithoutOffsets is the same of mangusta.js.
func TestTheScriptEndsALinkWithoutOffsets(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("there is no node")
	}
	text, err := os.ReadFile("mangusta.js")
	if err != nil {
		t.Fatal(err)
	}
	program := strings.ReplaceAll(string(text), "export ", "") + `
		globalThis.location = { href: "http://x/" };
		globalThis.addEventListener = () => {};
		globalThis.document = { addEventListener() {}, hidden: false };
		let socket;
		globalThis.WebSocket = class { constructor() { socket = this; } send() {} close() {} };
		const ticks = () => new Promise((then) => setTimeout(then, 5));
		const bad = ["9007199254740992", "1.5", '"7"'];
		for (const offset of ["9007199254740991", ...bad]) {
			for (const message of ['{"topic":"a","offset":N,"data":1}', '{"live":N}', '{"pong":N}']) {
				const hub = new Hub("/hub");
				let got = 0, why = "";
				hub.subscribe("a", () => got++);
				hub.addEventListener("down", ({ detail }) => (why = detail.reason));
				await ticks();
				socket.onopen();
				socket.onmessage({ data: '{"live":7}' });
				socket.onmessage({ data: message.replace("N", offset) });
				socket.onmessage({ data: '{"topic":"a","offset":9007199254740991,"data":2}' });
				if (bad.includes(offset) ? got !== 0 || !/offset/.test(why) : why !== "") console.log(message, offset, got, why);
				hub.close();
			}
		}
		process.exit(0);`
	file := t.TempDir() + "/test.mjs"
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(node, file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
