package conn_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// underEachWay runs f over a kernel that sends files, and over one that does not: there files is nil.
func underEachWay(t *testing.T, f func(t *testing.T, files *conntest.Files)) {
	t.Run("read and write", func(t *testing.T) { f(t, nil) })
	t.Run("sendfile", func(t *testing.T) { f(t, &conntest.Files{}) })
}

// closeCount is an owner that counts.
type closeCount int

func (n *closeCount) Close() error { *n++; return nil }

func TestFilesAndWritesGoOutInOrder(t *testing.T) {
	underEachWay(t, func(t *testing.T, files *conntest.Files) {
		f, text := conn.TempFile(t, 1000)
		var n closeCount
		r := rigOf(t, conntest.Options{Files: files}, nil)
		r.WriteString("a")
		r.SendFile(f, 10, 20, nil)
		r.WriteShared([]byte("b"))
		r.SendFile(f, 0, 1000, nil)
		r.SendFile(f, 999, 1, &n)
		r.WriteString("c")
		if r.Pending() != 3 || r.FilePending() != 1021 {
			t.Errorf("%d bytes and %d of files are pending", r.Pending(), r.FilePending())
		}
		r.Settle()
		r.WantSent("a" + text[10:30] + "b" + text + text[999:] + "c")
		r.WantEvents("Write 1024", "Drained")
		if n != 1 || r.Pending() != 0 || r.FilePending() != 0 {
			t.Errorf("closed %d times, %d and %d bytes are pending", n, r.Pending(), r.FilePending())
		}
	})
}

func TestOrderIsKeptUnderAnyMixtureOfFilesWritesAndShortWrites(t *testing.T) {
	f, text := conn.TempFile(t, 300_000)
	underEachWay(t, func(t *testing.T, files *conntest.Files) {
		for seed := range uint64(300) {
			d := rand.New(rand.NewPCG(seed, 7))
			r := rigOf(t, conntest.Options{Files: files}, nil)
			var want bytes.Buffer
			var opened, closed closeCount
			for range 40 {
				off := d.IntN(len(text))
				p := text[off:min(len(text), off+d.IntN(1+1<<d.IntN(18)))]
				switch d.IntN(5) {
				case 0:
					r.WriteString(p)
				case 1:
					r.WriteShared([]byte(p))
				case 2:
					r.Write(append(r.AvailableBuffer(), p...))
				case 3:
					opened++
					r.SendFile(f, int64(off), int64(len(p)), &closed)
				case 4:
					r.Wire.Room = d.IntN(50_000)
					r.Driver().Writable()
					r.Settle()
					continue
				}
				want.WriteString(p)
				if d.IntN(4) == 0 {
					r.Settle()
				}
			}
			if n := r.Pending() + int(r.FilePending()); n != want.Len()-len(r.Wire.Sent) {
				t.Fatalf("seed %d: %d bytes are pending, want %d", seed, n, want.Len()-len(r.Wire.Sent))
			}
			for range 200 {
				r.writable(-1)
			}
			if !bytes.Equal(r.Wire.Sent, want.Bytes()) || closed != opened || conn.HasQueue(r.Conn) {
				t.Fatalf("seed %d: %d bytes sent, want %d; %d files opened, %d closed", seed, len(r.Wire.Sent),
					want.Len(), opened, closed)
			}
		}
	})
}

func TestAFileIsClosedOnceHoweverTheConnectionEnds(t *testing.T) {
	f, _ := conn.TempFile(t, 1000)
	for name, end := range map[string]func(r *rig){
		"Close":       func(r *rig) { r.Close() },
		"Fail":        func(r *rig) { r.Layer().Fail(conn.Protocol, errors.New("x")) },
		"Drain, sent": func(r *rig) { r.Drain(); r.writable(-1) },
		"reset":       func(r *rig) { r.Wire.FailWrite(unix.ECONNRESET); r.writable(-1) },
		"Drain, then Close": func(r *rig) {
			r.Drain()
			r.writable(10)
			r.Close()
		},
	} {
		var n [3]closeCount
		r := newRig(t, conn.Limits{}, nil)
		r.Wire.Room = 150
		for i := range n {
			r.SendFile(f, 0, 100, &n[i])
		}
		r.Settle()
		if n != [3]closeCount{1, 0, 0} {
			t.Errorf("%s: %v closed before the end", name, n)
		}
		end(r)
		r.Settle()
		if n != [3]closeCount{1, 1, 1} || !r.Driver().Finished() {
			t.Errorf("%s: closed %v", name, n)
		}
	}
}

func TestSendFileThatIsRefusedClosesNothing(t *testing.T) {
	f, _ := conn.TempFile(t, 10)
	var n closeCount
	r := newRig(t, conn.Limits{}, nil)
	if err := r.SendFile(f, -1, 5, &n); err == nil {
		t.Error("a negative offset was taken")
	}
	if err := r.SendFile(f, 0, -5, &n); err == nil {
		t.Error("a negative length was taken")
	}
	if n != 0 || conn.HasQueue(r.Conn) {
		t.Errorf("closed %d times", n)
	}
	if err := r.SendFile(f, 0, 0, &n); err != nil || n != 1 {
		t.Errorf("nothing to send: %v, closed %d times", err, n)
	}
	r.CloseWrite()
	if err := r.SendFile(f, 0, 5, &n); err != conn.ErrClosed || n != 1 {
		t.Errorf("after CloseWrite: %v, closed %d times", err, n)
	}
	r.Close()
	if err := r.SendFile(f, 0, 5, &n); err != conn.ErrClosed || n != 1 {
		t.Errorf("after Close: %v, closed %d times", err, n)
	}
}

func TestAFileThatBecameShorterCutsTheConnection(t *testing.T) {
	underEachWay(t, func(t *testing.T, files *conntest.Files) {
		f, text := conn.TempFile(t, 1000)
		var got error
		var n closeCount
		r := rigOf(t, conntest.Options{Files: files}, func(_ *conn.Conn, ev conn.Event) {
			if e, ok := ev.(*conn.Error); ok {
				got = e.Err
			}
		})
		r.Wire.Room = 100
		r.SendFile(f, 0, 1000, &n)
		r.WriteString("behind")
		r.Settle()
		if err := f.Truncate(300); err != nil {
			t.Fatal(err)
		}
		r.writable(-1)
		r.writable(-1)
		r.WantSent(text[:300])
		if all := strings.Join(r.Events(), " "); !strings.HasSuffix(all, "Error i/o error Close i/o error") {
			t.Errorf("events %q", all)
		}
		if !errors.Is(got, conn.ErrShortFile) || n != 1 {
			t.Errorf("%v, closed %d times", got, n)
		}
	})
}

func TestAnUnreadableFileCutsTheConnection(t *testing.T) {
	underEachWay(t, func(t *testing.T, files *conntest.Files) {
		dir, err := os.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		r := rigOf(t, conntest.Options{Files: files}, nil)
		r.SendFile(dir, 0, 10, nil)
		r.Settle()
		r.WantSent("")
		r.WantEvents("Error i/o error", "Close i/o error")
	})
}

// One that the kernel cannot send by itself is read.
func TestSendFileFallsBackToReading(t *testing.T) {
	f, text := conn.TempFile(t, 1000)
	for _, errno := range []error{unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP} {
		k := &conntest.Files{Fail: []error{errno}}
		r := rigOf(t, conntest.Options{Files: k}, nil)
		r.Wire.Room = 100
		r.SendFile(f, 0, 1000, nil)
		r.Settle()
		r.writable(-1)
		r.WantSent(text)
		if k.Calls != 1 || r.Wire.Writes < 2 {
			t.Errorf("%v: %d calls of SendFile, %d of Write", errno, k.Calls, r.Wire.Writes)
		}
	}
}

func TestSendFileIsTriedAgain(t *testing.T) {
	f, text := conn.TempFile(t, 1000)
	r := rigOf(t, conntest.Options{Files: &conntest.Files{Fail: []error{unix.EINTR, unix.EAGAIN}}}, nil)
	r.SendFile(f, 0, 1000, nil)
	if want := r.Settle(); want != conn.In|conn.Out {
		t.Errorf("after EAGAIN the poller is to watch for %d, want In|Out", want)
	}
	r.WantEvents()
	if want := r.writable(-1); want != conn.In {
		t.Errorf("after the end the poller is to watch for %d, want In", want)
	}
	r.WantSent(text)
	r.WantEvents("Write 1000", "Drained")
}

func TestAFileGoesOutInBoundedSteps(t *testing.T) {
	underEachWay(t, func(t *testing.T, files *conntest.Files) {
		r := rigOf(t, conntest.Options{Files: files, Limits: conn.Limits{Send: 1000}}, nil) // files are not in memory, and count for no limit
		step := conn.FlushMax                                                               // what is read and written is copied, twice, and so takes longer
		if files != nil {
			step = conn.FileMax
		}
		f, text := conn.TempFile(t, 4*step)
		if err := r.SendFile(f, 0, int64(4*step), nil); err != nil {
			t.Fatal(err)
		}
		before := 0
		for range 4 {
			want := r.Settle()
			if len(r.Wire.Sent)-before != step {
				t.Fatalf("%d bytes in one turn", len(r.Wire.Sent)-before)
			}
			if more := r.FilePending() > 0; more != (want&conn.Out != 0) {
				t.Fatalf("more to send: %v, but the poller is to watch for %d", more, want)
			}
			before = len(r.Wire.Sent)
			r.Driver().Writable()
		}
		if string(r.Wire.Sent) != text {
			t.Error("wrong bytes")
		}
		if files != nil && (files.Most != step || files.Calls != 4) {
			t.Errorf("%d calls, of %d bytes at most", files.Calls, files.Most)
		}
		r.Settle()
		r.WantEvents(append(slices.Repeat([]string{fmt.Sprintf("Write %d", step)}, 4), "Drained")...)
	})
}

func TestAFileHoldsNoMemoryWhileThePeerDoesNotRead(t *testing.T) {
	underEachWay(t, func(t *testing.T, files *conntest.Files) {
		f, _ := conn.TempFile(t, 1<<20)
		r := rigOf(t, conntest.Options{Files: files}, nil)
		r.Wire.Room = 1000
		r.SendFile(f, 0, 1<<20, nil)
		r.Settle()
		if own, _ := conn.QueueCaps(r.Conn); !conn.HasQueue(r.Conn) || own > 0 || r.Layer().Congested() || r.Pending() != 0 || r.FilePending() != 1<<20-1000 {
			t.Errorf("a queue: %v, with a buffer of %d bytes; %d and %d are pending", conn.HasQueue(r.Conn), own, r.Pending(), r.FilePending())
		}
	})
}

func TestAStalledFileEndsTheConnection(t *testing.T) {
	f, _ := conn.TempFile(t, 1000)
	r := newRig(t, conn.Limits{Stall: time.Second}, nil)
	r.Wire.Room = 10
	r.SendFile(f, 0, 1000, nil)
	if r.Loop.Shared.NextDeadline > r.Loop.Shared.Now+int64(time.Second) {
		t.Error("the loop knows of no deadline")
	}
	r.Settle()
	r.Loop.Shared.Now += int64(time.Second) - 1
	r.Driver().Expire()
	r.Settle()
	r.WantEvents("Write 10")
	r.Loop.Shared.Now++
	r.Driver().Expire()
	r.Settle()
	r.WantEvents("Error write stalled", "Close write stalled")
}

func TestCloseWriteAndLingerWaitForTheFile(t *testing.T) {
	f, text := conn.TempFile(t, 1000)
	for name, end := range map[string]func(c *conn.Conn){
		"CloseWrite":  func(c *conn.Conn) { c.CloseWrite() },
		"DrainLinger": func(c *conn.Conn) { c.Layer().DrainLinger(time.Second) },
	} {
		r := newRig(t, conn.Limits{}, nil)
		r.Wire.Room = 10
		r.SendFile(f, 0, 1000, nil)
		end(r.Conn)
		if r.Settle(); r.Wire.Shut {
			t.Errorf("%s: shut before the file was sent", name)
		}
		if r.writable(-1); !r.Wire.Shut {
			t.Errorf("%s: not shut", name)
		}
		r.WantSent(text)
	}
}

// Files go through real sockets whole, also from offsets past 4 GiB.
func TestSocketSendsFiles(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const far = 5 << 30
	data := strings.Repeat("0123456789abcde\n", 1<<16) // 1 MiB
	if _, err := f.WriteAt([]byte(data), far); err != nil {
		t.Skipf("no sparse file of 5 GiB here: %v", err)
	}
	conn.EachWay(t, func(name string, tr conn.Transport, in, out int) {
		loop := conntest.NewLoop()
		limits := conn.Limits{}.WithDefaults()
		var n closeCount
		c := conn.New(loop.Shared, out, conn.NewID(0), tr, &limits, nil)
		c.WriteString("head")
		c.SendFile(f, far+16, 1<<20-16, &n)
		c.WriteString("tail")
		var got []byte
		buf := make([]byte, 100_000)
		for end := time.Now().Add(time.Minute); len(got) < 1<<20-8 && time.Now().Before(end); {
			c.Driver().Writable()
			loop.Settle()
			for {
				k, err := tr.Read(in, buf)
				if err != nil || k == 0 {
					break
				}
				got = append(got, buf[:k]...)
			}
		}
		if string(got) != "head"+data[16:]+"tail" || n != 1 {
			t.Errorf("%s: %d bytes, closed %d times", name, len(got), n)
		}
	})
}
