package conn_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// The tests of a rig run twice: over its Wire, and over a Layered transport on that, which holds
// all input that has come and changes nothing else. So each statement about a plain connection
// is proved for one over TLS, too.
func TestMain(m *testing.M) {
	code := m.Run()
	run := flag.Lookup("test.run")
	once := run != nil && strings.Contains(run.Value.String(), "TestHelper") // a test runs this program, for its output
	for _, name := range []string{"test.bench", "test.fuzz", "test.list"} {
		f := flag.Lookup(name)
		once = once || f != nil && f.Value.String() != ""
	}
	if code == 0 && !once {
		layeredRun = true
		if skip := flag.Lookup("test.skip"); skip != nil && skip.Value.String() == "" {
			skip.Value.Set("^TestEachCall") // those have no rig, and take long
		}
		code = m.Run()
	}
	os.Exit(code)
}

var layeredRun bool

// thinLayer is the Layered of such a rig.
type thinLayer struct {
	conn.Transport // below
	in             []byte
	after          error // what follows in
	ended          bool
}

// A sender is a transport that sends files.
type sender interface {
	SendFile(fd, file int, off int64, n int) (int, error)
}

// putThinLayer puts a thinLayer on c, which sends files if the transport below does.
func putThinLayer(c *conn.Conn) {
	l := &thinLayer{Transport: c.Layer().Transport()}
	if s, ok := l.Transport.(sender); ok {
		c.Layer().SetTransport(struct {
			*thinLayer
			sender
		}{l, s}, 0)
		return
	}
	c.Layer().SetTransport(l, 0)
}

func (l *thinLayer) Below() conn.Transport             { return l.Transport }
func (l *thinLayer) Handshake(int) (conn.Event, error) { return nil, nil }
func (l *thinLayer) Buffered() bool                    { return len(l.in) > 0 || l.after != nil || l.ended }
func (l *thinLayer) Unsent() int                       { return 0 }
func (l *thinLayer) Holds() int                        { return 0 }
func (l *thinLayer) Flush(int) error                   { panic("flush of nothing") }

func (l *thinLayer) Read(fd int, p []byte) (int, error) {
	for b := make([]byte, 1<<16); len(l.in) < 1<<20 && l.after == nil && !l.ended; {
		n, err := l.Transport.Read(fd, b)
		if err == unix.EAGAIN {
			break
		}
		l.in, l.after, l.ended = append(l.in, b[:max(n, 0)]...), err, n == 0 && err == nil
	}
	switch {
	case len(l.in) > 0:
		n := copy(p, l.in)
		l.in = l.in[n:]
		return n, nil
	case l.after != nil:
		err := l.after
		l.after = nil
		return -1, err
	case l.ended:
		return 0, nil
	}
	return -1, unix.EAGAIN
}
