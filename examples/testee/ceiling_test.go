package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// A ceiling is what an attack may cost the program. The figures allow several times what was
// measured; a cost that grows with what the clients send, or with its square, exceeds them.
type ceiling struct {
	rss  int           // bytes that the peak of resident memory may grow by
	byte time.Duration // processor time for each byte that moves, either way
}

// An attack runs against a program and returns how many bytes went to and from it. All replies must
// be read at the end, so that the figures are of work that is done.
type attack struct {
	name       string
	small, all ceiling // all is for the form of MANGUSTA_EXHAUSTIVE
	run        func(t *testing.T, p *programtest.Program) (moved int)
	flags      []string
}

var attacks = []attack{
	{"pings without reading", ceiling{12 << 20, 10}, ceiling{16 << 20, 10}, pingsUnread, nil},
	{"GETs without reading", ceiling{12 << 20, 20}, ceiling{16 << 20, 20}, getsUnread, nil},
	{"20 unread pipelines", ceiling{16 << 20, 10}, ceiling{24 << 20, 10}, pipelinesUnread, nil},
	{"stalled beside a broadcast", ceiling{24 << 20, 30}, ceiling{24 << 20, 30}, broadcastUnread, nil},
	{"slow heads", ceiling{16 << 20, 100}, ceiling{96 << 20, 100}, slowHeads, nil},
	// A heap of 16 MiB may double before it is collected, and a collector that is kept waiting is late.
	{"unfinished compressed messages", ceiling{72 << 20, 2000}, ceiling{72 << 20, 2000}, bombs, []string{"-memory", "16777216", "-max-message", "1048576"}},
	{"large compressed messages", ceiling{72 << 20, 2000}, ceiling{72 << 20, 2000}, largeBombs, []string{"-memory", "16777216"}},
}

// Each attack of clients that send and do not read, or that send slowly, costs memory that does not
// depend on how much they send, and processor time in proportion to it.
func TestCeilings(t *testing.T) {
	for _, a := range attacks {
		for _, poller := range []string{"epoll", "select"} {
			t.Run(a.name+"/"+poller, func(t *testing.T) {
				t.Parallel() // what is measured is the program's own, and half of the time is waiting
				a.measure(t, start(t, append([]string{"-poller", poller}, a.flags...)...))
			})
		}
	}
}

// measure runs the attack, and compares its cost with the ceiling.
func (a *attack) measure(t *testing.T, p *programtest.Program) {
	t.Helper()
	limit := a.small
	if exhaustive.On() {
		limit = a.all
	}
	rss, cpu := p.RSS(), p.CPU()
	moved := a.run(t, p)
	rss, cpu = p.PeakRSS()-rss, p.CPU()-cpu
	t.Logf("%d bytes moved: peak of RSS +%d KiB, CPU %v, %.1f ns a byte", moved, rss>>10, cpu, float64(cpu)/float64(moved))
	if rss > limit.rss {
		t.Errorf("the peak of RSS grew by %d bytes, more than %d", rss, limit.rss)
	}
	// Half a second is for what does not depend on bytes: heaps grow, connections come and go.
	if most := time.Second/2 + time.Duration(moved)*limit.byte; cpu > most {
		t.Errorf("%v of CPU for %d bytes, more than %v", cpu, moved, most)
	}
}

// size returns small, or full with MANGUSTA_EXHAUSTIVE.
func size(small, full int) int {
	if exhaustive.On() {
		return full
	}
	return small
}

// floodMost is how many bytes a client floods with at most. It is more than the kernel's buffers
// hold on both sides, so that the program decides when it ends.
func floodMost() int { return size(16<<20, 64<<20) }

// narrow dials with small buffers on our side, so that the program's own queues fill and not the
// kernel's.
func narrow(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := connect(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp(c).Close() })
	small(t, c)
	return c
}

func small(t *testing.T, c net.Conn) {
	t.Helper()
	read := 16 << 10
	if _, ok := c.(*tls.Conn); ok {
		// A record is read in two steps. With a window of less than a segment the kernel waits for
		// its persist timer after each: 200 ms.
		read = 128 << 10
	}
	if err := errors.Join(tcp(c).SetReadBuffer(read), tcp(c).SetWriteBuffer(64<<10)); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(100 * time.Second))
}

// widen undoes what small did to what is read: a narrow window costs a delayed acknowledgement for
// each reply.
func widen(conns []net.Conn) {
	for _, c := range conns {
		tcp(c).SetReadBuffer(1 << 20)
	}
}

// flood writes copies of unit on every connection at once and reads nothing, until limit bytes are
// out on each or the program takes no more. It returns how many bytes are out on each.
func flood(t *testing.T, conns []net.Conn, unit string, limit int) (sent []int) {
	t.Helper()
	block := []byte(strings.Repeat(unit, 1+(64<<10)/len(unit)))
	sent = make([]int, len(conns))
	each(t, len(conns), func(i int) error {
		for sent[i] < limit {
			conns[i].SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
			n, err := conns[i].Write(block[sent[i]%len(unit):])
			if sent[i] += n; errors.Is(err, os.ErrDeadlineExceeded) || full(conns[i]) {
				break
			}
			if err != nil {
				return fmt.Errorf("client %d after %d bytes: %w", i, sent[i], err)
			}
		}
		return conns[i].SetWriteDeadline(time.Time{})
	})
	return sent
}

// each runs f for 0 to n-1 at the same time and waits for all.
func each(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// idles fails the test when the program is at work although nothing can move. A loop that polls
// what it has stopped to read would be.
func idles(t *testing.T, p *programtest.Program) {
	t.Helper()
	const while = 300 * time.Millisecond
	before := p.CPU()
	time.Sleep(while)
	if used := p.CPU() - before; used > while/3 {
		t.Errorf("%v of CPU within %v in which no client reads or writes", used, while)
	}
}

// webSockets opens n with small buffers.
func webSockets(t *testing.T, addr string, n int) (sides []*side, conns []net.Conn) {
	t.Helper()
	for _, s := range open(t, addr, "", n) {
		small(t, s.Conn)
		s.SetReadDeadline(time.Now().Add(100 * time.Second))
		sides, conns = append(sides, s), append(conns, s.Conn)
	}
	return sides, conns
}

// Ten clients send pings and read nothing. The program stops to read them and has each pong when
// they read at last.
func pingsUnread(t *testing.T, p *programtest.Program) (moved int) {
	sides, conns := webSockets(t, p.Addr, 10)
	payload := strings.Repeat("p", 60)
	unit := string(sides[0].wire(nil, frame{ping, payload}))
	sent := flood(t, conns, unit, floodMost())
	idles(t, p)
	widen(conns)
	each(t, len(sides), func(i int) error {
		go flush(conns[i])
		for n := range sent[i] / len(unit) {
			if got, err := sides[i].read(); err != nil || got != (frame{pong, payload}) {
				return fmt.Errorf("client %d, pong %d: %#x, %v", i, n, got.first, err)
			}
		}
		return nil
	})
	for _, n := range sent {
		moved += 2 * n
	}
	return moved
}

// unread has n clients send requests until it stands still, and then read the reply of each.
func unread(t *testing.T, p *programtest.Program, n int, request string, limit int) (moved int) {
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = narrow(t, p.Addr)
	}
	sent := flood(t, conns, request, limit)
	idles(t, p)
	read := make([]int, n)
	widen(conns)
	each(t, n, func(i int) error {
		c, rest := conns[i], sent[i]%len(request)
		done := make(chan error, 1)
		go func() { // the last request is finished, and the connection with it
			_, err := io.WriteString(c, request[rest:]+"GET /status/204 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			done <- err
		}()
		r := bufio.NewReaderSize(c, 64<<10)
		head, size := 0, 0
		replies := 0
		for {
			line, err := r.ReadSlice('\n')
			if err == io.EOF && head == 0 {
				break
			}
			if err != nil {
				return fmt.Errorf("client %d, reply %d: %w", i, replies, err)
			}
			read[i] += len(line)
			if head++; head == 1 {
				replies++
				if s := string(line); !strings.HasPrefix(s, "HTTP/1.1 20") {
					return fmt.Errorf("client %d, reply %d: %q", i, replies, s)
				}
			}
			if n, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				size, _ = strconv.Atoi(string(bytes.TrimSpace(n)))
			}
			if len(line) > 2 {
				continue
			}
			if _, err := r.Discard(size); err != nil {
				return err
			}
			read[i] += size
			head, size = 0, 0
		}
		if want := sent[i]/len(request) + 2; replies != want {
			return fmt.Errorf("client %d: %d replies, want %d", i, replies, want)
		}
		return <-done
	})
	for i := range n {
		moved += sent[i] + read[i]
	}
	return moved
}

// Eight clients pipeline GETs.
func getsUnread(t *testing.T, p *programtest.Program) int {
	const request = "GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n"
	return unread(t, p, 8, request, floodMost())
}

// Twenty clients pipeline requests with bodies that come back.
func pipelinesUnread(t *testing.T, p *programtest.Program) int {
	request := "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8192\r\n\r\n" + strings.Repeat("b", 8192)
	return unread(t, p, 20, request, floodMost())
}

// Five clients have stalled while one broadcasts messages of 1 KB, and reads what it gets of them.
// What the stalled ones get at last are messages that are whole.
func broadcastUnread(t *testing.T, p *programtest.Program) (moved int) {
	stalled, conns := webSockets(t, p.Addr, 5)
	s := open(t, p.Addr, "", 1)[0]
	s.SetDeadline(time.Now().Add(100 * time.Second))
	message := frame{text, "B" + strings.Repeat("m", 1023)}
	one := s.wire(nil, message)
	messages := size(40_000, 200_000)
	sent := make(chan error, 1)
	window := make(chan struct{}, 64) // messages that are out and have not come back
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for range messages {
			select {
			case window <- struct{}{}:
			case <-stop:
				return
			}
			if _, err := s.Write(one); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for n := range messages {
		if got, err := s.read(); err != nil || got != message {
			t.Fatalf("message %d: %#x, %v", n, got.first, err)
		}
		<-window
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	idles(t, p)
	widen(conns)
	got := make([]int, len(stalled))
	each(t, len(stalled), func(i int) error {
		s := stalled[i]
		go s.Write(s.wire(nil, frame{closed, status(1000, "")}))
		for {
			f, err := s.read()
			if err != nil {
				return fmt.Errorf("client %d after %d messages: %w", i, got[i], err)
			}
			if f.first == closed {
				return nil
			}
			if f != message {
				return fmt.Errorf("client %d, message %d: %#x, %d bytes", i, got[i], f.first, len(f.payload))
			}
			got[i]++
		}
	})
	for i, n := range got {
		if n == 0 || n > messages {
			t.Errorf("client %d got %d messages of %d", i, n, messages)
		}
		moved += n * 1024
	}
	return moved + 2*messages*1024
}

// Clients send a head of 30 KB in steps of 500 bytes, all at the same time, and end it at last.
// Each may cost a buffer that holds it, and no more.
func slowHeads(t *testing.T, p *programtest.Program) (moved int) {
	conns := make([]net.Conn, size(100, 900)) // select watches fewer than 1,024 descriptors
	for i := range conns {
		conns[i] = narrow(t, p.Addr)
	}
	head := "GET /plaintext HTTP/1.1\r\nHost: a\r\n"
	for len(head) < 30_000 {
		head += "X-Long: " + strings.Repeat("v", 1000) + "\r\n"
	}
	head += "Connection: close\r\n\r\n"
	for at := 0; at < len(head); at += 500 {
		step := head[at:min(at+500, len(head))]
		for i, c := range conns {
			if _, err := io.WriteString(c, step); err != nil {
				t.Fatalf("client %d at %d: %v", i, at, err)
			}
		}
	}
	for i, c := range conns {
		reply, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(reply), "HTTP/1.1 200 ") {
			t.Fatalf("client %d: %.60q, %v", i, reply, err)
		}
		moved += len(head) + len(reply)
	}
	return moved
}

// Clients send 1 KB each of a compressed message that inflates to just less than 1 MiB, and do not
// end it.
func bombs(t *testing.T, p *programtest.Program) (moved int) {
	return unfinished(t, p, size(100, 900), 1000<<10) // select watches fewer than 1,024 descriptors
}

// The same with messages of nearly 64 MiB.
func largeBombs(t *testing.T, p *programtest.Program) (moved int) {
	return unfinished(t, p, size(4, 20), 63<<20)
}

// unfinished has n clients send what inflates to bytes, without the end of the message. The program
// goes on to serve others.
func unfinished(t *testing.T, p *programtest.Program, n, bytes int) (moved int) {
	z := newCodec("client_no_context_takeover", false)
	bomb := frame{bin&^0x80 | deflated, z.deflate(strings.Repeat("\x00", bytes))}
	for range n {
		s := open(t, p.Addr, "permessage-deflate", 1)[0]
		one := s.wire(nil, bomb)
		if _, err := s.Write(one); err != nil {
			t.Fatal(err)
		}
		moved += len(one)
	}
	for before := p.CPU(); ; { // until all of it is inflated
		time.Sleep(300 * time.Millisecond)
		now := p.CPU()
		if now-before < 30*time.Millisecond {
			break
		}
		before = now
	}
	s := open(t, p.Addr, "permessage-deflate", 1)[0]
	hello := frame{text, "hello"}
	if _, err := s.Write(s.wire(nil, hello)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.read(); err != nil || got.payload == "" {
		t.Fatalf("%#x, %v instead of the echo", got.first, err)
	}
	return moved
}
