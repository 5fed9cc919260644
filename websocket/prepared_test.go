package websocket_test

import (
	"fmt"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// A broadcast to a peer that does not read leaves no more in the queue than conn.Limits.Backlog
// allows.
func TestSendPreparedToAPeerThatLags(t *testing.T) {
	send := func(r *rig, n int) (skipped int) {
		for i := range n {
			if err := websocket.SendPrepared(r.c, websocket.Prepare(websocket.Text, fmt.Appendf(nil, "%d", i))); err == conn.ErrBacklog {
				skipped++
			}
		}
		return skipped
	}
	lagging := func(t *testing.T, o *websocket.Options, b conn.Backlog, lines ...string) *rig {
		r := newRig(t, o, lines...)
		r.limits.Backlog = b
		r.Wire.Room = 2
		websocket.Send(r.c, websocket.Binary, make([]byte, 10))
		r.Turn()
		return r
	}
	first := "binary " + short(make([]byte, 10))
	drain := func(r *rig) []string {
		r.Room(-1)
		return r.frames()
	}
	t.Run("drop the oldest", func(t *testing.T) {
		r := lagging(t, nil, conn.Backlog{Bytes: 1 << 20, Messages: 4})
		if n := send(r, 100); n > 0 {
			t.Errorf("%d were skipped", n)
		}
		r.want("sent", drain(r), first, `text "97"`, `text "98"`, `text "99"`)
	})
	t.Run("skip", func(t *testing.T) {
		r := lagging(t, nil, conn.Backlog{Bytes: 1 << 20, Messages: 4, Policy: conn.SkipNew})
		if n := send(r, 100); n != 97 {
			t.Errorf("%d were skipped", n)
		}
		r.want("sent", drain(r), first, `text "0"`, `text "1"`, `text "2"`)
	})
	t.Run("disconnect", func(t *testing.T) {
		r := lagging(t, nil, conn.Backlog{Bytes: 1 << 20, Messages: 4, Policy: conn.Disconnect})
		send(r, 100)
		r.want("sent", drain(r), first, `close 1013 "too slow"`)
	})
	t.Run("disconnect with another code", func(t *testing.T) {
		o := &websocket.Options{LagCode: websocket.ClosePolicy}
		r := lagging(t, o, conn.Backlog{Bytes: 1 << 20, Messages: 4, Policy: conn.Disconnect})
		send(r, 100)
		r.want("sent", drain(r), first, `close 1008 "too slow"`)
	})
	// With takeover each connection compresses for itself, and later messages refer to it: none can
	// be dropped.
	t.Run("takeover", func(t *testing.T) {
		o := &websocket.Options{Compress: deflate.New(deflate.Options{ServerTakeover: true, Threshold: -1})}
		r := lagging(t, o, conn.Backlog{Bytes: 20, Messages: 1000}, "Sec-WebSocket-Extensions: permessage-deflate")
		if n := send(r, 100); n < 90 || r.c.Pending() > 40 {
			t.Errorf("%d were skipped, %d bytes wait", n, r.c.Pending())
		}
	})
}

// RFC 7692 §7.1.2.1: a message that is larger than a connection's window is not shared with those
// of larger windows.
func TestPreparedStaysInTheWindow(t *testing.T) {
	half := jsonOf(600)
	m := websocket.Prepare(websocket.Text, append(half, half...)) // matches 600 bytes back
	opts := &websocket.Options{Compress: deflate.New()}
	wide, narrow := newDeflateRig(t, opts, ""), newDeflateRig(t, opts, "; server_max_window_bits=9")
	for _, r := range []*rig{wide, narrow} {
		if err := websocket.SendPrepared(r.c, m); err != nil {
			t.Fatal(err)
		}
		r.Turn()
	}
	if string(wide.Wire.Sent) != string(m.Deflated()) {
		t.Error("the wide window has a frame of its own")
	}
	if len(narrow.Wire.Sent) < len(wide.Wire.Sent)+50 {
		t.Errorf("%d bytes in the narrow window, %d in the wide one", len(narrow.Wire.Sent), len(wide.Wire.Sent))
	}
}
