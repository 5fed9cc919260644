// Command scale measures what WebSockets cost a server as their number grows: memory, processor time
// while they are silent and while each sends now and then, and collections. docs/scale.md has its
// figures.
//
//	go run ./bench/scale -n 5000,10000,18000     # real ones, from client processes on several loopback addresses
//	go run ./bench/scale -simulate 100000,1000000 # the same objects without sockets, in one process
//
// The server is a process of its own with GOMAXPROCS=1. Its connections are to addresses 127.0.0.1,
// 127.0.0.2, …, each from a process of clients, so that no pair of addresses runs out of ports.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// perProcess is how many connections one process of clients has.
const perProcess = 5000

func main() {
	log.SetFlags(0)
	counts := flag.String("n", "5000,10000,18000", "numbers of connections")
	simulated := flag.String("simulate", "", "numbers of connections without sockets")
	every := flag.Duration("every", 10*time.Second, "how often a connection sends while all are active")
	span := flag.Duration("span", 10*time.Second, "how long processor time is measured")
	serves := flag.Bool("serve", false, "be the server")
	load := flag.String("load", "", "be clients, of the server at this `address:port`")
	n := flag.Int("clients", perProcess, "with -load: how many")
	flag.Parse()
	switch {
	case *serves:
		serve()
	case *load != "":
		clients(*load, *n, *every)
	case *simulated != "":
		fmt.Println("| connections | heap, bytes each | a collection, ms | a sweep of the timeouts, ms |\n|---|---|---|---|")
		for _, n := range numbers(*simulated) {
			simulate(n)
		}
	default:
		fmt.Println("| connections | RSS, bytes each | heap, bytes each | kernel, bytes each end | a collection, ms | silent, ms of CPU a second | active, µs of CPU a message | of it collections |")
		fmt.Println("|---|---|---|---|---|---|---|---|")
		for _, n := range numbers(*counts) {
			measure(n, *span, *every)
		}
	}
}

func numbers(list string) (ns []int) {
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			log.Fatal(err)
		}
		ns = append(ns, n)
	}
	return ns
}

// A process is the server, or clients.
type process struct {
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
}

func start(args ...string) *process {
	c := exec.Command(os.Args[0], args...)
	c.Env, c.Stderr = append(os.Environ(), "GOMAXPROCS=1"), os.Stderr
	in, err := c.StdinPipe()
	check(err)
	out, err := c.StdoutPipe()
	check(err)
	check(c.Start())
	return &process{c, in, bufio.NewReader(out)}
}

// tell sends a line, and returns the one that answers it.
func (p *process) tell(what string) string {
	fmt.Fprintln(p.in, what)
	line, err := p.out.ReadString('\n')
	check(err)
	return strings.TrimSpace(line)
}

func (p *process) end() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// A state is what the server says of itself.
type state struct {
	rss, heap            int     // bytes
	collection, cpu, gcs float64 // ms: of one collection; used since the start; of it by collections
	messages             int
}

func (p *process) state(what string) (s state) {
	line := p.tell(what)
	_, err := fmt.Sscan(line, &s.rss, &s.heap, &s.collection, &s.cpu, &s.gcs, &s.messages)
	check(err)
	return s
}

func measure(n int, span, every time.Duration) {
	srv := start("-serve")
	defer srv.end()
	port := srv.tell("")
	s0, k0 := srv.state("rest"), kernel()
	var loads []*process
	for left := n; left > 0; left -= perProcess {
		p := start("-load", fmt.Sprintf("127.0.0.%d:%s", len(loads)+1, port), "-clients", strconv.Itoa(min(left, perProcess)), "-every", every.String())
		defer p.end()
		p.tell("open")
		loads = append(loads, p)
	}
	s1, k1 := srv.state("rest"), kernel()
	a := srv.state("now")
	time.Sleep(span)
	b := srv.state("now")
	silent := (b.cpu - a.cpu) / span.Seconds()
	for _, p := range loads {
		p.tell("send")
	}
	time.Sleep(time.Second)
	a = srv.state("now")
	time.Sleep(span)
	b = srv.state("now")
	sent := float64(b.messages - a.messages)
	fmt.Printf("| %d | %d | %d | %d | %.1f | %.2f | %.1f | %.1f %% |\n", n, (s1.rss-s0.rss)/n, (s1.heap-s0.heap)/n, (k1-k0)/(2*n), s1.collection,
		silent, 1000*(b.cpu-a.cpu)/sent, 100*(b.gcs-a.gcs)/(b.cpu-a.cpu))
}

// kernel returns the bytes that the kernel holds in slabs.
func kernel() int { return field("/proc/meminfo", "Slab:") }

// field returns the bytes that a line of a file in /proc tells in kB.
func field(file, name string) int {
	b, err := os.ReadFile(file)
	check(err)
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.Atoi(strings.Fields(v)[0])
			return n << 10
		}
	}
	return 0
}

// cpu returns the milliseconds that this process has used.
func cpu() float64 {
	var t unix.Timespec
	check(unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t))
	return float64(t.Nano()) / 1e6
}

// collected has the heap collected, and returns its live bytes and the milliseconds of one
// collection.
func collected() (heap int, ms float64) {
	for range 3 { // pools are emptied by the second
		begin := cpu()
		runtime.GC()
		ms = cpu() - begin
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc), ms
}

var messages int // of the loop

func handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Message:
		websocket.Upgrade(c, ev, &websocket.Options{PingInterval: -1})
	case *websocket.Message:
		messages++
		websocket.Send(c, ev.Op, ev.Data)
	}
}

// serve prints the port, and then answers each line: "rest" and "now" with a state.
func serve() {
	m, err := mgr.New(mgr.Options{Log: mgr.Silent})
	check(err)
	l, err := http.Listen(m, "http://0.0.0.0:0", handle)
	check(err)
	go func() {
		for r := bufio.NewReader(os.Stdin); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				os.Exit(0)
			}
			var s state
			switch strings.TrimSpace(line) {
			case "":
				fmt.Println(l.LocalAddr().Port())
				continue
			case "rest":
				time.Sleep(time.Second)
				s.heap, s.collection = collected()
				s.rss = field("/proc/self/status", "RssAnon:")
			}
			s.cpu, s.gcs = cpu(), collections()
			m.Do(func() { fmt.Println(s.rss, s.heap, s.collection, s.cpu, s.gcs, messages) })
		}
	}()
	m.Run(context.Background())
}

// simulate makes n WebSockets over a transport that does nothing.
func simulate(n int) {
	before, _ := collected()
	l := new(loop)
	sh := conn.NewShared(l)
	limits := conn.Limits{}.WithDefaults()
	srv := http.NewServer(http.Options{Limits: limits})
	all := make([]*conn.Conn, n)
	for i := range all {
		c := conn.New(sh, 7, conn.NewID(i), &upgrade{in: hello("simulated")}, &limits, handle)
		http.Attach(c, srv)
		c.Driver().Begin()
		c.Driver().Readable()
		c.Driver().Settle()
		if !websocket.Is(c) {
			log.Fatal("it is no WebSocket")
		}
		all[i] = c
	}
	heap, ms := collected()
	begin := cpu()
	for _, c := range all {
		c.Driver().Expire()
	}
	sweep := cpu() - begin
	// The transport is one object for all sockets of a real loop.
	fmt.Printf("| %d | %d | %.1f | %.1f |\n", n, (heap-before)/n-transportSize, ms, sweep)
	runtime.KeepAlive(all)
}

type loop struct{}

func (*loop) Touch(*conn.Conn)         {}
func (*loop) SetPoll(*conn.Conn, bool) {}

// upgrade is a transport that reads the request of a WebSocket, and nothing more.
type upgrade struct{ in []byte }

const transportSize = 24

func (u *upgrade) Read(_ int, p []byte) (int, error) {
	if u.in == nil {
		return 0, unix.EAGAIN
	}
	n := copy(p, u.in)
	u.in = nil
	return n, nil
}

func (*upgrade) Write(_ int, p []byte) (int, error) { return len(p), nil }
func (*upgrade) Writev(_ int, pieces [][]byte) (n int, err error) {
	for _, p := range pieces {
		n += len(p)
	}
	return n, nil
}
func (*upgrade) CloseWrite(int) error { return nil }
func (*upgrade) Close(int) error      { return nil }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
