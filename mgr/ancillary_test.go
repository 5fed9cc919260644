package mgr_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// over makes a connection of one end of a socketpair, with its handler, and returns the other end.
func (l *loop) over(h conn.Handler) (peer int, c *conn.Conn) {
	l.t.Helper()
	a, b := socketpair(l.t)
	l.t.Cleanup(func() { unix.Close(b) })
	l.on(func() {
		var err error
		if c, err = l.Wrap(a, h); err != nil {
			l.t.Fatal(err)
		}
	})
	return b, c
}

// isOpen reports whether fd is a descriptor of the process.
func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

func TestDescriptorsComeAsAnEventBeforeTheirBytes(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := start(t, o, echo)
		type came struct {
			fd  int
			who conn.Credentials
		}
		got := make(chan came, 1)
		order := make(chan string, 10)
		peer, _ := l.over(func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Open:
				if err := c.SetAncillary(true); err != nil {
					t.Error(err)
				}
			case *conn.Ancillary:
				order <- "Ancillary"
				files := ev.Take()
				if len(files) != 1 || ev.Truncated || len(ev.Take()) != 0 {
					t.Errorf("files %v, truncated %v", files, ev.Truncated)
				}
				got <- came{files[0], *ev.Credentials}
			case *conn.Read:
				order <- "Read " + string(c.Recv.Bytes())
				c.Recv.Discard(c.Recv.Len())
			}
		})
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if err := unix.Sendmsg(peer, []byte("hello"), unix.UnixRights(int(w.Fd())), nil, 0); err != nil {
			t.Fatal(err)
		}
		w.Close()
		c := take(t, got)
		if flags, err := unix.FcntlInt(uintptr(c.fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor flags %#x, %v: want close-on-exec", flags, err)
		}
		if c.who != (conn.Credentials{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid()}) {
			t.Errorf("credentials %+v", c.who)
		}
		theirs := os.NewFile(uintptr(c.fd), "came")
		theirs.WriteString("through the pipe")
		theirs.Close()
		if b, err := io.ReadAll(r); err != nil || string(b) != "through the pipe" {
			t.Errorf("read %q, %v", b, err)
		}
		if a, b := take(t, order), take(t, order); a != "Ancillary" || b != "Read hello" {
			t.Errorf("order %q, %q", a, b)
		}
	})
}

func TestDescriptorsThatNobodyTakesAreClosed(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		for _, how := range []string{"left", "panic", "close"} {
			l := start(t, o, echo)
			got := make(chan int, 1)
			peer, _ := l.over(func(c *conn.Conn, ev conn.Event) {
				switch ev := ev.(type) {
				case *conn.Open:
					c.SetAncillary(true)
				case *conn.Ancillary:
					got <- ev.Files[0]
					switch how {
					case "panic":
						panic("in the handler, as asked for")
					case "close":
						c.Close()
					}
				}
			})
			r, w, _ := os.Pipe()
			unix.Sendmsg(peer, []byte("x"), unix.UnixRights(int(w.Fd())), nil, 0)
			w.Close()
			take(t, got)
			r.SetReadDeadline(time.Now().Add(time.Minute))
			// The end of the pipe comes when its last writer is closed.
			if b, err := io.ReadAll(r); err != nil || len(b) > 0 {
				t.Errorf("%s: %q, %v", how, b, err)
			}
			r.Close()
		}
	})
}

func TestDescriptorsThatTheProcessHasNoRoomForAreTold(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := start(t, o, echo)
		got := make(chan conn.Ancillary, 1)
		peer, _ := l.over(func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Open:
				c.SetAncillary(true)
			case *conn.Ancillary:
				got <- *ev
			}
		})
		var old unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
		r, w, _ := os.Pipe()
		defer r.Close()
		defer w.Close()
		fd := int(w.Fd()) // calls of Fd make it blocking: before the limit
		l.on(func() {     // the loop does nothing else meanwhile
			lower := old
			lower.Cur = 3
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lower); err != nil {
				t.Fatal(err)
			}
			unix.Sendmsg(peer, []byte("x"), unix.UnixRights(fd), nil, 0)
		})
		ev := take(t, got)
		unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
		if !ev.Truncated || len(ev.Files) != 0 {
			t.Errorf("truncated %v, files %v", ev.Truncated, ev.Files)
		}
	})
}

func TestSendMsgKeepsItsPlaceInTheStream(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := start(t, o, echo)
		peer, c := l.over(echo)
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString("from a file")
		var dup int
		l.on(func() {
			c.WriteString("before ")
			if err := c.SendMsg([]byte("with "), int(f.Fd())); err != nil {
				t.Error(err)
			}
			c.WriteString("after ")
			if err := c.SendFile(f, 0, 11, nil); err != nil {
				t.Error(err)
			}
			c.WriteShared([]byte(" end"))
			if n := c.Pending(); n != len("before with after  end") {
				t.Errorf("Pending %d", n)
			}
		})
		read, files := "", ""
		for len(read) < len("before with after from a file end") {
			var p, oob [256]byte
			n, k, _, _, err := unix.Recvmsg(peer, p[:], oob[:], 0)
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			if k > 0 {
				messages, _ := unix.ParseSocketControlMessage(oob[:k])
				got, _ := unix.ParseUnixRights(&messages[0])
				dup = got[0]
				files += fmt.Sprintf("%d at %q+%q", len(got), read, p[:n])
			}
			read += string(p[:n])
		}
		if read != "before with after from a file end" {
			t.Errorf("read %q", read)
		}
		// Linux lets bytes before the message and after it come in one read with it, but not before
		// its first byte.
		if !strings.HasPrefix(files, `1 at "`) {
			t.Errorf("files: %s", files)
		}
		if !isOpen(dup) {
			t.Error("the descriptor that came is not open")
		}
		unix.Close(dup)
		l.on(func() {
			if n := c.Pending(); n != 0 {
				t.Errorf("%d bytes pending", n)
			}
		})
	})
}

func TestDescriptorsThatWereNotSentAreClosed(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := start(t, o, echo)
		ended := make(chan bool, 1)
		_, c := l.over(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Close); ok {
				ended <- true
			}
		})
		r, w, _ := os.Pipe()
		defer r.Close()
		l.on(func() {
			if err := c.SendMsg([]byte("x"), int(w.Fd())); err != nil {
				t.Error(err)
			}
			c.Close()
		})
		w.Close()
		take(t, ended)
		r.SetReadDeadline(time.Now().Add(time.Minute))
		if b, err := io.ReadAll(r); err != nil || len(b) > 0 {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func TestSendMsgRefusesWhatCannotGo(t *testing.T) {
	l := start(t, mgr.Options{}, echo)
	_, c := l.over(echo)
	r, w, _ := os.Pipe()
	defer r.Close()
	l.on(func() {
		for what, err := range map[string]error{
			"conn: send message: descriptors need a byte to go with": c.SendMsg(nil, 0),
			"conn: more than 253 descriptors with one message":       c.SendMsg([]byte("x"), make([]int, 254)...),
			"conn: send message: descriptor -1: bad file descriptor": c.SendMsg([]byte("x"), -1),
			"conn: the connection is closed or closing":              func() error { c.Drain(); return c.SendMsg([]byte("x")) }(),
		} {
			if err == nil || err.Error() != what {
				t.Errorf("error %v, want %q", err, what)
			}
		}
		p, err := l.Wrap(int(w.Fd()), echo)
		if err != nil {
			t.Fatal(err)
		}
		for op, err := range map[string]error{"SendMsg": p.SendMsg([]byte("x")), "SetAncillary": p.SetAncillary(true),
			"SetUrgent": p.SetUrgent(true), "SendUrgent": p.SendUrgent('!')} {
			if !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%s on a pipe: %v", op, err)
			}
		}
	})
}

func TestPeerCredentials(t *testing.T) {
	l := start(t, mgr.Options{}, echo)
	_, c := l.over(echo)
	l.on(func() {
		who, err := c.Kernel().PeerCredentials()
		if err != nil || who != (conn.Credentials{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid()}) {
			t.Errorf("%+v, %v", who, err)
		}
	})
}

// A goroutine hands descriptors to a connection of the loop, or of one of several loops.
func TestSendMsgFromAnyGoroutine(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := startLoops(t, 2, o, echo)
		for i, m := range l.Managers() {
			ours, theirs := socketpair(t)
			defer unix.Close(theirs)
			ids := make(chan uint64, 1)
			m.Do(func() {
				c, err := m.Wrap(ours, nil)
				if err != nil {
					t.Error(err)
					close(ids)
					return
				}
				ids <- c.ID()
			})
			id := take(t, ids)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			p := []byte("with a pipe")
			if err := l.SendMsg(id, p, int(w.Fd())); err != nil {
				t.Fatal(err)
			}
			clear(p)
			w.Close()
			unix.SetNonblock(theirs, false)
			b, oob := make([]byte, 100), make([]byte, 100)
			n, k, _, _, err := unix.Recvmsg(theirs, b, oob, 0)
			if err != nil || string(b[:n]) != "with a pipe" {
				t.Fatalf("loop %d: %q, %v", i, b[:n], err)
			}
			messages, err := unix.ParseSocketControlMessage(oob[:k])
			if err != nil || len(messages) != 1 {
				t.Fatalf("loop %d: control messages %v, %v", i, messages, err)
			}
			files, err := unix.ParseUnixRights(&messages[0])
			if err != nil || len(files) != 1 {
				t.Fatalf("loop %d: descriptors %v, %v", i, files, err)
			}
			unix.Write(files[0], []byte("x"))
			unix.Close(files[0])
			r.SetReadDeadline(time.Now().Add(time.Minute))
			if got, err := io.ReadAll(r); string(got) != "x" || err != nil { // ends when nobody has the other end
				t.Errorf("loop %d: %q, %v", i, got, err)
			}
			r.Close()
		}
	})
}

// A failed send leaks no descriptor.
func TestSendMsgToNobody(t *testing.T) {
	l := startLoops(t, 2, mgr.Options{}, echo)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fd := int(w.Fd())
	if err := l.SendMsg(1<<40, []byte("x"), fd, fd); err != nil {
		t.Error(err)
	}
	if err := l.SendMsg(1<<40, nil, fd); err == nil {
		t.Error("descriptors without a byte")
	}
	if err := l.SendMsg(1<<40, []byte("x"), fd, 1<<20); !errors.Is(err, unix.EBADF) {
		t.Errorf("a descriptor that is none: %v", err)
	}
	l.until("it is counted", func(s mgr.Stats) bool { return s.LostWakeups == 1 })
	l.Close()
	if err := l.SendMsg(1<<40, []byte("x"), fd); err != mgr.ErrClosed {
		t.Errorf("after Close: %v", err)
	}
	w.Close()
	r.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadAll(r); err != nil { // it would not end if a duplicate were open
		t.Error(err)
	}
	r.Close()
}
