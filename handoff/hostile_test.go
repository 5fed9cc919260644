package handoff_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/handoff"
	"github.com/seed4930a636/mangusta/mgr"
)

// says connects to the control socket, writes what a new process might, and returns all that the
// old one says until it hangs up.
func says(t *testing.T, path string, frames ...[]byte) []byte {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	for _, f := range frames {
		c.Write(f) // it may have hung up
	}
	b, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Error(err)
	}
	return b
}

// openFiles returns how many descriptors this process has.
func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(list)
}

// wantNoConns waits until v has no connection any more, and so has closed their descriptors.
func (v *version) wantNoConns() {
	v.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		n, done := 0, make(chan int, v.loops.Len())
		v.loops.DoEach(func(m *mgr.Manager) { done <- m.Stats().Conns }) // Loops.Stats are those of the last turn
		for range v.loops.Len() {
			n += <-done
		}
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			v.t.Fatalf("%s has %d connections", v.name, n)
		}
	}
}

// wantOpenFiles waits until no more descriptors are open than were: an end of a connection may
// still have been open then.
func wantOpenFiles(t *testing.T, want int) {
	t.Helper()
	n := openFiles(t)
	for end := time.Now().Add(time.Minute); n > want && time.Now().Before(end); n = openFiles(t) {
		time.Sleep(time.Millisecond)
	}
	if n > want {
		t.Errorf("%d descriptors are open, and %d were", n, want)
	}
}

// A peer that may connect, and sends anything but the messages of a new process, changes nothing.
func TestNonsenseOnTheControlSocket(t *testing.T) {
	underBoth(t, func(t *testing.T, p mgr.Poller) {
		for _, loops := range []int{1, 2} {
			o := handoff.Options{Path: filepath.Join(t.TempDir(), "h"), Patience: patience}
			addr := freePorts(t, "tcp", 1)[0]
			old := begin(t, "old", o, p, loops, "tcp://"+addr).serve()
			wantGreeting(t, "tcp", addr, "old").Close()
			says(t, o.Path, []byte("GET / HTTP/1.1\r\n\r\n"))
			old.wantNoConns()
			before := openFiles(t)
			dice := rand.New(rand.NewPCG(1, uint64(loops)))
			noise := make([]byte, 5000)
			for i := range noise {
				noise[i] = byte(dice.Uint32())
			}
			number := binary.AppendUvarint(nil, 1<<40)
			for what, frames := range map[string][][]byte{
				"noise":                          {noise},
				"noise after Hello":              {handoff.Hello(), noise},
				"Ready before Hello":             {handoff.Frame('R', 0, []byte{1})},
				"Hello twice":                    {handoff.Hello(), handoff.Hello()},
				"another version":                {handoff.Frame('H', 0, []byte("\x09mangusta handoff"))},
				"another protocol":               {handoff.Frame('H', 0, []byte("\x01mangusta nonsense"))},
				"an empty Hello":                 {handoff.Frame('H', 0, nil)},
				"Ready without flags":            {handoff.Hello(), handoff.Frame('R', 0, nil)},
				"Ready with a listener too many": {handoff.Hello(), handoff.Frame('R', 0, append([]byte{0}, number...))},
				"Ready with half a number":       {handoff.Hello(), handoff.Frame('R', 0, []byte{0, 0x80})},
				"Taken before Go":                {handoff.Hello(), handoff.Frame('T', 0, number)},
				"a frame of the other side":      {handoff.Hello(), handoff.Frame('G', 0, nil)},
				"a descriptor that is not there": {handoff.Frame('M', 1, nil)},
				"a frame of 4 GiB":               {{'H', 0, 0xff, 0xff, 0xff, 0xff}},
			} {
				if b := says(t, o.Path, frames...); bytes.Contains(b, handoff.Frame('G', 0, nil)) {
					t.Errorf("%s: the old process says %q", what, b)
				}
				wantGreeting(t, "tcp", addr, "old").Close()
				if old.loops.Draining() {
					t.Errorf("%s: the old process drains", what)
				}
			}
			// Between Ready and the end of the old process: it comes back.
			hold := wantGreeting(t, "tcp", addr, "old")
			says(t, o.Path, handoff.Hello(), handoff.Frame('R', 0, []byte{0, 0, 1}), handoff.Frame('T', 0, number))
			wantGreeting(t, "tcp", addr, "old").Close()
			hold.Close()
			wantOpenFiles(t, before)

			next := begin(t, "new", o, p, loops, "tcp://"+addr).serve()
			old.wantEnd()
			wantGreeting(t, "tcp", addr, "new").Close()
			next.loops.Close()
		}
	})
}

// The old process takes no descriptors: a peer cannot fill its table with them.
func TestDescriptorsForTheOldProcess(t *testing.T) {
	o := handoff.Options{Path: filepath.Join(t.TempDir(), "h"), Patience: patience}
	addr := freePorts(t, "tcp", 1)[0]
	begin(t, "old", o, mgr.Epoll, 1, "tcp://"+addr).serve()
	before := openFiles(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err = unix.Connect(fd, &unix.SockaddrUnix{Name: o.Path}); err != nil {
		t.Fatal(err)
	}
	unix.Write(fd, []byte{'H', 0, 0, 0x10, 0, 0}) // a megabyte will come
	rights := unix.UnixRights(0, 0, 0, 0, 0, 0, 0, 0)
	for sent := 0; err == nil && sent < 1000; sent++ {
		err = unix.Sendmsg(fd, []byte("x"), rights, nil, unix.MSG_NOSIGNAL)
	}
	wantOpenFiles(t, before+2) // both ends
	wantGreeting(t, "tcp", addr, "old").Close()
}

// A user that may connect, since the name is abstract, but must not replace the process.
func TestAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	path := fmt.Sprintf("@mangusta-handoff-test-%d", os.Getpid())
	o := handoff.Options{Path: path, Patience: patience}
	addr := freePorts(t, "tcp", 1)[0]
	old := begin(t, "old", o, mgr.Epoll, 1, "tcp://"+addr).serve()
	type outcome struct {
		said []byte
		fds  []int
		err  error
	}
	done := make(chan outcome)
	go func() { // on a thread of its own, which ends with the goroutine
		runtime.LockOSThread()
		var r outcome
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), 65534, 0); errno != 0 {
			r.err = errno
		}
		for i := 0; i < 300 && r.err == nil; i++ {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err == nil {
				r.fds = append(r.fds, fd)
				err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
			}
			r.err = err
		}
		done <- r
		for _, fd := range r.fds {
			b := make([]byte, 200)
			n, err := unix.Read(fd, b)
			r.said, r.err = b[:max(n, 0)], err
		}
		done <- r
	}()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	r = <-done
	if want := "A\x00"; r.err != nil || !bytes.HasPrefix(r.said, []byte(want)) || !bytes.Contains(r.said, []byte("wrong user: 65534")) {
		t.Errorf("the old process says %q, %v", r.said, r.err)
	}
	old.wantNoConns() // although the peers do not hang up
	for _, fd := range r.fds {
		unix.Close(fd)
	}
	never := o
	never.Allow = func(conn.Credentials) bool { return false }
	if _, err := handoff.Begin(never); !errors.Is(err, handoff.ErrNotAllowed) {
		t.Errorf("Begin before a process of the wrong user: %v", err)
	}
	next := begin(t, "new", o, mgr.Epoll, 1, "tcp://"+addr).serve()
	old.wantEnd()
	wantGreeting(t, "tcp", addr, "new").Close()
	next.loops.Close()
}

// Several new processes at once replace each other in turn. A client of each listener never finds
// nobody.
func TestManySuccessorsAtOnce(t *testing.T) {
	underBoth(t, func(t *testing.T, p mgr.Poller) {
		o := handoff.Options{Path: filepath.Join(t.TempDir(), "h"), Patience: patience, Spread: -1}
		addr, path := freePorts(t, "tcp", 1)[0], filepath.Join(t.TempDir(), "s")
		urls := []string{"tcp://" + addr, "unix://" + path}
		all := []*version{begin(t, "v", o, p, 1, urls...).serve()}
		quit := make(chan bool)
		var dialing sync.WaitGroup
		for _, a := range [][2]string{{"tcp", addr}, {"unix", path}} {
			dialing.Go(func() {
				for {
					select {
					case <-quit:
						return
					default:
					}
					c, err := net.Dial(a[0], a[1])
					if err != nil {
						t.Errorf("%s: %v", a, err)
						return
					}
					c.SetDeadline(time.Now().Add(patience))
					b := make([]byte, 2)
					if _, err := io.ReadFull(c, b); err != nil || string(b) != "v\n" {
						t.Errorf("%s: %q, %v", a, b, err)
					}
					c.Close()
				}
			})
		}
		var mu sync.Mutex
		var starting sync.WaitGroup
		for range 6 {
			starting.Go(func() {
				v := begin(t, "v", o, p, 1, urls...).serve()
				mu.Lock()
				defer mu.Unlock()
				all = append(all, v)
			})
		}
		starting.Wait()
		ended := 0
		for end := time.Now().Add(patience); ended < len(all)-1 && time.Now().Before(end); time.Sleep(time.Millisecond) {
			for _, v := range all {
				select {
				case err := <-v.ended:
					if ended++; err != nil || !v.up.Replaced() {
						t.Errorf("a process has ended: %v, replaced %v", err, v.up.Replaced())
					}
				default:
				}
			}
		}
		close(quit)
		dialing.Wait()
		if ended != len(all)-1 {
			t.Errorf("%d of %d processes have ended", ended, len(all))
		}
		for _, v := range all {
			v.loops.Close()
		}
	})
}

// While a process still finishes, its successor may be replaced, and end in whatever way: the
// process that serves is the last one, and the first does not come back.
func TestTheFirstOfThreeProcessesFinishes(t *testing.T) {
	underBoth(t, func(t *testing.T, p mgr.Poller) {
		for _, dies := range []bool{false, true} {
			o := handoff.Options{Path: filepath.Join(t.TempDir(), "h"), Spread: -1, Deadline: patience, Move: dies}
			addr := freePorts(t, "tcp", 1)[0]
			first := begin(t, "first", o, p, 1, "tcp://"+addr).serve()
			hold := wantGreeting(t, "tcp", addr, "first")
			second := begin(t, "second", o, p, 1, "tcp://"+addr).serve()
			second2 := wantGreeting(t, "tcp", addr, "second")
			third := begin(t, "third", o, p, 2, "tcp://"+addr).serve()
			wantGreeting(t, "tcp", addr, "third").Close()
			if dies {
				second.loops.Close()
				second.wantEnd()
			}
			for range 20 { // it would be the first's turn now and then
				wantGreeting(t, "tcp", addr, "third").Close()
			}
			second2.Close()
			hold.Close()
			first.wantEnd()
			if !first.up.Replaced() {
				t.Error("the first process has ended for another reason")
			}
			if !dies {
				second.wantEnd()
			}
			wantGreeting(t, "tcp", addr, "third").Close()
			third.loops.Close()
		}
	})
}

// The second of three processes comes back because the third has died, and then it dies, too: the
// first one comes back.
func TestTheFirstOfThreeProcessesComesBack(t *testing.T) {
	underBoth(t, func(t *testing.T, p mgr.Poller) {
		o := handoff.Options{Path: filepath.Join(t.TempDir(), "h"), Spread: -1, Deadline: patience}
		addr := freePorts(t, "tcp", 1)[0]
		first := begin(t, "first", o, p, 1, "tcp://"+addr).serve()
		wantGreeting(t, "tcp", addr, "first") // stays open
		second := begin(t, "second", o, p, 1, "tcp://"+addr).serve()
		wantGreeting(t, "tcp", addr, "second")
		third := begin(t, "third", o, p, 1, "tcp://"+addr)
		if err := third.up.Ready(third.loops); err != nil {
			t.Fatal(err)
		}
		third.loops.Close()
		wantGreeting(t, "tcp", addr, "second")
		second.loops.Close()
		wantGreeting(t, "tcp", addr, "first")
		first.loops.Close()
	})
}

// The second of three processes dies before the third is ready: the first one, which still
// finishes, comes back, and the third must not serve beside it.
func TestTheSecondOfThreeProcessesDiesEarly(t *testing.T) {
	underBoth(t, func(t *testing.T, p mgr.Poller) {
		o := handoff.Options{Path: filepath.Join(t.TempDir(), "h"), Spread: -1, Deadline: patience}
		addr := freePorts(t, "tcp", 1)[0]
		first := begin(t, "first", o, p, 1, "tcp://"+addr).serve()
		hold := wantGreeting(t, "tcp", addr, "first")
		second := begin(t, "second", o, p, 1, "tcp://"+addr).serve()
		third := begin(t, "third", o, p, 1, "tcp://"+addr)
		second.loops.Close()
		second.wantEnd()
		if err := third.up.Ready(third.loops); !errors.Is(err, handoff.ErrAborted) {
			t.Errorf("Ready of the third: %v", err)
		}
		third.up.Close()
		third.loops.Close()
		for range 10 {
			wantGreeting(t, "tcp", addr, "first").Close()
		}

		// It dies while the next one waits for its listeners: the first one gives them.
		second = begin(t, "second", o, p, 1, "tcp://"+addr)
		if err := second.up.Ready(second.loops); err != nil { // and it does not run
			t.Fatal(err)
		}
		began := make(chan *version)
		go func() {
			defer close(began)
			began <- begin(t, "fourth", o, p, 1, "tcp://"+addr)
		}()
		second.loops.Close()
		fourth := <-began
		if fourth == nil {
			t.FailNow()
		}
		fourth.serve()
		wantGreeting(t, "tcp", addr, "fourth").Close()
		hold.Close()
		first.wantEnd()
		wantGreeting(t, "tcp", addr, "fourth").Close()
		fourth.loops.Close()
	})
}

// A process that has all the descriptors it may have cannot be replaced. It goes on serving, and
// the new one does not take itself for the first.
func TestAProcessWithoutDescriptorsGoesOn(t *testing.T) {
	underBoth(t, func(t *testing.T, p mgr.Poller) {
		s := newServers(t, p)
		old := s.start()
		old.wantReady(t)
		c := s.dial()
		defer c.Close()
		for _, path := range []string{"/fill", "/pid"} {
			if got, last, err := c.get(path); got != strconv.Itoa(old.Process.Pid) || last || err != nil {
				t.Fatalf("%s: %q, %v, %v", path, got, last, err)
			}
		}
		s.start("HANDOFF_PATIENCE=200ms").wantEnd(t, false)
		if got, last, err := c.get("/free"); got != strconv.Itoa(old.Process.Pid) || last || err != nil {
			t.Fatalf("/free: %q, %v, %v", got, last, err)
		}
		next := s.start()
		next.wantReady(t)
		c.Close()
		old.wantEnd(t, true)
		s.wantPID(next)
	})
}

// A new process under select with many descriptors open has no room for those it would get: it
// fails, and the old one goes on.
func TestASuccessorUnderSelectWithoutRoom(t *testing.T) {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || limit.Cur < 1200 {
		t.Skip("1,200 descriptors are not allowed")
	}
	o := handoff.Options{Path: filepath.Join(t.TempDir(), "h"), Patience: patience, Spread: -1}
	addr := freePorts(t, "tcp", 1)[0]
	old := begin(t, "old", o, mgr.Epoll, 1, "tcp://"+addr).serve()
	wantGreeting(t, "tcp", addr, "old").Close()
	m, err := mgr.New(mgr.Options{Poller: mgr.Select}) // what it needs for itself is below 1024
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	old.wantNoConns()
	before := openFiles(t)
	var fill []int
	defer func() {
		for _, fd := range fill {
			unix.Close(fd)
		}
	}()
	for len(fill) == 0 || fill[len(fill)-1] < 1100 {
		fd, err := unix.Dup(0)
		if err != nil {
			t.Fatal(err)
		}
		fill = append(fill, fd)
	}
	up, err := handoff.Begin(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fill[:20] { // for the manager
		unix.Close(fd)
	}
	fill = fill[20:]
	if m, err = mgr.New(mgr.Options{Poller: mgr.Select, Inherit: up}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Listen("tcp://"+addr, nil); err == nil {
		t.Error("Listen takes a descriptor over 1023")
	}
	m.Close()
	up.Close()
	for _, fd := range fill {
		unix.Close(fd)
	}
	fill = nil
	wantOpenFiles(t, before)
	wantGreeting(t, "tcp", addr, "old").Close()
	next := begin(t, "new", o, mgr.Select, 1, "tcp://"+addr).serve()
	old.wantEnd()
	wantGreeting(t, "tcp", addr, "new").Close()
	next.loops.Close()
}
