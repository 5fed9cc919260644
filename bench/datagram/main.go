// Datagram compares the echo of datagrams on a loop of mangusta with one in C over epoll, recvmmsg
// and sendmmsg. The server has processor 0, the load processor 1. It prints, for each pair of runs,
// echoes per second and the processor time of the server for one, and the medians.
//
//	go run ./bench/datagram [-pairs 9] [-seconds 1] [-sockets 16] [-window 8] [-size 64] [-segment]
//	go run ./bench/datagram -stream [-pairs 9] [-size 1200]
//
// With -stream one socket sends to another, as fast as it goes: one in C and one of mangusta,
// without and with UDP_SEGMENT. It prints the sender's processor time for a datagram.
package main

import (
	"bufio"
	"context"
	_ "embed"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

//go:embed c/echo.c
var echoC []byte

//go:embed c/load.c
var loadC []byte

//go:embed c/stream.c
var streamC []byte

var (
	pairs   = flag.Int("pairs", 9, "pairs of runs")
	seconds = flag.Float64("seconds", 1, "length of a run")
	sockets = flag.Int("sockets", 16, "sockets of the load")
	window  = flag.Int("window", 8, "datagrams under way on each")
	size    = flag.Int("size", 64, "bytes of a datagram")
	whole   = flag.Bool("whole", false, "take datagrams of any size whole, as the default is, in place of 2048 bytes")
	segment = flag.Bool("segment", false, "the server sends with UDP_SEGMENT")
	oneWay  = flag.Bool("stream", false, "measure streams in one direction in place of echoes")
	serve   = flag.Bool("serve", false, "be the server")
	sendTo  = flag.String("send", "", "be the sender of a stream to this address")
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	switch {
	case *serve:
		server()
		return
	case *sendTo != "":
		sender()
		return
	}
	dir, err := os.MkdirTemp("", "datagram")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	if *oneWay {
		streams(build(dir, "stream", streamC), self)
		return
	}
	echo, load := build(dir, "echo", echoC), build(dir, "load", loadC)
	ours := []string{self, "-serve", fmt.Sprintf("-whole=%v", *whole), fmt.Sprintf("-segment=%v", *segment)}
	var cpu, rate [2][]float64
	for i := range *pairs {
		for k := range 2 {
			who := (i + k) % 2
			r, c := run([][]string{{echo}, ours}[who], load)
			rate[who], cpu[who] = append(rate[who], r), append(cpu[who], c)
		}
		fmt.Printf("C %7.0f/s %5.3f µs   mangusta %7.0f/s %5.3f µs   ratio %.3f\n",
			rate[0][i], cpu[0][i], rate[1][i], cpu[1][i], cpu[1][i]/cpu[0][i])
	}
	var ratios []float64
	for i := range *pairs {
		ratios = append(ratios, cpu[1][i]/cpu[0][i])
	}
	slices.Sort(ratios)
	fmt.Printf("medians: C %.0f/s %.3f µs, mangusta %.0f/s %.3f µs; ratio of the processor time %.3f (%.3f to %.3f)\n",
		median(rate[0]), median(cpu[0]), median(rate[1]), median(cpu[1]), median(ratios), ratios[0], ratios[len(ratios)-1])
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

func build(dir, name string, source []byte) string {
	file, out := filepath.Join(dir, name+".c"), filepath.Join(dir, name)
	if err := os.WriteFile(file, source, 0o600); err != nil {
		log.Fatal(err)
	}
	if b, err := exec.Command("cc", "-O2", "-o", out, file).CombinedOutput(); err != nil {
		log.Fatalf("%v: %s", err, b)
	}
	return out
}

// run runs a server under load, and returns echoes per second and the server's microseconds of
// processor time for one.
func run(server []string, load string) (rate, cpu float64) {
	s := exec.Command("taskset", append([]string{"-c", "0"}, server...)...)
	s.Stderr = os.Stderr
	s.Env = append(os.Environ(), "GOMAXPROCS=2")
	out, err := s.StdoutPipe()
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		log.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	before := used(s.Process.Pid)
	b, err := exec.Command("taskset", "-c", "1", load, strings.TrimSpace(line), strconv.Itoa(*sockets), strconv.Itoa(*window),
		strconv.Itoa(*size), fmt.Sprint(*seconds)).Output()
	if err != nil {
		log.Fatal(err)
	}
	took := used(s.Process.Pid) - before
	s.Process.Kill()
	s.Wait()
	var back, lost float64
	fmt.Sscan(string(b), &back, &lost)
	if lost > back/1000 {
		log.Printf("%.0f datagrams were lost", lost)
	}
	return back / *seconds, took.Seconds() * 1e6 / back
}

// used returns the processor time of a process, from its schedstat, in nanoseconds.
func used(pid int) (d time.Duration) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		log.Fatal(err)
	}
	for _, file := range tasks {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		var ns int64
		fmt.Sscan(string(b), &ns)
		d += time.Duration(ns)
	}
	return d
}

func server() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		log.Fatal(err)
	}
	o := conn.SocketOptions{RecvBuf: 1 << 20, DatagramSize: 2048, Segment: *segment}
	if *whole {
		o.DatagramSize = 0
	}
	s, err := m.Listen("udp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if d, ok := ev.(*conn.Datagram); ok {
			d.Reply(d.Data)
		}
	}, mgr.ListenOptions{Socket: o})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.LocalAddr().Port())
	log.Fatal(m.Run(context.Background()))
}
