package websocket_test

import (
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// moved begins a dialogue with a connection that has come from another process, and restores it.
func moved(t *testing.T, state string, opts *websocket.Options) (d *conntest.Dialogue, err error) {
	t.Helper()
	server := http.NewServer(http.Options{NoDate: true})
	d = conntest.New(t, func(c *conn.Conn, ev conn.Event) {
		if ev, ok := ev.(*websocket.Message); ok {
			websocket.Send(c, ev.Op, ev.Data)
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { http.Attach(c, server) }})
	err = websocket.Restore(d.Conn, []byte(state), opts)
	return d, err
}

func TestRestoredWebSocketGoesOn(t *testing.T) {
	d, err := moved(t, "\x01\x01b\x00", &websocket.Options{Protocols: []string{"a", "b"}})
	if err != nil {
		t.Fatal(err)
	}
	kind, state, when := d.Conn.Layer().Move() // and could move again
	if kind != websocket.MoveKind || string(state) != "\x01\x01b\x00" || when != conn.MoveNow {
		t.Errorf("Move: %q, %q, %v", kind, state, when)
	}
	d.Send("\x81\x82\x00\x00\x00\x00hi")
	if got := d.Sent(); got != "\x81\x02hi" {
		t.Errorf("sent %q", got)
	}
	d.Send("\x81\x82\x00\x00\x00\x00h") // the beginning of a message has been unmasked in place
	if _, _, when := d.Conn.Layer().Move(); when != conn.MoveLater {
		t.Errorf("in the middle of a message: %v", when)
	}
	d.Send("i\x01\x82\x00\x00\x00\x00ho") // a whole one, and the first part of the next
	if _, _, when := d.Conn.Layer().Move(); when != conn.MoveLater {
		t.Errorf("between two parts of a message: %v", when)
	}
}

func TestRestoreRefusesWhatItCannotGoOnWith(t *testing.T) {
	for _, tt := range []struct {
		state, want string
		opts        websocket.Options
	}{
		{"", "malformed", websocket.Options{}},
		{"\x02\x00\x00", "another version", websocket.Options{}},
		{"\x01\x05ab\x00", "malformed", websocket.Options{}},
		{"\x01\x00\x00x", "malformed", websocket.Options{}},
		{"\x01\x00", "malformed", websocket.Options{}},
		{"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "malformed", websocket.Options{}},
		{"\x01\x01b\x00", `"b" is not among Options.Protocols`, websocket.Options{Protocols: []string{"a"}}},
		{"\x01\x00\x1b; server_max_window_bits=15", "Options.Compress is nil", websocket.Options{}},
		{"\x01\x00\x06; junk", "cannot go on", websocket.Options{Compress: deflate.New()}},
	} {
		if _, err := moved(t, tt.state, &tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.state, err, tt.want)
		}
	}
}

func TestRestartClosesWith1012(t *testing.T) {
	d, err := moved(t, "\x01\x00\x00", nil)
	if err != nil {
		t.Fatal(err)
	}
	d.Conn.Driver().Fire(&conn.Shutdown{Restart: true})
	d.Turn()
	if got := d.Sent(); got != "\x88\x02\x03\xf4" {
		t.Errorf("sent %q, want a Close frame with 1012", got)
	}
	if _, _, when := d.Conn.Layer().Move(); when != conn.MoveNever {
		t.Errorf("after its Close frame: %v", when)
	}
}
