package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// The examples of the specification (JSON-RPC 2.0 §7), as far as they are not about its methods,
// and the methods of ours.
func TestJSONRPC(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := start(t, p, Options{}, func(d *Device[settings]) {
			d.Action(Action{Name: "fail", Confirm: "Really?", Run: func(Who) error { return errors.New("broken") }})
			d.Action(Action{Name: "beep", Run: func(Who) error { return nil }})
		})
		c := r.dial()
		const invalid = `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"this is no call of JSON-RPC 2.0"}}`
		for _, x := range []struct{ call, reply string }{
			{`{"jsonrpc":"2.0","method":"get","id":1}`, `{"jsonrpc":"2.0","id":1,"result":{"version":1,"settings":` + atFirst + `}}`},
			{`{"jsonrpc":"2.0","method":"foobar","id":"1"}`, `{"jsonrpc":"2.0","id":"1","error":{"code":-32601,"message":"there is no method \"foobar\""}}`},
			{`{"jsonrpc":"2.0","method":"foobar","params":"bar","baz]`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"this is no JSON"}}`},
			{`{"jsonrpc":"2.0","method":1,"params":"bar"}`, invalid},
			{`{"method":"get","id":1}`, invalid},
			{`{"jsonrpc":"2.0","method":"get","id":{}}`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"an id is a text, a number or null"}}`},
			{`{"jsonrpc":"2.0","method":"get","id":true}`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"an id is a text, a number or null"}}`},
			{`{"jsonrpc":"2.0","method":"get","method":"set","id":1}`, invalid},
			{`""`, invalid},
			{`[]`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"a batch has 1 to 64 calls"}}`},
			{`[1]`, "[" + invalid + "]"},
			{`[1,2,3]`, "[" + invalid + "," + invalid + "," + invalid + "]"},
			{`{"jsonrpc":"2.0","method":"set","params":[1],"id":2}`, `{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"params must be an object"}}`},
			{`{"jsonrpc":"2.0","method":"set","params":{"patsch":1},"id":2}`, `{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"json: unknown field \"patsch\""}}`},
			{`{"jsonrpc":"2.0","method":"set","id":2}`, `{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"set needs a patch"}}`},
			{`{"jsonrpc":"2.0","method":"set","params":{"patch":{"fan":1}},"id":2}`,
				`{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"the settings were refused","data":[{"path":"fan","error":"must be true or false","code":"boolean"}]}}`},
			{`{"jsonrpc":"2.0","method":"set","params":{"patch":{"fan":true}},"id":3}`, `{"jsonrpc":"2.0","id":3,"result":{"version":2,"saved":true}}`},
			{`{"jsonrpc":"2.0","method":"set","params":{"patch":{"fan":false},"version":1},"id":3}`,
				`{"jsonrpc":"2.0","id":3,"error":{"code":-32002,"message":"device: the settings have changed meanwhile"}}`},
			{`{"jsonrpc":"2.0","method":"call","params":{"action":"none"},"id":4}`, `{"jsonrpc":"2.0","id":4,"error":{"code":-32602,"message":"there is no such action"}}`},
			{`{"jsonrpc":"2.0","method":"call","params":{"action":"fail"},"id":4}`, `{"jsonrpc":"2.0","id":4,"error":{"code":-32003,"message":"Really?"}}`},
			{`{"jsonrpc":"2.0","method":"call","params":{"action":"fail","confirm":true},"id":4}`, `{"jsonrpc":"2.0","id":4,"error":{"code":-32005,"message":"broken"}}`},
			{`{"jsonrpc":"2.0","method":"call","params":{"action":"beep"},"id":null}`, `{"jsonrpc":"2.0","id":null,"result":{}}`},
			{`{"jsonrpc":"2.0","method":"actions","id":5}`, `{"jsonrpc":"2.0","id":5,"result":[{"name":"fail","confirm":"Really?"},{"name":"beep"}]}`},
			// A notification gets no reply, whatever comes of it; the rest of its batch does.
			{`[{"jsonrpc":"2.0","method":"set","params":{"patch":{"fan":false}}},{"jsonrpc":"2.0","method":"nope"},{"jsonrpc":"2.0","method":"nope","id":9}]`,
				`[{"jsonrpc":"2.0","id":9,"error":{"code":-32601,"message":"there is no method \"nope\""}}]`},
		} {
			c.send(x.call)
			c.want(x.reply)
		}
		// Nothing but notifications: nothing at all comes back, and the next call is answered.
		c.send(`[{"jsonrpc":"2.0","method":"get"},{"jsonrpc":"2.0","method":"call","params":{"action":"beep"}}]`)
		c.send(`{"jsonrpc":"2.0","method":"nope","id":10}`)
		c.want(`{"jsonrpc":"2.0","id":10,"error":{"code":-32601,"message":"there is no method \"nope\""}}`)
		c.send("[" + strings.Repeat(`{"jsonrpc":"2.0","method":"get"},`, maxBatch) + `1]`)
		c.want(`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"a batch has 1 to 64 calls"}}`)
	})
}

func TestRolesOverRPC(t *testing.T) {
	r := start(t, 0, Options{}, func(d *Device[settings]) {
		d.Action(Action{Name: "beep", Run: func(Who) error { return nil }})
	})
	c := r.dial("Role", "viewer")
	c.send(`{"jsonrpc":"2.0","method":"set","params":{"patch":{"fan":true}},"id":1}`)
	c.want(`{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"this is for a higher role","data":[{"path":"fan","error":"can be set by the role user only","code":"setting-role"}]}}`)
	c.send(`{"jsonrpc":"2.0","method":"call","params":{"action":"beep"},"id":2}`)
	c.want(`{"jsonrpc":"2.0","id":2,"error":{"code":-32001,"message":"this is for a higher role"}}`)
}

func TestASubscriberGetsASnapshotAndThePatchesSince(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := start(t, p, Options{})
		if err := r.dev.Set(Program, func(s *settings) { s.Name = "two" }); err != nil {
			t.Fatal(err)
		}
		c := r.dial("Role", "viewer")
		c.send(`{"jsonrpc":"2.0","method":"subscribe","id":1}`)
		c.want(`{"jsonrpc":"2.0","id":1,"result":{"version":2,"settings":` + strings.Replace(atFirst, "box", "two", 1) + `}}`)
		if err := r.dev.Set(Program, func(s *settings) { s.Celsius, s.WiFi.SSID = 21.5, "home" }); err != nil {
			t.Fatal(err)
		}
		c.want(`{"jsonrpc":"2.0","method":"changed","params":{"version":3,"patch":{"wifi":{"ssid":"home"},"celsius":21.5}}}`)
		// A secret is in no patch, not even its name.
		if err := r.dev.Set(Program, func(s *settings) { s.WiFi.Password = "pw" }); err != nil {
			t.Fatal(err)
		}
		c.want(`{"jsonrpc":"2.0","method":"changed","params":{"version":4,"patch":{}}}`)
	})
}

// While many write, each subscriber that comes sees each version once, and ends with the document.
func TestSubscribersThatComeWhileOthersWriteMissNothing(t *testing.T) {
	r := start(t, 0, Options{})
	const writers, writes = 4, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range writes {
				if err := r.dev.Set(Program, func(s *settings) { s.Celsius = float64(w*writes + i + 1) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		c := r.dial()
		c.send(`{"jsonrpc":"2.0","method":"subscribe","id":1}`)
		var first struct {
			Result struct {
				Version  int            `json:"version"`
				Settings map[string]any `json:"settings"`
			} `json:"result"`
		}
		c.read(&first)
		version, doc := first.Result.Version, any(first.Result.Settings)
		for version < writers*writes+1 {
			var next struct {
				Params struct {
					Version int
					Patch   any
				}
			}
			c.read(&next)
			if next.Params.Version != version+1 {
				t.Fatalf("version %d follows %d", next.Params.Version, version)
			}
			version, doc = version+1, merge(doc, next.Params.Patch)
		}
		_, text := r.ask("GET", "/api/settings", "")
		if !reflect.DeepEqual(doc, parse(t, text)) {
			t.Errorf("%v, want %s", doc, text)
		}
	}
	wg.Wait()
}

func (p *peer) read(v any) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.next()), v); err != nil {
		p.t.Fatal(err)
	}
}

func TestOnChangeComesOnTheLoopInOrder(t *testing.T) {
	var mu sync.Mutex
	var got []string
	seen := make(chan struct{}, 100)
	r := start(t, 0, Options{}, func(d *Device[settings]) {
		d.OnChange(func(c *Change) { panic("the next one is called all the same") })
		d.OnChange(func(c *Change) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprintf("%d %v %s-%s", c.Version, c.Has("fan"), c.Items[0].From, c.Items[0].To))
			seen <- struct{}{}
		})
	})
	for i := range 4 {
		if err := r.dev.Set(Program, func(s *settings) { s.Fan = i%2 == 0 }); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		<-seen
	}
	mu.Lock()
	defer mu.Unlock()
	if want := "[2 true false-true 3 true true-false 4 true false-true 5 true true-false]"; fmt.Sprint(got) != want {
		t.Error(got)
	}
}

func TestALoopThatDoesNotRunBoundsTheChanges(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	d, err := New(m, defaults())
	if err != nil {
		t.Fatal(err)
	}
	var busy error
	for i := range maxWaiting + 1 {
		busy = d.Set(Program, func(s *settings) { s.Celsius = float64(i + 1) })
	}
	if !errors.Is(busy, ErrBusy) || d.Get().Celsius != maxWaiting {
		t.Error(busy, d.Get().Celsius)
	}
	if err := d.Flush(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestAChangeBetweenTheSnapshotAndTheSubscriptionIsPushed(t *testing.T) {
	conns := make(chan *conn.Conn, 1)
	r := start(t, 0, Options{Who: func(c *conn.Conn, _ *http.Request) Who {
		conns <- c
		return Who{Role: Viewer}
	}})
	p := r.dial()
	c := <-conns
	err := r.m.Do(func() {
		_, _, offset := r.dev.snapshot()
		if err := r.dev.Set(Program, func(s *settings) { s.Fan = true }); err != nil {
			t.Error(err)
		}
		if err := r.dev.push.subscribe(c, offset); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	p.want(`{"jsonrpc":"2.0","method":"changed","params":{"version":2,"patch":{"fan":true}}}`)
}
