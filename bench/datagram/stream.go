package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// streams measures the four senders in turns, and prints the medians.
func streams(c, self string) {
	if *size == 64 {
		*size = 1200
	}
	names := []string{"C", "C, UDP_SEGMENT", "mangusta", "mangusta, Segment"}
	cost := make([][]float64, len(names))
	for i := range *pairs {
		for k := range names {
			who := (i + k) % len(names)
			cost[who] = append(cost[who], oneStream(c, self, who))
		}
		fmt.Printf("%d:", i+1)
		for who, name := range names {
			fmt.Printf("  %s %.3f µs", name, cost[who][i])
		}
		fmt.Println()
	}
	fmt.Print("medians:")
	for who, name := range names {
		slices.Sort(cost[who])
		fmt.Printf("  %s %.3f µs (%.3f to %.3f)", name, cost[who][len(cost[who])/2], cost[who][0], cost[who][len(cost[who])-1])
	}
	fmt.Println()
}

// oneStream returns the sender's processor time for one datagram, in microseconds.
func oneStream(c, self string, who int) float64 {
	r := exec.Command("taskset", "-c", "0", c, "recv", "0", strconv.Itoa(*size))
	out, err := r.StdoutPipe()
	if err == nil {
		err = r.Start()
	}
	if err != nil {
		log.Fatal(err)
	}
	defer func() {
		r.Process.Signal(syscall.SIGTERM)
		r.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	port := strings.TrimSpace(line)
	segments := strconv.Itoa(who % 2)
	args := []string{"-c", "1", c, "send", "127.0.0.1", port, segments, strconv.Itoa(*size), fmt.Sprint(*seconds)}
	if who >= 2 {
		args = []string{"-c", "1", self, "-send", "127.0.0.1:" + port, "-segment=" + strconv.FormatBool(who == 3), "-size", strconv.Itoa(*size),
			"-seconds", fmt.Sprint(*seconds)}
	}
	s := exec.Command("taskset", args...)
	s.Stderr = os.Stderr
	b, err := s.Output()
	if err != nil {
		log.Fatal(err)
	}
	var sent float64
	fmt.Sscan(string(b), &sent)
	took := s.ProcessState.UserTime() + s.ProcessState.SystemTime()
	return took.Seconds() * 1e6 / sent
}

// sender keeps its queue full for a while, and prints how many datagrams have left.
func sender() {
	m, err := mgr.New(mgr.Options{Log: mgr.Silent})
	if err != nil {
		log.Fatal(err)
	}
	data := make([]byte, *size)
	_, err = m.Connect("udp://"+*sendTo, func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *conn.Connect, *conn.Write:
			for c.Pending() < 1<<16 {
				if _, err := c.Write(data); err != nil {
					return
				}
			}
		}
	}, mgr.ConnectOptions{Socket: conn.SocketOptions{Segment: *segment, SendBuf: 1 << 20}, Limits: conn.Limits{Send: 1 << 18}})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(*seconds*float64(time.Second)))
	defer cancel()
	m.Run(ctx)
	fmt.Println(m.Stats().DatagramsOut)
}
