package handoff_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/handoff"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// The simulation has both processes of a handoff in this one. Each is a goroutine on a thread of
// its own, which has left the table of descriptors that the others share (unshare(2), CLONE_FILES).
// So a death is what it is for a real process: it happens in the middle of whatever the process
// does, and the kernel closes its descriptors, and no others. The open descriptors of a process can
// be counted.
//
// Beside the sockets the two share only the simWorld, in memory: there the servers say what they
// have done, and the clients what they have got.
//
// Here are the world, the clients and the test; the processes are in sim_process_linux_test.go.

// simStep is a place to die: a step of a process, and which time that it comes there.
type simStep struct {
	process string
	step    string
	nth     int
}

func (s simStep) String() string { return fmt.Sprintf("%s, %s %d", s.process, s.step, s.nth) }

// mostTimes is how often a process takes a step of one name; after that it is none any more.
const mostTimes = 12

// step is the hook of the package.
func (w *simWorld) step(name string) {
	w.mu.Lock()
	p := w.processes[unix.Gettid()]
	if p == nil {
		w.mu.Unlock()
		return
	}
	if often := name == "turn" || name == "serve"; often && !w.begun {
		w.mu.Unlock()
		return
	}
	p.steps[name]++
	at := simStep{p.name, name, p.steps[name]}
	if at.nth <= mostTimes {
		w.taken = append(w.taken, at)
	}
	switch {
	case name == "old got H":
		w.begun = true
	case name == "begin O":
		w.offered = true
	case name == "finish":
		w.finished = true
	case name == "send T" && p.name == "new":
		w.acknowledged++
	}
	dies := at == w.dies
	w.mu.Unlock()
	switch {
	case dies && w.end == isKilled:
		p.die()
	case dies && p.loops != nil:
		w.mu.Lock()
		w.dead = p.name
		w.mu.Unlock()
		if w.end == closes {
			p.close()
		} else {
			p.shutdown()
		}
	}
}

type simOptions struct {
	poller mgr.Poller
	loops  [2]int // of the old and of the new process
}

// simWorld is one run.
type simWorld struct {
	t    *testing.T
	o    simOptions
	dies simStep
	end  simEnd
	path string // of the socket between the processes
	addr string // of the listener
	also string // the path of a second listener

	mu           sync.Mutex
	processes    map[int]*simProcess // by thread
	taken        []simStep
	begun        bool              // the new process has said hello
	dead         string            // the process that has died
	offered      bool              // the new process has the listeners
	finished     bool              // the old process has said that all is done
	acknowledged int               // connections that the new process has said it takes
	arrived      int               // connections that have come there
	owner        map[string]string // client's address → process
	leaving      map[string]bool   // client's address: it is on its way to the new process
	served       map[string]int    // request → how often
	slack        int               // losses that only an acknowledgement explains
	faults       []string
	rests        bool // the clients make no requests
	quit         bool // the clients stop
}

func (w *simWorld) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// simClient makes requests, one after the other, on a connection that it keeps, or sends messages
// on a WebSocket.
type simClient struct {
	w    *simWorld
	name string
	ws   bool
	dice *rand.Rand
	c    net.Conn
	r    *bufio.Reader
	k    int // requests on this connection
	n    int // requests in all
	done atomic.Int64
	open atomic.Bool // it has a connection
	idle atomic.Bool // it has seen simWorld.rests
}

func (x *simClient) run() {
	for {
		x.w.mu.Lock()
		quit, rests := x.w.quit, x.w.rests
		x.w.mu.Unlock()
		x.open.Store(x.c != nil)
		x.idle.Store(rests)
		if quit {
			if x.c != nil {
				x.c.Close()
			}
			return
		}
		if rests {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		if x.c == nil && !x.dial() {
			time.Sleep(time.Millisecond)
			continue
		}
		last, err := x.request()
		if err != nil {
			x.w.lose(x, x.c.LocalAddr().String(), err)
		} else {
			x.done.Add(1)
		}
		if last || err != nil {
			x.c.Close()
			x.c = nil
		}
		time.Sleep(time.Duration(x.dice.IntN(2000)) * time.Microsecond) // so that connections are at rest and at work by turns
	}
}

func (x *simClient) dial() bool {
	c, err := net.Dial("tcp", x.w.addr)
	if err != nil {
		x.w.lose(x, "", err)
		return false
	}
	c.SetDeadline(time.Now().Add(patience))
	x.c, x.r, x.k = c, bufio.NewReader(c), 0
	if !x.ws {
		return true
	}
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	status, _, err := x.head()
	if err == nil && !strings.Contains(status, " 101 ") {
		err = fmt.Errorf("%s", status)
	}
	if err != nil {
		x.w.lose(x, c.LocalAddr().String(), err)
		c.Close()
		x.c = nil
		return false
	}
	return true
}

// head reads the head of a reply.
func (x *simClient) head() (status string, last bool, err error) {
	status, err = x.r.ReadString('\n')
	for line := " "; err == nil && line != "\r\n"; {
		line, err = x.r.ReadString('\n')
		last = last || strings.EqualFold(line, "Connection: close\r\n")
	}
	return status, last, err
}

// request makes a request, and checks the reply. last says that the server closes the connection.
func (x *simClient) request() (last bool, err error) {
	x.n++
	x.k++
	text := fmt.Sprintf("/%s/%d", x.name, x.n)
	want := fmt.Sprintf("%d %s", x.k, text)
	var body []byte
	if x.ws {
		frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
		if _, err := x.c.Write(frame); err != nil {
			return false, err
		}
		var h [2]byte
		if _, err := io.ReadFull(x.r, h[:]); err != nil {
			return false, err
		}
		body = make([]byte, h[1]&0x7f)
		if _, err := io.ReadFull(x.r, body); err != nil {
			return false, err
		}
		if h[0] == 0x88 && len(body) >= 2 { // what crossed it on the way has not been heard
			switch code := websocket.Code(binary.BigEndian.Uint16(body)); {
			case code == websocket.CloseRestart, code == websocket.CloseGoingAway && x.w.died() != "":
				return true, nil
			default:
				return false, fmt.Errorf("code %d", code)
			}
		}
	} else {
		if _, err := fmt.Fprintf(x.c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", text); err != nil {
			return false, err
		}
		var status string
		if status, last, err = x.head(); err != nil {
			return false, err
		}
		if !strings.Contains(status, " 200 ") {
			return false, fmt.Errorf("%s", status)
		}
		body = make([]byte, len(want))
		if _, err := io.ReadFull(x.r, body); err != nil {
			return false, err
		}
	}
	if string(body) != want {
		x.w.fault("%s got %q, want %q", x.name, body, want)
	}
	return last, nil
}

// lose judges that a client's connection has ended, or could not be made, though no server has said
// so. Only with the process that owned it may it have died.
func (w *simWorld) lose(x *simClient, at string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	owner := w.owner[at]
	switch {
	case w.dead != "" && owner == w.dead:
	case w.dead == "new" && owner == "old" && w.leaving[at]: // was it acknowledged?
		w.slack++
	case w.dead == "old" && owner == "" && (!w.offered || w.o.loops[0] > w.o.loops[1]):
		// It waited in a backlog that nobody has any more: a new process with fewer loops does not take
		// all of them.
	default:
		w.faults = append(w.faults, fmt.Sprintf("%s has lost its connection %q, which the process %q had, at request %d (%d); %q has died: %v",
			x.name, at, owner, x.n, x.k, w.dead, err))
	}
}

// simulate runs one handoff, in which a process dies at a step, or none does.
func simulate(t *testing.T, o simOptions, dies simStep, end simEnd, seed uint64) (taken []simStep) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	dir := t.TempDir()
	w := &simWorld{t: t, o: o, dies: dies, end: end, path: dir + "/h", also: dir + "/s", addr: addr, processes: map[int]*simProcess{},
		owner: map[string]string{}, leaving: map[string]bool{}, served: map[string]int{}}
	runtimeFiles()
	handoff.SetStep(w.step)
	defer handoff.SetStep(func(string) {})

	old := w.spawn("old", w.serve)
	w.wantReady(old)
	w.wantFiles(old, o.loops[0], 0)
	var clients []*simClient
	var running sync.WaitGroup
	for i := range 6 {
		x := &simClient{w: w, name: fmt.Sprintf("c%d", i), ws: i%2 == 1, dice: rand.New(rand.NewPCG(seed, uint64(i)))}
		clients = append(clients, x)
		running.Go(x.run)
	}
	survivor := old
	more := func(n int64) bool { // each client is served n times more
		for _, x := range clients {
			for want, end := x.done.Load()+n, time.Now().Add(patience); x.done.Load() < want; time.Sleep(200 * time.Microsecond) {
				select {
				case <-survivor.ended:
					return false
				default:
				}
				if time.Now().After(end) {
					w.fault("%s is not served", x.name)
					return true
				}
			}
		}
		return true
	}
	more(2)
	next := w.spawn("new", w.serve)
	survivor = next
	select {
	case <-old.ended: // finished, or dead
	case <-next.ended:
		survivor = old
	case <-time.After(patience):
		t.Fatal("none of the processes ends")
	}
	if survivor == next && !w.waitReady(next) || !more(2) {
		w.mu.Lock()
		tooLate := w.finished && w.dead == "new" // it has died with all that the old one had given it
		w.mu.Unlock()
		w.stop(&running)
		if !tooLate {
			t.Errorf("no process is left: %v, %v; %v", old.err, next.err, w.taken)
		}
		return nil
	}

	// It has what it must have open, and no more.
	w.rest(true)
	open := 0
	for _, x := range clients {
		for !x.idle.Load() {
			time.Sleep(200 * time.Microsecond)
		}
		if x.open.Load() {
			open++
		}
	}
	loops := o.loops[0]
	if survivor == next {
		loops = o.loops[1]
	}
	w.wantFiles(survivor, loops, open)
	w.rest(false)

	// The one that is left can be replaced, as if nothing had been.
	w.mu.Lock()
	w.dies, taken = simStep{}, w.taken
	w.mu.Unlock()
	last := w.spawn("last", w.serve)
	w.wantReady(last)
	w.wantEnd(survivor)
	survivor = last
	more(2)
	w.stop(&running)
	w.wantFiles(last, o.loops[0], 0)
	last.on(last.close)
	w.wantEnd(last)

	w.mu.Lock()
	defer w.mu.Unlock()
	for request, n := range w.served {
		if n > 1 {
			w.faults = append(w.faults, fmt.Sprintf("%s was served %d times", request, n))
		}
	}
	if w.slack > 0 && w.slack > w.acknowledged-w.arrived {
		w.faults = append(w.faults, fmt.Sprintf("%d connections were lost on the way, but %d acknowledged, and %d arrived", w.slack, w.acknowledged, w.arrived))
	}
	if len(w.faults) > 0 {
		t.Errorf("%s; the steps: %v", strings.Join(w.faults, "\n"), taken)
	}
	return taken
}

// rest has the clients make no requests, and keep their connections.
func (w *simWorld) rest(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rests = on
}

// wantFiles waits until a process that has so many loops and connections has no other descriptors
// than it needs for them. If it has given a listener to a process with fewer loops, which has died,
// it may lack that one.
func (w *simWorld) wantFiles(p *simProcess, loops, conns int) {
	want := 1 + conns + 5*loops // the control socket; for each loop two listeners, the doorbell's two, one in reserve
	if w.o.poller == mgr.Epoll {
		want += loops
	}
	least := want - max(0, loops-w.o.loops[1])
	n := p.files()
	for end := time.Now().Add(patience / 6); n != want && n != least && time.Now().Before(end); n = p.files() {
		time.Sleep(200 * time.Microsecond)
	}
	if n != want && n != least {
		w.fault("the process %s has %d descriptors with %d connections, want %d", p.name, n, conns, want)
	}
}

// died returns the name of the process that has died.
func (w *simWorld) died() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead
}

// stop ends the clients.
func (w *simWorld) stop(clients *sync.WaitGroup) {
	w.mu.Lock()
	w.quit = true
	w.mu.Unlock()
	clients.Wait()
}

func (w *simWorld) wantReady(p *simProcess) {
	if !w.waitReady(p) {
		w.t.Fatalf("the process %s has ended: %v", p.name, p.err)
	}
}

// waitReady reports whether p gets ready.
func (w *simWorld) waitReady(p *simProcess) bool {
	select {
	case <-p.ready:
	case <-p.ended:
		return false
	case <-time.After(patience):
		w.t.Fatalf("the process %s is not ready", p.name)
	}
	return true
}

func (w *simWorld) wantEnd(p *simProcess) {
	select {
	case <-p.ended:
		if p.err != nil && !(w.end != isKilled && p.name == w.died()) {
			w.fault("the process %s has ended: %v", p.name, p.err)
		}
	case <-time.After(patience):
		w.t.Fatalf("the process %s does not end", p.name)
	}
}

// Either process dies at each step of the handoff. Requests and messages go on all the time: none
// is lost but with the process that had its connection, none is served twice, and of the process
// that is left each descriptor is accounted for.
func TestSimEitherSideDiesAtAnyStep(t *testing.T) {
	options := []simOptions{{mgr.Epoll, [2]int{1, 1}}, {mgr.Select, [2]int{1, 1}}}
	if exhaustive.On() {
		options = append(options, simOptions{mgr.Epoll, [2]int{2, 1}}, simOptions{mgr.Epoll, [2]int{1, 2}}, simOptions{mgr.Select, [2]int{2, 2}})
	}
	for k, o := range options {
		t.Run(fmt.Sprintf("%v, %d loops to %d", o.poller, o.loops[0], o.loops[1]), func(t *testing.T) {
			steps := simulate(t, o, simStep{}, isKilled, 1)
			reached := 0
			for i, at := range steps {
				if at.process == "last" {
					continue
				}
				if !exhaustive.On() && (at.nth > 1 && i%7 != 0 || (i+k)%2 == 0) { // a sample
					continue
				}
				for end := range ends {
					if end != isKilled && !exhaustive.On() && (i+int(end))%4 != 0 {
						continue
					}
					t.Run(fmt.Sprintf("%v %v", at, end), func(t *testing.T) {
						if taken := simulate(t, o, at, end, uint64(i)); slices.Contains(taken, at) {
							reached++
						}
					})
				}
			}
			t.Logf("%d deaths of %d steps", reached, len(steps))
		})
	}
}
