package tlsconn

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// A stream that ends before all was sent ends without close_notify (RFC 8446 §6.1), one that is
// whole with it: also if the peer takes all that it is given meanwhile.
func TestCloseNotifySaysThatTheStreamIsWhole(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		name  string
		end   func(c *conn.Conn)
		whole bool
	}{
		{"Close", (*conn.Conn).Close, true},
		{"Drain", func(c *conn.Conn) { c.WriteString("last"); c.Drain() }, true},
		{"CloseWrite", func(c *conn.Conn) { c.WriteString("last"); c.CloseWrite() }, true},
		{"idle", func(c *conn.Conn) { c.Layer().Fail(conn.Idle, nil) }, true},
		{"FailAfter", func(c *conn.Conn) {
			c.WriteString("sorry")
			c.Driver().FailAfter(conn.Protocol, errors.New("wrong"), 1e9)
		}, true},
		{"Close with bytes queued", func(c *conn.Conn) { c.WriteString("lost"); c.Close() }, false},
		{"Close with shared bytes queued", func(c *conn.Conn) { c.WriteShared([]byte("lost")); c.Close() }, false},
		{"Close with much queued", func(c *conn.Conn) { c.WriteString(big); c.Close() }, false},
		{"Fail", func(c *conn.Conn) { c.Layer().Fail(conn.IOError, errors.New("no more")) }, false},
		{"Fail with bytes queued", func(c *conn.Conn) { c.WriteString("lost"); c.Layer().Fail(conn.IOError, nil) }, false},
		{"a panic", func(c *conn.Conn) { c.Layer().Fail(conn.Panicked, errors.New("oh")) }, false},
		{"Cut", func(c *conn.Conn) { c.Layer().Cut(); c.Close() }, false},
		{"Cut, then Drain", func(c *conn.Conn) { c.WriteString("a part"); c.Layer().Cut(); c.Drain() }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, newServer(t, nil), nil, nil).shake()
			r.heard()
			r.pipe.fin = errFIN
			c.end(r.Conn)
			r.Turn()
			if _, err := r.read(); c.whole && err != io.EOF || !c.whole && err != errFIN {
				t.Errorf("the peer's stream ends with %v", err)
			}
		})
	}
}

// A reply that is given up in its middle does not look whole, also where its body ends with the
// stream.
func TestCutRepliesShow(t *testing.T) {
	for _, by := range []string{"Abort", "a source"} {
		t.Run(by, func(t *testing.T) {
			var stream *http.Stream
			src := &brokenSource{}
			s, server := newServer(t, nil), http.NewServer(http.Options{})
			r := newRigOver(t, s, func(c *conn.Conn, ev conn.Event) {
				m, ok := ev.(*http.Message)
				switch {
				case !ok:
				case by == "Abort":
					stream, _ = m.Later().Begin(200, "text/plain")
					stream.Write([]byte("half"))
				default:
					http.ReplyFrom(c, 200, "text/plain", -1, src)
				}
			}, nil, func(c *conn.Conn) { http.Attach(c, server) }).shake()
			r.pipe.fin = errFIN
			r.say("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
			if got := r.heard(); !strings.HasSuffix(got, "\r\n\r\nhalf") {
				t.Fatalf("heard %q", got)
			}
			if by == "Abort" {
				stream.Abort()
			} else {
				src.wake()
			}
			r.Turn()
			if got, err := r.read(); got != "" || err != errFIN {
				t.Errorf("%q ends with %v", got, err)
			}
		})
	}
}

// A brokenSource has a part of a body.
type brokenSource struct {
	n    int
	wake func() error
}

func (s *brokenSource) Next(_ int, wake func() error) ([]byte, error) {
	s.wake = wake
	switch s.n++; s.n {
	case 1:
		return []byte("half"), nil
	case 2:
		return nil, http.ErrWait
	}
	return nil, errors.New("the disk is gone")
}

func (s *brokenSource) Close() {}
