// Command herd shows what the ways to share a listener cost: how many loops wake up for one
// connection, how many accepts find nobody, how evenly the connections fall on the loops, and the
// processor time for each connection.
//
//	go run ./herd [-n CONNECTIONS] [-rounds N]
//
// The server is a process of its own. It closes each connection as soon as it has accepted it, so a
// connection is one turn of one loop; turns above that are loops that woke up in vain. "plain" is
// one socket that all loops watch without EPOLLEXCLUSIVE: the thundering herd, which mgr.Loops does
// not offer.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

func main() {
	if how := os.Getenv("HERD"); how != "" {
		mode, n, _ := strings.Cut(how, " ")
		loops, _ := strconv.Atoi(n)
		if err := serve(mode, loops); err != nil {
			log.Fatal(err)
		}
		return
	}
	n := flag.Int("n", 20_000, "`connections` of each run")
	rounds := flag.Int("rounds", 5, "runs of each way, interleaved; the median is printed")
	flag.Parse()
	if err := table(*n, *rounds); err != nil {
		log.Fatal(err)
	}
}

// A way is how the loops share the listener, how many they are, and how the clients come.
type way struct {
	mode  string
	loops int
	burst int // connections that come at a time
}

// figures are what a run has shown.
type figures struct {
	// For each connection; cpu in µs. switches are those of threads that had to wait: a loop that
	// the kernel wakes, and that finds in epoll_wait that the peer is gone, takes no turn.
	turns, empty, switches, cpu float64

	spread float64 // of the loop with the most connections, as a part of all
}

func table(n, rounds int) error {
	var ways []way
	for _, burst := range []int{1, 32} {
		for _, loops := range []int{1, 2, 4} {
			for _, mode := range []string{"plain", "exclusive", "reuseport", "handover"} {
				if loops > 1 || mode == "plain" {
					ways = append(ways, way{mode, loops, burst})
				}
			}
		}
	}
	all := make(map[way][]figures)
	for range rounds {
		for _, w := range ways {
			f, err := w.run(n)
			if err != nil {
				return fmt.Errorf("%+v: %w", w, err)
			}
			all[w] = append(all[w], f)
		}
	}
	fmt.Println("| clients | loops | listener | turns | empty accepts | waits of threads | most on one loop | CPU, µs |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, w := range ways {
		f := all[w]
		median := func(of func(figures) float64) float64 {
			v := make([]float64, len(f))
			for i := range f {
				v[i] = of(f[i])
			}
			slices.Sort(v)
			return v[len(v)/2]
		}
		clients := map[int]string{1: "one at a time", 32: "32 at a time"}[w.burst]
		fmt.Printf("| %s | %d | %s | %.2f | %.2f | %.2f | %.0f %% | %.1f |\n", clients, w.loops, w.mode,
			median(func(f figures) float64 { return f.turns }), median(func(f figures) float64 { return f.empty }),
			median(func(f figures) float64 { return f.switches }),
			100*median(func(f figures) float64 { return f.spread }), median(func(f figures) float64 { return f.cpu }))
	}
	return nil
}

// A report is what the server tells of itself.
type report struct {
	Stats    []mgr.Stats
	CPU      int64 // ns
	Switches int64
}

// run starts a server, opens n connections to it, and stops it.
func (w way) run(n int) (f figures, err error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("HERD=%s %d", w.mode, w.loops))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return f, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return f, err
	}
	if err := cmd.Start(); err != nil {
		return f, err
	}
	defer func() {
		in.Close()
		cmd.Wait()
	}()
	r := bufio.NewReader(out)
	line, err := r.ReadString('\n')
	if err != nil {
		return f, err
	}
	port, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return f, err
	}
	ask := func() (x report, err error) {
		io.WriteString(in, "\n")
		line, err := r.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &x)
		}
		return x, err
	}
	if err := load(port, n/10, w.burst); err != nil { // to warm up
		return f, err
	}
	before, err := ask()
	if err != nil {
		return f, err
	}
	if err := load(port, n, w.burst); err != nil {
		return f, err
	}
	after, err := ask()
	if err != nil {
		return f, err
	}
	var sum, most float64
	for i := range after.Stats {
		a, b := after.Stats[i], before.Stats[i]
		got := float64(a.Accepts - b.Accepts)
		sum += got
		most = max(most, got)
		f.turns += float64(a.Turns - b.Turns)
		f.empty += float64(a.EmptyAccepts - b.EmptyAccepts)
	}
	f.turns /= sum
	f.empty /= sum
	f.spread = most / sum
	f.switches = float64(after.Switches-before.Switches) / sum
	f.cpu = float64(after.CPU-before.CPU) / sum / 1000
	return f, nil
}

// load opens n connections, burst at a time, and waits until the server has closed them.
func load(port, n, burst int) error {
	sa := &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
	fds := make([]int, 0, burst)
	for left := n; left > 0; left -= len(fds) {
		fds = fds[:0]
		for range min(burst, left) {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			if err := unix.Connect(fd, sa); err != nil && err != unix.ECONNRESET { // the server was quicker
				return err
			}
			fds = append(fds, fd)
		}
		for _, fd := range fds {
			var b [1]byte
			if _, err := unix.Read(fd, b[:]); err != nil && err != unix.ECONNRESET && err != unix.ENOTCONN {
				return err
			}
			// No TIME_WAIT: ports would run out.
			unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			unix.Close(fd)
		}
	}
	return nil
}

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// closeIt ends each connection at once, with a reset.
func closeIt(c *conn.Conn, ev conn.Event) {
	if _, ok := ev.(*conn.Accept); ok {
		c.Close()
	}
}

// serve is the server.
func serve(mode string, n int) error {
	var managers []*mgr.Manager
	var port uint16
	socket := conn.SocketOptions{Linger: conn.Linger{On: true}}
	if mode == "plain" {
		fd, err := conn.Listen(conn.Addr{Network: "tcp", AddrPort: loopback}, socket)
		if err != nil {
			return err
		}
		for range n {
			m, err := mgr.New(mgr.Options{})
			if err != nil {
				return err
			}
			d, err := conn.Dup(fd)
			if err != nil {
				return err
			}
			l, err := m.Wrap(d, closeIt, mgr.ListenOptions{Socket: socket})
			if err != nil {
				return err
			}
			port = l.LocalAddr().Port()
			managers = append(managers, m)
			go m.Run(context.Background())
		}
	} else {
		how, err := mgr.ParseAccept(mode)
		if err != nil {
			return err
		}
		l, err := mgr.NewLoops(n, mgr.Options{})
		if err != nil {
			return err
		}
		c, err := l.Listen("tcp://127.0.0.1:0", closeIt, mgr.ListenOptions{Accept: how, Socket: socket})
		if err != nil {
			return err
		}
		port = c.LocalAddr().Port()
		managers = l.Managers()
		go l.Run(context.Background())
	}
	fmt.Println(port)
	for in := bufio.NewReader(os.Stdin); ; {
		if _, err := in.ReadString('\n'); err != nil {
			return nil
		}
		var x report
		for _, m := range managers {
			got := make(chan mgr.Stats)
			if err := m.Do(func() { got <- m.Stats() }); err != nil {
				return err
			}
			x.Stats = append(x.Stats, <-got)
		}
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			return err
		}
		x.Switches = int64(u.Nvcsw)
		x.CPU = u.Utime.Nano() + u.Stime.Nano()
		b, err := json.Marshal(x)
		if err != nil {
			return err
		}
		fmt.Println(string(b))
	}
}
