package handoff_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/handoff"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// The processes of the simulation (sim_linux_test.go): their threads and descriptors, how they end,
// and the program that they run.

// simEnd is how a process ends at its step.
type simEnd int

const (
	isKilled simEnd = iota
	closes          // the program closes its loops
	shutsDown
	ends
)

var simEnds = [...]string{isKilled: "is killed", closes: "closes", shutsDown: "shuts down"}

func (e simEnd) String() string { return simEnds[e] }

// simProcess is one of the processes.
type simProcess struct {
	name  string
	w     *simWorld
	kept  map[int]bool // descriptors of Go's runtime, and of the test
	jobs  chan func()  // for the process to do, between two turns of its loops
	ready chan bool    // closed when it serves
	ended chan bool    // closed when it has ended, or died
	err   error        // of Begin, Ready and so on: read it after ended
	tid   int

	// Of its own thread.
	steps map[string]int // how often each step has been taken
	loops *mgr.Loops
}

// spawn starts a process, which runs f. It returns when that has begun.
func (w *simWorld) spawn(name string, f func(p *simProcess) error) *simProcess {
	p := &simProcess{name: name, w: w, jobs: make(chan func()), ready: make(chan bool), ended: make(chan bool), steps: map[string]int{}}
	begun := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if unix.Gettid() == unix.Getpid() {
			begun <- errMainThread // which does not end
			runtime.UnlockOSThread()
			return
		}
		err := unix.Unshare(unix.CLONE_FILES)
		begun <- err
		if err != nil {
			return
		}
		<-begun
		p.tid = unix.Gettid()
		p.kept = closeAll()
		w.mu.Lock()
		w.processes[p.tid] = p
		w.mu.Unlock()
		begun <- nil
		defer func() {
			w.mu.Lock()
			delete(w.processes, p.tid)
			w.mu.Unlock()
			closeAll()
			close(p.ended)
		}()
		p.err = f(p)
		if n := p.left(); n != 0 {
			w.fault("the process %s has closed all, but for %d descriptors", p.name, n)
		}
	}()
	switch err := <-begun; {
	case err == errMainThread:
		hold := make(chan bool) // so that the next one gets another thread
		defer close(hold)
		go func() { runtime.LockOSThread(); <-hold; runtime.UnlockOSThread() }()
		runtime.Gosched()
		return w.spawn(name, f)
	case err != nil:
		w.t.Skipf("no table of descriptors for a thread: %v", err) // some sandboxes
	}
	begun <- nil
	<-begun
	return p
}

var errMainThread = errors.New("on the main thread")

// closeAll closes the descriptors of this thread, as the kernel does when a process ends, but for
// the standard files and those that Go's runtime uses on any thread. It returns the latter.
func closeAll() (kept map[int]bool) {
	kept = map[int]bool{}
	first := uint(3)
	for _, fd := range runtimeFiles() {
		kept[fd] = true
		if uint(fd) > first {
			closeRange(first, uint(fd)-1)
		}
		first = uint(fd) + 1
	}
	closeRange(first, 1<<20)
	return kept
}

func closeRange(first, last uint) {
	if unix.CloseRange(first, last, 0) == nil {
		return
	}
	for fd := first; fd <= min(last, 4096); fd++ { // before Linux 5.9
		unix.Close(int(fd))
	}
}

// runtimeFiles returns, in order, the descriptors of the poller of Go's runtime: a thread that sets
// a timer may ring it. Some may be another poller's: those stay open once more, and nobody minds.
var runtimeFiles = sync.OnceValue(func() (fds []int) {
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil { // it has one now
		ln.Close()
	}
	for fd := 3; fd < 1024; fd++ {
		var link [64]byte
		n, _ := unix.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd), link[:])
		if s := string(link[:max(n, 0)]); s == "anon_inode:[eventpoll]" || s == "anon_inode:[eventfd]" {
			fds = append(fds, fd)
		}
	}
	return fds
})

// left is files for the thread of the process.
func (p *simProcess) left() (n int) {
	for fd := 3; fd < 1024; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && !p.kept[fd] {
			n++
		}
	}
	return n
}

// files returns how many descriptors the process has.
func (p *simProcess) files() int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/self/task/%d/fd", p.tid))
	if err != nil {
		return -1 // it has ended
	}
	n := -3 // the standard files
	for _, e := range list {
		if fd, _ := strconv.Atoi(e.Name()); !p.kept[fd] {
			n++
		}
	}
	return n
}

// on has p do f, and waits. It reports false if p has ended.
func (p *simProcess) on(f func()) bool {
	done := make(chan bool)
	select {
	case p.jobs <- func() { f(); close(done) }:
	case <-p.ended:
		return false
	}
	select {
	case <-done:
		return true
	case <-p.ended:
		return false
	}
}

// die ends p where it is, as SIGKILL does.
func (p *simProcess) die() {
	p.w.mu.Lock()
	p.w.dead = p.name
	p.w.mu.Unlock()
	closeAll()
	runtime.Goexit()
}

// close closes the loops. Loops.Close would do it in other goroutines, whose threads have other
// descriptors.
func (p *simProcess) close() {
	for _, m := range p.loops.Managers() {
		m.Close()
	}
}

// shutdown has the loops shut down.
func (p *simProcess) shutdown() {
	for _, m := range p.loops.Managers() {
		m.Do(func() { // from a handler it does not wait
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			m.Shutdown(ctx)
		})
	}
}

// turn is one turn of each loop. It reports false when all have been closed.
func (p *simProcess) turn() bool {
	alive := false
	for _, m := range p.loops.Managers() {
		if m.Poll(time.Millisecond/2) != mgr.ErrClosed {
			alive = true
		}
	}
	select {
	case f := <-p.jobs:
		f()
	default:
	}
	return alive
}

// serve is the program: it replies to each request with its number among those of the connection,
// which moves along. It serves until all connections have moved, or it is told to end.
func (w *simWorld) serve(p *simProcess) error {
	at := func(c *conn.Conn) string { return c.RemoteAddr().String() }
	wsOpts := &websocket.Options{PingInterval: -1}
	o := handoff.Options{Path: w.path, Move: true, Spread: time.Millisecond, Patience: 10 * time.Second, Deadline: 10 * time.Second}
	o.Save = func(c *conn.Conn) ([]byte, bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if p.name == "old" {
			w.leaving[at(c)] = true
		}
		k, _ := c.Data.(int)
		return binary.BigEndian.AppendUint32(nil, uint32(k)), true
	}
	o.Restore = func(c *conn.Conn, r handoff.Record) error {
		w.mu.Lock()
		w.owner[at(c)] = p.name
		delete(w.leaving, at(c))
		if p.name == "new" {
			w.arrived++
		}
		w.mu.Unlock()
		c.Data = int(binary.BigEndian.Uint32(r.User))
		if r.Kind == websocket.MoveKind {
			return websocket.Restore(c, r.State, wsOpts)
		}
		return nil
	}
	up, err := handoff.Begin(o)
	if err != nil {
		return err
	}
	defer up.Close()
	loops := w.o.loops[0]
	if p.name == "new" {
		loops = w.o.loops[1]
	}
	p.loops, err = mgr.NewLoops(loops, mgr.Options{Poller: w.o.poller, Inherit: up, Memory: -1})
	if err != nil {
		return err
	}
	handle := func(c *conn.Conn, request []byte) []byte {
		w.step("serve")
		k, _ := c.Data.(int)
		c.Data = k + 1
		w.mu.Lock()
		defer w.mu.Unlock()
		w.served[string(request)]++
		return fmt.Appendf(nil, "%d %s", k+1, request)
	}
	h := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Accept:
			w.mu.Lock()
			if w.owner[at(c)] == "" {
				w.owner[at(c)] = p.name // else it has moved, and Restore comes
			}
			w.mu.Unlock()
		case *http.Message:
			if string(ev.Path) == "/ws" {
				websocket.Upgrade(c, ev, wsOpts)
			} else {
				http.Reply(c, 200, "text/plain", "%s", handle(c, ev.Path))
			}
		case *websocket.Message:
			websocket.Send(c, websocket.Text, handle(c, ev.Data))
		}
	}
	for _, url := range []string{"tcp://" + w.addr, "unix://" + w.also} {
		if _, err := http.Listen(p.loops, url, h); err != nil {
			return err
		}
	}
	if err := up.Ready(p.loops); err != nil {
		return err
	}
	close(p.ready)
	for p.turn() {
		w.step("turn")
	}
	return nil
}
