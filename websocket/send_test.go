package websocket_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/websocket"
)

func TestSend(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 1000, 5000, 65535, 65536, 300_000} {
		r := newRig(t, nil)
		p := strings.Repeat("s", n)
		if err := websocket.Send(r.c, websocket.Binary, []byte(p)); err != nil {
			t.Fatal(err)
		}
		websocket.Send(r.c, websocket.Text, []byte("after"))
		r.Turn()
		r.want(fmt.Sprint(n), r.frames(), "binary "+short([]byte(p)), `text "after"`)
	}
}

func TestSendRefuses(t *testing.T) {
	r := newRig(t, nil)
	for _, tc := range []struct {
		op   websocket.Op
		n    int
		want string
	}{
		{websocket.Continuation, 0, "websocket: send: continuation (0) is not a message"},
		{websocket.Close, 0, "websocket: send: close (8) is not a message"},
		{3, 0, "websocket: send: reserved opcode (3) is not a message"},
		{0x81, 0, "websocket: send: reserved opcode (129) is not a message"},
		{websocket.Ping, 126, "websocket: send: ping of 126 bytes, 125 are allowed"},
		{websocket.Pong, 126, "websocket: send: pong of 126 bytes, 125 are allowed"},
	} {
		p := make([]byte, tc.n)
		if err := websocket.Send(r.c, tc.op, p); err == nil || err.Error() != tc.want {
			t.Errorf("Send(%d, %d bytes) = %v, want %s", tc.op, tc.n, err, tc.want)
		}
		if err := websocket.SendPrepared(r.c, websocket.Prepare(tc.op, p)); err == nil || err.Error() != tc.want {
			t.Errorf("SendPrepared(%d, %d bytes) = %v, want %s", tc.op, tc.n, err, tc.want)
		}
	}
	if r.c.Pending() > 0 {
		t.Error("something was queued")
	}
}

func TestSendOnWhatIsNoWebSocket(t *testing.T) {
	r := newRig(t, nil)
	r.c.SetProtocol(nil, nil)
	for what, err := range map[string]error{
		"Send":         websocket.Send(r.c, websocket.Text, nil),
		"SendPrepared": websocket.SendPrepared(r.c, websocket.Prepare(websocket.Text, nil)),
		"CloseWith":    websocket.CloseWith(r.c, websocket.CloseNormal, ""),
		"Writer":       websocket.Writer(r.c, websocket.Text).Close(),
	} {
		if !errors.Is(err, websocket.ErrNotWebSocket) {
			t.Errorf("%s = %v", what, err)
		}
	}
	if websocket.Is(r.c) {
		t.Error("Is")
	}
}

// A message that the send limit refuses leaves no part of itself in the stream.
func TestSendThatIsRefusedQueuesNothing(t *testing.T) {
	for _, n := range []int{100, 3000, 3990, 4000} {
		r := newRig(t, nil)
		r.limits.Send, r.limits.OnFull = 8000, conn.RefuseOnFull
		sent := 0
		for websocket.Send(r.c, websocket.Binary, make([]byte, n)) == nil {
			sent++
		}
		if err := websocket.Send(r.c, websocket.Binary, make([]byte, n)); !errors.Is(err, conn.ErrSendLimit) {
			t.Errorf("Send over the limit = %v", err)
		}
		if got := r.c.Pending() / (n + 2); sent == 0 || got < sent {
			t.Errorf("%d sent, room for %d is taken", sent, got)
		}
		r.Turn()
		if got := r.frames(); len(got) != sent || strings.Contains(strings.Join(got, ""), "half") {
			t.Errorf("%d bytes: %d accepted, on the wire %d: %s", n, sent, len(got), got[len(got)-1])
		}
	}
}

func TestSendOverTheLimitClosesByDefault(t *testing.T) {
	r := newRig(t, nil)
	r.limits.Send = 1000
	websocket.Send(r.c, websocket.Binary, make([]byte, 2000))
	if err := websocket.Send(r.c, websocket.Binary, make([]byte, 2000)); !errors.Is(err, conn.ErrSendLimit) {
		t.Errorf("Send = %v", err)
	}
	r.Turn()
	r.want("events", r.events, "error send limit", abnormal, "closed")
}

// RFC 6455 §5.4: fragments in order, control frames may come between them, other messages may not.
func TestWriterFragmentsAsItGoes(t *testing.T) {
	r := newRig(t, nil)
	w := websocket.Writer(r.c, websocket.Text)
	fmt.Fprintf(w, "a=%d", 1)
	r.Turn()
	r.want("after the first Write", r.frames(), `text- "a=1"`)
	if n, err := w.Write(nil); n != 0 || err != nil {
		t.Errorf("empty Write = %d, %v", n, err)
	}
	if err := websocket.Send(r.c, websocket.Binary, nil); !errors.Is(err, websocket.ErrBusy) {
		t.Errorf("Send meanwhile = %v", err)
	}
	if err := websocket.SendPrepared(r.c, websocket.Prepare(websocket.Text, nil)); !errors.Is(err, websocket.ErrBusy) {
		t.Errorf("SendPrepared meanwhile = %v", err)
	}
	if _, err := websocket.Writer(r.c, websocket.Text).Write([]byte("x")); !errors.Is(err, websocket.ErrBusy) {
		t.Errorf("second Writer = %v", err)
	}
	if err := websocket.Send(r.c, websocket.Ping, []byte("p")); err != nil {
		t.Errorf("ping meanwhile: %v", err)
	}
	r.receive(masked(0x89, "q"))
	fmt.Fprint(w, "b")
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err == nil {
		t.Error("a second Close went through")
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a Write after Close went through")
	}
	websocket.Send(r.c, websocket.Text, []byte("next"))
	r.Turn()
	r.want("all", r.frames(), `text- "a=1"`, `ping "p"`, `pong "q"`, `continuation- "b"`, `continuation ""`, `text "next"`)
}

func TestWriterOfAnEmptyMessage(t *testing.T) {
	r := newRig(t, nil)
	if err := websocket.Writer(r.c, websocket.Binary).Close(); err != nil {
		t.Fatal(err)
	}
	r.Turn()
	r.want("sent", r.frames(), `binary ""`)
}

func TestWriterRefusesControlFrames(t *testing.T) {
	r := newRig(t, nil)
	for _, op := range []websocket.Op{websocket.Continuation, websocket.Close, websocket.Ping, websocket.Pong, 3} {
		if _, err := websocket.Writer(r.c, op).Write([]byte("x")); err == nil {
			t.Errorf("Writer of %s went through", op)
		}
	}
	if r.c.Pending() > 0 {
		t.Error("something was queued")
	}
}

func TestWriterAndCloseWith(t *testing.T) {
	r := newRig(t, nil)
	w := websocket.Writer(r.c, websocket.Text)
	fmt.Fprint(w, "half")
	websocket.CloseWith(r.c, websocket.CloseInternal, "")
	if err := w.Close(); !errors.Is(err, websocket.ErrClosed) {
		t.Errorf("Close = %v", err)
	}
	r.Turn()
	r.want("sent", r.frames(), `text- "half"`, `close 1011 ""`)
}

func TestPreparedIsSharedAndKeepsItsOwnCopy(t *testing.T) {
	p := []byte("to all")
	m := websocket.Prepare(websocket.Text, p)
	clear(p)
	ping := websocket.Prepare(websocket.Ping, []byte("p"))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			r := newRig(t, nil)
			websocket.Send(r.c, websocket.Text, []byte("before"))
			for _, m := range []*websocket.Prepared{m, ping, m} {
				if err := websocket.SendPrepared(r.c, m); err != nil {
					t.Error(err)
				}
			}
			websocket.Send(r.c, websocket.Text, []byte("after"))
			r.Turn()
			r.want("sent", r.frames(), `text "before"`, `text "to all"`, `ping "p"`, `text "to all"`, `text "after"`)
		})
	}
	wg.Wait()
}
