package websocket_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

const (
	ping = `ping ""`
	pong = `pong ""`
	dead = `end 1006 "no pong in time" clean=false`
	gone = "error deadline passed"
	tick = time.Millisecond
	wait = websocket.DefaultPongTimeout
)

// interval is how long r may be silent.
func (r *rig) interval() time.Duration { return websocket.Interval(r.c) }

// life is a rig of either side with the function that makes the peer's frames.
func life(t *testing.T, o websocket.Options, dialogue func(t *testing.T, r *rig, frame func(byte, string) []byte)) {
	t.Run("server", func(t *testing.T) { dialogue(t, newRig(t, &o), masked) })
	t.Run("client", func(t *testing.T) { dialogue(t, openRig(t, &websocket.ClientOptions{Options: o}), bare) })
}

func TestSilentPeerIsPinged(t *testing.T) {
	life(t, websocket.Options{}, func(t *testing.T, r *rig, frame func(byte, string) []byte) {
		r.pass(r.interval() - tick)
		r.want("sent too early", r.frames())
		r.pass(tick)
		r.want("sent", r.frames(), ping)
		r.pass(wait - tick)
		r.receive(frame(0x8a, ""))
		r.pass(r.interval() - tick)
		r.want("sent too early after the pong", r.frames(), ping)
		r.pass(tick)
		r.want("sent after the pong", r.frames(), ping, ping)
		r.want("events", r.events, pong)
	})
}

func TestDeadPeerIsGivenUp(t *testing.T) {
	life(t, websocket.Options{}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
		r.pass(r.interval())
		r.pass(wait / 2)
		r.pass(wait/2 - tick)
		r.want("events too early", r.events)
		r.pass(tick)
		r.want("events", r.events, dead, gone, "closed")
		r.want("sent", r.frames(), ping)
	})
}

// Any byte is a sign of life, even in the middle of a frame; the silence counts from it.
func TestAnyByteIsLife(t *testing.T) {
	life(t, websocket.Options{}, func(t *testing.T, r *rig, frame func(byte, string) []byte) {
		in := frame(0x81, "hello")
		r.pass(r.interval() - tick)
		r.receive(in[:1])
		r.pass(tick)
		r.pass(r.interval() - 2*tick)
		r.want("sent too early", r.frames())
		r.pass(tick)
		r.want("sent", r.frames(), ping)
		r.receive(in[1:2])
		r.pass(wait / 2)
		r.pass(wait / 2)
		r.want("sent after a byte", r.frames(), ping)
		r.want("events", r.events)
	})
}

func TestKeepAliveIsAdjustable(t *testing.T) {
	life(t, websocket.Options{PingInterval: time.Second, PongTimeout: 100 * tick}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
		r.pass(r.interval())
		r.want("sent", r.frames(), ping)
		r.pass(50 * tick)
		r.pass(50 * tick)
		r.want("events", r.events, dead, gone, "closed")
	})
	life(t, websocket.Options{PingInterval: -1}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
		r.pass(1000 * time.Hour)
		r.want("sent without keep-alive", r.frames())
		r.want("events without keep-alive", r.events)
	})
	life(t, websocket.Options{PongTimeout: -1}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
		for range 3 {
			r.pass(r.interval())
		}
		r.want("sent without a deadline", r.frames(), ping, ping, ping)
		r.want("events without a deadline", r.events)
	})
}

// While this side does not read, by its own choice, the silence says nothing about the peer.
func TestPausedConnectionIsNotJudged(t *testing.T) {
	life(t, websocket.Options{}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
		r.pass(r.interval())
		r.c.Pause()
		for range 10 {
			r.pass(r.interval())
		}
		r.c.Resume()
		r.Turn()
		r.pass(r.interval() - tick)
		r.want("sent", r.frames(), ping)
		r.pass(tick)
		r.want("sent after Resume", r.frames(), ping, ping)
		r.want("events", r.events)
	})
}

// A ping after a long queue has not reached the peer yet: conn's Stall judges a peer that takes
// nothing.
func TestPingBehindAQueueIsNotJudged(t *testing.T) {
	life(t, websocket.Options{}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
		r.c.SetWriteTimeout(-1)
		r.Wire.Room = 0
		websocket.Send(r.c, websocket.Binary, make([]byte, 1000))
		for range 20 {
			r.pass(wait)
		}
		r.want("events", r.events)
		r.Room(-1)
		r.pass(wait / 2)
		r.want("events when the queue is out", r.events)
		r.pass(wait / 2)
		r.want("events in the end", r.events, dead, gone, "closed")
	})
}

// A full queue that refuses the ping is no reason to end.
func TestPingWithoutRoomWaits(t *testing.T) {
	life(t, websocket.Options{}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
		r.c.SetLimits(&conn.Limits{Send: 1000, OnFull: conn.RefuseOnFull, Stall: -1})
		r.Wire.Room = 0
		for websocket.Send(r.c, websocket.Binary, nil) == nil {
		}
		for range 10 {
			r.pass(r.interval())
		}
		r.want("events", r.events)
	})
}

// A loop that stood still for longer than the whole wait reads what has come in the meantime before
// it judges.
func TestLoopThatStoodStillDoesNotJudge(t *testing.T) {
	life(t, websocket.Options{}, func(t *testing.T, r *rig, frame func(byte, string) []byte) {
		r.pass(r.interval())
		r.pass(time.Hour)
		r.receive(frame(0x8a, ""))
		r.pass(wait / 2)
		r.want("events", r.events, pong)
	})
}

// The close handshake takes the slot over: no ping follows the Close frame.
func TestNoPingsWhileClosing(t *testing.T) {
	life(t, websocket.Options{CloseTimeout: time.Minute}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
		websocket.CloseWith(r.c, websocket.CloseNormal, "")
		r.Turn()
		r.pass(time.Minute / 2)
		r.pass(time.Minute/2 - tick)
		r.want("sent", r.frames(), `close 1000 ""`)
		r.pass(tick)
		r.want("events", r.events, abnormal, gone, "closed")
	})
}

// Pongs have room whatever the limits: also in a queue that refuses what is too much, filled by the
// program.
func TestPongsAreNeverDropped(t *testing.T) {
	life(t, websocket.Options{}, func(t *testing.T, r *rig, frame func(byte, string) []byte) {
		r.c.SetLimits(&conn.Limits{Send: 1, OnFull: conn.RefuseOnFull})
		r.Wire.Room = 0
		r.onEvent = func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*websocket.Control); ok && m.Op == websocket.Ping {
				for websocket.Send(c, websocket.Binary, nil) == nil {
				}
			}
		}
		var in []byte
		var want []string
		for i := range 50 {
			payload := fmt.Sprintf("%0125d", i)
			in = append(in, frame(0x89, payload)...)
			want = append(want, "pong "+short([]byte(payload)))
		}
		r.receive(in)
		for i := 0; i < 100_000 && (r.c.Pending() > 0 || r.Wire.Unread() > 0); i++ {
			r.Room(10)
		}
		var pongs []string
		for _, f := range r.frames() {
			if f != `binary ""` {
				pongs = append(pongs, f)
			}
		}
		r.want("pongs", pongs, want...)
	})
}

// Connections that were opened one after the other are not pinged all at once, and none is late.
func TestPingsAreSpread(t *testing.T) {
	var in [8]int
	for range 8000 {
		r := newRig(t, nil)
		early := websocket.DefaultPingInterval - r.interval()
		if early < 0 || early >= websocket.DefaultPingInterval/8 {
			t.Fatalf("pinged %v early", early)
		}
		in[early/(websocket.DefaultPingInterval/64)]++
	}
	for i, n := range in {
		if n < 800 || n > 1200 {
			t.Errorf("%d of 8000 are in part %d of 8", n, i)
		}
	}
}

// 2,000 connections fall silent at the same time: each is pinged, each that sends a pong stays, and
// the pings take no memory of their own for each.
func TestKeepAliveOfManyConnections(t *testing.T) {
	const n = 2000
	loop, server := conntest.NewLoop(), http.NewServer(http.Options{})
	limits := conn.Limits{}.WithDefaults()
	var all []*conn.Conn
	var wires []*conntest.Wire
	for range n {
		w := conntest.NewWire()
		c := loop.Add(w, &limits, func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*http.Message); ok {
				websocket.Upgrade(c, m, nil)
			}
		})
		http.Attach(c, server)
		w.Arrive([]byte(request+"\r\n"), nil)
		all, wires = append(all, c), append(wires, w)
	}
	turn := func(d time.Duration) {
		t.Helper()
		loop.Advance(d)
		if err := loop.Turn(); err != nil {
			t.Fatal(err)
		}
	}
	turn(0)
	for _, w := range wires {
		w.Sent = w.Sent[:0]
	}
	turn(websocket.DefaultPingInterval)
	for i, w := range wires {
		if string(w.Sent) != "\x89\x00" {
			t.Fatalf("connection %d: sent %q", i, w.Sent)
		}
		if i%2 == 0 {
			w.Arrive(masked(0x8a, ""), nil)
		}
	}
	turn(wait / 2)
	turn(wait / 2)
	for i, c := range all {
		if c.IsClosed() != (i%2 == 1) {
			t.Fatalf("connection %d: closed is %v", i, c.IsClosed())
		}
	}
}

// Over real sockets: a client that vanishes, and one that sends pongs.
func TestKeepAliveOverTheWire(t *testing.T) {
	underBoth(t, &websocket.Options{PingInterval: 50 * tick, PongTimeout: 100 * tick}, nil, func(t *testing.T, s *server) {
		p := s.open()
		for range 5 {
			p.want(0x89, "")
			p.send(masked(0x8a, ""))
		}
		p.want(0x89, "")
		p.wantEOF() // from here on it sends no pong
		s.wantNotes(opened, pong, pong, pong, pong, pong, dead, "closed")
	})
}

// Two ends that keep each other alive need the pings of one.
func TestBothEndsKeepAlive(t *testing.T) {
	o := websocket.Options{PingInterval: 30 * tick, PongTimeout: time.Minute}
	underBoth(t, &o, nil, func(t *testing.T, s *server) {
		pings := make(chan string, 1000)
		c := dialClient(t, mgr.Auto, "ws://"+s.addr+"/", &websocket.ClientOptions{Options: o}, func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*websocket.Control); ok && m.Op != websocket.Close {
				pings <- m.Op.String()
			}
		})
		for range 10 {
			select {
			case <-pings:
			case <-time.After(time.Minute):
				t.Fatal("no sign of life")
			}
		}
		c.close()
	})
}
