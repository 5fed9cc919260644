package conn

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// kernelNet is a fakeNet that can send files.
type kernelNet struct {
	*fakeNet
	errs  []error // of the next calls of SendFile
	sends int
	most  int
}

func (k *kernelNet) SendFile(_, file int, off int64, n int) (int, error) {
	k.sends++
	k.most = max(k.most, n)
	if len(k.errs) > 0 {
		err := k.errs[0]
		k.errs = k.errs[1:]
		return 0, err
	}
	if k.room >= 0 {
		n = min(n, k.room)
	}
	if n == 0 {
		return 0, unix.EAGAIN
	}
	b := make([]byte, n)
	n, err := unix.Pread(file, b, off)
	if err != nil {
		return 0, err
	}
	if k.room >= 0 {
		k.room -= n
	}
	k.sent = append(k.sent, b[:n]...)
	return n, nil
}

// underEachWay runs f over a Transport that sends files and over one that does not.
func underEachWay(t *testing.T, f func(t *testing.T, newRig func(*testing.T, Limits, Handler) *rig)) {
	t.Run("read and write", func(t *testing.T) { f(t, newRig) })
	t.Run("sendfile", func(t *testing.T) {
		f(t, func(t *testing.T, l Limits, h Handler) *rig {
			r := newRig(t, l, h)
			r.Conn.tr = &kernelNet{fakeNet: r.net}
			return r
		})
	})
}

// tempFile makes a file of n bytes that follow a pattern without a short period.
func tempFile(t testing.TB, n int) (*os.File, string) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i + i>>8*7 + i>>16*3)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return f, string(b)
}

// closeCount is an owner that counts.
type closeCount int

func (n *closeCount) Close() error { *n++; return nil }

func TestFilesAndWritesGoOutInOrder(t *testing.T) {
	underEachWay(t, func(t *testing.T, newRig func(*testing.T, Limits, Handler) *rig) {
		f, text := tempFile(t, 1000)
		var n closeCount
		r := newRig(t, Limits{}, nil)
		r.WriteString("a")
		r.SendFile(f, 10, 20, nil)
		r.WriteShared([]byte("b"))
		r.SendFile(f, 0, 1000, nil)
		r.SendFile(f, 999, 1, &n)
		r.WriteString("c")
		if r.Pending() != 3 || r.FilePending() != 1021 {
			t.Errorf("%d bytes and %d of files are pending", r.Pending(), r.FilePending())
		}
		r.turn()
		r.wantSent("a" + text[10:30] + "b" + text + text[999:] + "c")
		r.wantEvents("Write1024 Drained")
		if n != 1 || r.Pending() != 0 || r.FilePending() != 0 {
			t.Errorf("closed %d times, %d and %d bytes are pending", n, r.Pending(), r.FilePending())
		}
	})
}

func TestOrderIsKeptUnderAnyMixtureOfFilesWritesAndShortWrites(t *testing.T) {
	f, text := tempFile(t, 300_000)
	underEachWay(t, func(t *testing.T, newRig func(*testing.T, Limits, Handler) *rig) {
		for seed := range uint64(300) {
			d := rand.New(rand.NewPCG(seed, 7))
			r := newRig(t, Limits{}, nil)
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
					r.net.room = d.IntN(50_000)
					r.Writable()
					r.turn()
					continue
				}
				want.WriteString(p)
				if d.IntN(4) == 0 {
					r.turn()
				}
			}
			if n := r.Pending() + int(r.FilePending()); n != want.Len()-len(r.net.sent) {
				t.Fatalf("seed %d: %d bytes are pending, want %d", seed, n, want.Len()-len(r.net.sent))
			}
			for range 200 {
				r.writable(-1)
			}
			if !bytes.Equal(r.net.sent, want.Bytes()) || closed != opened || r.out != nil {
				t.Fatalf("seed %d: %d bytes sent, want %d; %d files opened, %d closed", seed, len(r.net.sent),
					want.Len(), opened, closed)
			}
		}
	})
}

func TestAFileIsClosedOnceHoweverTheConnectionEnds(t *testing.T) {
	f, _ := tempFile(t, 1000)
	for name, end := range map[string]func(r *rig){
		"Close":       func(r *rig) { r.Close() },
		"Fail":        func(r *rig) { r.Fail(Protocol, errors.New("x")) },
		"Drain, sent": func(r *rig) { r.Drain(); r.writable(-1) },
		"reset":       func(r *rig) { r.net.fail = unix.ECONNRESET; r.writable(-1) },
		"Drain, then Close": func(r *rig) {
			r.Drain()
			r.writable(10)
			r.Close()
		},
	} {
		var n [3]closeCount
		r := newRig(t, Limits{}, nil)
		r.net.room = 150
		for i := range n {
			r.SendFile(f, 0, 100, &n[i])
		}
		r.turn()
		if n != [3]closeCount{1, 0, 0} {
			t.Errorf("%s: %v closed before the end", name, n)
		}
		end(r)
		r.turn()
		if n != [3]closeCount{1, 1, 1} || !r.Finished() {
			t.Errorf("%s: closed %v", name, n)
		}
	}
}

func TestSendFileThatIsRefusedClosesNothing(t *testing.T) {
	f, _ := tempFile(t, 10)
	var n closeCount
	r := newRig(t, Limits{}, nil)
	if err := r.SendFile(f, -1, 5, &n); err == nil {
		t.Error("a negative offset was taken")
	}
	if err := r.SendFile(f, 0, -5, &n); err == nil {
		t.Error("a negative length was taken")
	}
	if n != 0 || r.out != nil {
		t.Errorf("closed %d times", n)
	}
	if err := r.SendFile(f, 0, 0, &n); err != nil || n != 1 {
		t.Errorf("nothing to send: %v, closed %d times", err, n)
	}
	r.CloseWrite()
	if err := r.SendFile(f, 0, 5, &n); err != ErrClosed || n != 1 {
		t.Errorf("after CloseWrite: %v, closed %d times", err, n)
	}
	r.Close()
	if err := r.SendFile(f, 0, 5, &n); err != ErrClosed || n != 1 {
		t.Errorf("after Close: %v, closed %d times", err, n)
	}
}

func TestAFileThatBecameShorterCutsTheConnection(t *testing.T) {
	underEachWay(t, func(t *testing.T, newRig func(*testing.T, Limits, Handler) *rig) {
		f, text := tempFile(t, 1000)
		var got error
		var n closeCount
		r := newRig(t, Limits{}, func(_ *Conn, ev Event) {
			if e, ok := ev.(*Error); ok {
				got = e.Err
			}
		})
		r.net.room = 100
		r.SendFile(f, 0, 1000, &n)
		r.WriteString("behind")
		r.turn()
		if err := f.Truncate(300); err != nil {
			t.Fatal(err)
		}
		r.writable(-1)
		r.writable(-1)
		r.wantSent(text[:300])
		if all := strings.Join(r.events, " "); !strings.HasSuffix(all, "Error:i/o error Close:i/o error") {
			t.Errorf("events %q", all)
		}
		if !errors.Is(got, ErrShortFile) || n != 1 {
			t.Errorf("%v, closed %d times", got, n)
		}
	})
}

func TestAnUnreadableFileCutsTheConnection(t *testing.T) {
	underEachWay(t, func(t *testing.T, newRig func(*testing.T, Limits, Handler) *rig) {
		dir, err := os.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		r := newRig(t, Limits{}, nil)
		r.SendFile(dir, 0, 10, nil)
		r.turn()
		r.wantSent("")
		r.wantEvents("Error:i/o error Close:i/o error")
	})
}

// One that the kernel cannot send by itself is read.
func TestSendFileFallsBackToReading(t *testing.T) {
	f, text := tempFile(t, 1000)
	for _, errno := range []error{unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP} {
		r := newRig(t, Limits{}, nil)
		k := &kernelNet{fakeNet: r.net, errs: []error{errno}}
		r.Conn.tr = k
		r.net.room = 100
		r.SendFile(f, 0, 1000, nil)
		r.turn()
		r.writable(-1)
		r.wantSent(text)
		if k.sends != 1 || r.net.calls < 2 {
			t.Errorf("%v: %d calls of SendFile, %d of Write", errno, k.sends, r.net.calls)
		}
	}
}

func TestSendFileIsTriedAgain(t *testing.T) {
	f, text := tempFile(t, 1000)
	r := newRig(t, Limits{}, nil)
	r.Conn.tr = &kernelNet{fakeNet: r.net, errs: []error{unix.EINTR, unix.EAGAIN}}
	r.SendFile(f, 0, 1000, nil)
	if want := r.turn(); want != In|Out {
		t.Errorf("after EAGAIN the poller is to watch for %d, want In|Out", want)
	}
	r.wantEvents("")
	if want := r.writable(-1); want != In {
		t.Errorf("after the end the poller is to watch for %d, want In", want)
	}
	r.wantSent(text)
	r.wantEvents("Write1000 Drained")
}

func TestAFileGoesOutInBoundedSteps(t *testing.T) {
	underEachWay(t, func(t *testing.T, newRig func(*testing.T, Limits, Handler) *rig) {
		r := newRig(t, Limits{Send: 1000}, nil) // files are not in memory, and count for no limit
		k, kernel := r.Conn.tr.(*kernelNet)
		step := flushMax // what is read and written is copied, twice, and so takes longer
		if kernel {
			step = fileMax
		}
		f, text := tempFile(t, 4*step)
		if err := r.SendFile(f, 0, int64(4*step), nil); err != nil {
			t.Fatal(err)
		}
		before := 0
		for range 4 {
			want := r.turn()
			if len(r.net.sent)-before != step {
				t.Fatalf("%d bytes in one turn", len(r.net.sent)-before)
			}
			if more := r.FilePending() > 0; more != (want&Out != 0) {
				t.Fatalf("more to send: %v, but the poller is to watch for %d", more, want)
			}
			before = len(r.net.sent)
			r.Writable()
		}
		if string(r.net.sent) != text {
			t.Error("wrong bytes")
		}
		if kernel && (k.most != step || k.sends != 4) {
			t.Errorf("%d calls, of %d bytes at most", k.sends, k.most)
		}
		r.turn()
		r.wantEvents(strings.Repeat(fmt.Sprintf("Write%d ", step), 4) + "Drained")
	})
}

func TestAFileHoldsNoMemoryWhileThePeerDoesNotRead(t *testing.T) {
	underEachWay(t, func(t *testing.T, newRig func(*testing.T, Limits, Handler) *rig) {
		f, _ := tempFile(t, 1<<20)
		r := newRig(t, Limits{}, nil)
		r.net.room = 1000
		r.SendFile(f, 0, 1<<20, nil)
		r.turn()
		if r.out == nil || cap(r.out.own) > 0 || r.Congested() || r.Pending() != 0 || r.FilePending() != 1<<20-1000 {
			t.Errorf("the queue is %+v", r.out)
		}
	})
}

func TestAStalledFileEndsTheConnection(t *testing.T) {
	f, _ := tempFile(t, 1000)
	r := newRig(t, Limits{Stall: time.Second}, nil)
	r.net.room = 10
	r.SendFile(f, 0, 1000, nil)
	if r.sh.NextDeadline > r.sh.Now+int64(time.Second) {
		t.Error("the loop knows of no deadline")
	}
	r.turn()
	r.sh.Now += int64(time.Second) - 1
	r.Expire()
	r.turn()
	r.wantEvents("Write10")
	r.sh.Now++
	r.Expire()
	r.turn()
	r.wantEvents("Error:write stalled Close:write stalled")
}

func TestCloseWriteAndLingerWaitForTheFile(t *testing.T) {
	f, text := tempFile(t, 1000)
	for name, end := range map[string]func(c *Conn){
		"CloseWrite":  func(c *Conn) { c.CloseWrite() },
		"DrainLinger": func(c *Conn) { c.DrainLinger(time.Second) },
	} {
		r := newRig(t, Limits{}, nil)
		r.net.room = 10
		r.SendFile(f, 0, 1000, nil)
		end(r.Conn)
		if r.turn(); r.net.shut {
			t.Errorf("%s: shut before the file was sent", name)
		}
		if r.writable(-1); !r.net.shut {
			t.Errorf("%s: not shut", name)
		}
		r.wantSent(text)
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
	for _, way := range ways {
		in, out := way.pair(t)
		loop := &fakeLoop{}
		limits := Limits{}.WithDefaults()
		var n closeCount
		c := New(NewShared(loop), out, NewID(out), way.tr, &limits, nil)
		c.WriteString("head")
		c.SendFile(f, far+16, 1<<20-16, &n)
		c.WriteString("tail")
		var got []byte
		buf := make([]byte, 100_000)
		for turns := 0; len(got) < 1<<20-8 && turns < 10_000; turns++ {
			c.Writable()
			c.Settle()
			for {
				k, err := way.tr.Read(in, buf)
				if err != nil || k == 0 {
					break
				}
				got = append(got, buf[:k]...)
			}
		}
		if string(got) != "head"+data[16:]+"tail" || n != 1 {
			t.Errorf("%s: %d bytes, closed %d times", way.name, len(got), n)
		}
	}
}

func TestSocketSendFileErrors(t *testing.T) {
	tr, ok := Transport(new(Socket)).(fileSender)
	if !ok {
		t.Skip("no sendfile here")
	}
	f, _ := tempFile(t, 100)
	_, out := unixPair(t)
	if n, err := tr.SendFile(out, int(f.Fd()), 100, 10); n != 0 || err != nil {
		t.Errorf("at the end of the file: %d, %v", n, err)
	}
	if n, err := tr.SendFile(out, -1, 0, 10); n != 0 || err != unix.EBADF {
		t.Errorf("no file: %d, %v", n, err)
	}
	if err := new(Socket).CloseWrite(out); err != nil {
		t.Fatal(err)
	}
	if n, err := tr.SendFile(out, int(f.Fd()), 0, 10); n != 0 || err != unix.EPIPE {
		t.Errorf("a broken connection: %d, %v", n, err)
	}
	_, out = unixPair(t)
	big, _ := tempFile(t, 1<<20)
	short := false
	for range 100 {
		n, err := tr.SendFile(out, int(big.Fd()), 0, 1<<20)
		if err == unix.EAGAIN {
			if !short {
				t.Error("EAGAIN without a short call before")
			}
			return
		}
		short = short || n < 1<<20
	}
	t.Error("no EAGAIN")
}
