package websocket

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

const (
	ping = `ping ""`
	pong = `pong ""`
	dead = `end 1006 "no pong in time" clean=false`
	gone = "error deadline passed"
	tick = time.Millisecond
	wait = defaultPongTimeout
)

// interval is how long r may be silent.
func (r *rig) interval() time.Duration { return r.session().interval(r.c) }

// life is a rig of either side with the function that makes the peer's frames.
func life(t *testing.T, o Options, dialogue func(t *testing.T, r *rig, frame func(byte, string) []byte)) {
	t.Run("server", func(t *testing.T) { dialogue(t, newRig(t, &o), masked) })
	t.Run("client", func(t *testing.T) { dialogue(t, openRig(t, &ClientOptions{Options: o}), bare) })
}

func TestSilentPeerIsPinged(t *testing.T) {
	life(t, Options{}, func(t *testing.T, r *rig, frame func(byte, string) []byte) {
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
	life(t, Options{}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
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
	life(t, Options{}, func(t *testing.T, r *rig, frame func(byte, string) []byte) {
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
	life(t, Options{PingInterval: time.Second, PongTimeout: 100 * tick}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
		r.pass(r.interval())
		r.want("sent", r.frames(), ping)
		r.pass(50 * tick)
		r.pass(50 * tick)
		r.want("events", r.events, dead, gone, "closed")
	})
	life(t, Options{PingInterval: -1}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
		r.pass(1000 * time.Hour)
		r.want("sent without keep-alive", r.frames())
		r.want("events without keep-alive", r.events)
	})
	life(t, Options{PongTimeout: -1}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
		for range 3 {
			r.pass(r.interval())
		}
		r.want("sent without a deadline", r.frames(), ping, ping, ping)
		r.want("events without a deadline", r.events)
	})
}

// While this side does not read, by its own choice, the silence says nothing about the peer.
func TestPausedConnectionIsNotJudged(t *testing.T) {
	life(t, Options{}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
		r.pass(r.interval())
		r.c.Pause()
		for range 10 {
			r.pass(r.interval())
		}
		r.c.Resume()
		r.settle()
		r.pass(r.interval() - tick)
		r.want("sent", r.frames(), ping)
		r.pass(tick)
		r.want("sent after Resume", r.frames(), ping, ping)
		r.want("events", r.events)
	})
}

// A ping behind a long queue cannot be answered yet: conn's Stall judges a peer that takes nothing.
func TestPingBehindAQueueIsNotJudged(t *testing.T) {
	life(t, Options{}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
		r.c.SetWriteTimeout(-1)
		r.room = 0
		Send(r.c, Binary, make([]byte, 1000))
		for range 20 {
			r.pass(wait)
		}
		r.want("events", r.events)
		r.room = -1
		r.c.Writable()
		r.settle()
		r.pass(wait / 2)
		r.want("events when the queue is out", r.events)
		r.pass(wait / 2)
		r.want("events in the end", r.events, dead, gone, "closed")
	})
}

// A full queue that refuses the ping is no reason to end.
func TestPingWithoutRoomWaits(t *testing.T) {
	life(t, Options{}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
		r.c.SetLimits(&conn.Limits{Send: 1000, OnFull: conn.RefuseOnFull, Stall: -1})
		r.room = 0
		for Send(r.c, Binary, nil) == nil {
		}
		for range 10 {
			r.pass(r.interval())
		}
		r.want("events", r.events)
	})
}

// A loop that stood still for longer than the whole wait reads what has come in the meantime before it judges.
func TestLoopThatStoodStillDoesNotJudge(t *testing.T) {
	life(t, Options{}, func(t *testing.T, r *rig, frame func(byte, string) []byte) {
		r.pass(r.interval())
		r.pass(time.Hour)
		r.receive(frame(0x8a, ""))
		r.pass(wait / 2)
		r.want("events", r.events, pong)
	})
}

// The close handshake takes the slot over: no ping follows the Close frame.
func TestNoPingsWhileClosing(t *testing.T) {
	life(t, Options{CloseTimeout: time.Minute}, func(t *testing.T, r *rig, _ func(byte, string) []byte) {
		CloseWith(r.c, CloseNormal, "")
		r.settle()
		r.pass(time.Minute / 2)
		r.pass(time.Minute/2 - tick)
		r.want("sent", r.frames(), `close 1000 ""`)
		r.pass(tick)
		r.want("events", r.events, abnormal, gone, "closed")
	})
}

// Pongs have room whatever the limits: also in a queue that refuses what is too much, filled by the program.
func TestPongsAreNeverDropped(t *testing.T) {
	life(t, Options{}, func(t *testing.T, r *rig, frame func(byte, string) []byte) {
		r.c.SetLimits(&conn.Limits{Send: minSend, OnFull: conn.RefuseOnFull})
		r.room = 0
		r.onEvent = func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*Control); ok && m.Op == Ping {
				for Send(c, Binary, nil) == nil {
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
		for i := 0; i < 100_000 && (r.c.Pending() > 0 || len(r.in) > 0); i++ {
			r.room = 10
			r.c.Writable()
			r.c.Readable()
			r.settle()
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

// A listener's limits that are too small for a pong are raised.
func TestSmallSendLimitIsRaised(t *testing.T) {
	r := bareRig(t)
	r.limits.Send = 10
	begin(r.c, &defaults)
	if got := r.c.Limits().Send; got != minSend {
		t.Errorf("send limit %d", got)
	}
}

// Connections that were opened one after the other are not pinged all at once, and none is late.
func TestPingsAreSpread(t *testing.T) {
	var in [8]int
	for range 8000 {
		r := newRig(t, nil)
		early := defaultPingInterval - r.interval()
		if early < 0 || early >= defaultPingInterval/8 {
			t.Fatalf("pinged %v early", early)
		}
		in[early/(defaultPingInterval/64)]++
	}
	for i, n := range in {
		if n < 800 || n > 1200 {
			t.Errorf("%d of 8000 are in part %d of 8", n, i)
		}
	}
}

// 10,000 connections fall silent at the same time: each is pinged, each that answers lives on, and the pings take no memory of
// their own for each.
func TestKeepAliveOfManyConnections(t *testing.T) {
	const n = 10_000
	r := bareRig(t)
	var all []*rig
	for i := range n {
		one := &rig{t: t, room: -1, limits: r.limits, sh: r.sh}
		one.c = conn.New(r.sh, 10+i, conn.NewID(10+i), one, &r.limits, one.handle)
		begin(one.c, &defaults)
		all = append(all, one)
	}
	r.sh.Now += int64(defaultPingInterval)
	for _, one := range all {
		one.c.Expire()
	}
	for _, c := range r.touched {
		c.Settle()
	}
	for i, one := range all {
		one.want("sent", one.frames(), ping)
		if i%2 == 0 {
			one.in = masked(0x8a, "")
			one.c.Readable()
		}
	}
	for range 2 {
		r.sh.Now += int64(wait / 2)
		for _, one := range all {
			one.c.Expire()
		}
	}
	for i, one := range all {
		if one.c.IsClosed() != (i%2 == 1) {
			t.Fatalf("connection %d: closed is %v", i, one.c.IsClosed())
		}
	}
}

// Over real sockets: a client that is gone without a word, and one that answers.
func TestKeepAliveOverTheWire(t *testing.T) {
	underBoth(t, &Options{PingInterval: 50 * tick, PongTimeout: 100 * tick}, nil, func(t *testing.T, s *server) {
		p := s.open()
		for range 5 {
			p.want(0x89, "")
			p.send(masked(0x8a, ""))
		}
		p.want(0x89, "")
		p.wantEOF() // from here on it does not answer
		s.wantNotes(opened, pong, pong, pong, pong, pong, dead, "closed")
	})
}

// Two ends that keep each other alive need the pings of one.
func TestBothEndsKeepAlive(t *testing.T) {
	o := Options{PingInterval: 30 * tick, PongTimeout: time.Minute}
	underBoth(t, &o, nil, func(t *testing.T, s *server) {
		pings := make(chan string, 1000)
		c := dialClient(t, mgr.Auto, "ws://"+s.addr+"/", &ClientOptions{Options: o}, func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*Control); ok && m.Op != Close {
				pings <- m.Op.String()
			}
		})
		for range 10 {
			select {
			case <-pings:
			case <-time.After(20 * time.Second):
				t.Fatal("no sign of life")
			}
		}
		c.close()
	})
}
