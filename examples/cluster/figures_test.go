package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

var measure = flag.Bool("figures", false, "measure what engines cost")

// A listener is a WebSocket client that only counts, and costs little.
type listener struct {
	net.Conn
	in *bufio.Reader
}

// subscribeTo opens a WebSocket, without a library.
func subscribeTo(addr, query string) (*listener, error) {
	c, err := net.DialTimeout("tcp", addr, 20*time.Second)
	if err != nil {
		return nil, err
	}
	l := &listener{Conn: c, in: bufio.NewReaderSize(c, 512)}
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET /ws?%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", query, addr)
	resp, err := http.ReadResponse(l.in, nil)
	if err == nil && resp.StatusCode != 101 {
		err = fmt.Errorf("status %s", resp.Status)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	c.SetDeadline(time.Time{})
	return l, nil
}

// next reads a message.
func (l *listener) next(b []byte) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(l.in, head[:2]); err != nil {
		return nil, err
	}
	n := int(head[1])
	if n == 126 {
		if _, err := io.ReadFull(l.in, head[2:4]); err != nil {
			return nil, err
		}
		n = int(head[2])<<8 | int(head[3])
	}
	if n > 1<<16 || head[0]&0xf == 8 {
		return nil, io.EOF
	}
	b = slices.Grow(b[:0], n)[:n]
	_, err := io.ReadFull(l.in, b)
	return b, err
}

// audience is listeners that count what comes.
type audience struct {
	got  atomic.Int64
	all  []*listener
	done sync.WaitGroup
}

// join adds n subscribers of a pattern.
func (a *audience) join(t *testing.T, addr string, n int, query string) {
	t.Helper()
	const atOnce = 100
	var mu sync.Mutex
	var failed error
	for n > 0 {
		var some sync.WaitGroup
		for range min(n, atOnce) {
			n--
			some.Go(func() {
				l, err := subscribeTo(addr, query)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed = err
					return
				}
				a.all = append(a.all, l)
			})
		}
		some.Wait()
		if failed != nil {
			t.Fatal(failed)
		}
	}
	for _, l := range a.all {
		a.done.Go(func() {
			var b []byte
			var err error
			for {
				if b, err = l.next(b); err != nil {
					return
				}
				a.got.Add(1)
			}
		})
	}
}

func (a *audience) await(t *testing.T, n int64) {
	t.Helper()
	for end := time.Now().Add(patience); a.got.Load() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d messages of %d came", a.got.Load(), n)
		}
	}
}

func (a *audience) leave() {
	for _, l := range a.all {
		l.Close()
	}
	a.done.Wait()
}

func post(t *testing.T, client *http.Client, addr, topic, message string) {
	t.Helper()
	if err := tryPost(client, addr, topic, message); err != nil {
		t.Fatal(err)
	}
}

func tryPost(client *http.Client, addr, topic, message string) error {
	resp, err := client.Post("http://"+addr+"/publish/"+topic, "text/plain", strings.NewReader(message))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 {
		return fmt.Errorf("%s: %s %v", resp.Status, text, err)
	}
	return nil
}

// setUps are how a node may get at its engine: the arguments of the node that is measured.
func setUps(t *testing.T) map[string]func(t *testing.T) []string {
	return map[string]func(t *testing.T) []string{
		"alone":    func(*testing.T) []string { return []string{"-alone"} },
		"embedded": func(*testing.T) []string { return nil },
		"files":    func(t *testing.T) []string { return []string{"-dir", t.TempDir()} },
		"nats": func(t *testing.T) []string {
			_, url := startHost(t, "")
			return []string{"-nats", url}
		},
		"redis": func(t *testing.T) []string {
			dir := shortDir(t)
			redisServer(t, dir)
			return []string{"-redis", "unix://" + filepath.Join(dir, "s")}
		},
	}
}

// TestCostOfEngines tells what an engine costs: processor time of a node for each message to 2,000
// subscribers, against the same node alone; its memory; and how long it takes from the beginning of
// a publish until a subscriber has the message.
func TestCostOfEngines(t *testing.T) {
	if !*measure {
		t.Skip("it measures, for a minute or two: -figures")
	}
	const rounds, subscribers, messages = 5, 2000, 200
	cpu, memory := map[string][]float64{}, map[string]int{}
	message := strings.Repeat("x", 64)
	names := []string{"alone", "embedded", "files", "nats", "redis"}
	for range rounds {
		for _, name := range names {
			t.Run(name, func(t *testing.T) {
				n := startNode(t, setUps(t)[name](t)...)
				memory[name] = n.RSS()
				var a audience
				a.join(t, n.Addr, subscribers, "topic=a/b")
				client := &http.Client{}
				post(t, client, n.Addr, "a/b", message)
				a.await(t, subscribers)
				before := n.CPU()
				for i := range messages {
					post(t, client, n.Addr, "a/b", message)
					a.await(t, int64(subscribers*(i+2)))
				}
				cpu[name] = append(cpu[name], float64((n.CPU()-before).Microseconds())/messages)
				t.Logf("%.0f µs for each message", cpu[name][len(cpu[name])-1])
				a.leave()
			})
		}
	}
	for _, name := range names {
		if len(cpu[name]) != rounds {
			continue
		}
		var ratios []float64
		for i, x := range cpu[name] {
			ratios = append(ratios, x/cpu["alone"][i])
		}
		slices.Sort(ratios)
		t.Logf("%-8s %6.0f µs of processor time for each message to %d subscribers: %.3f of that alone (%.3f to %.3f); RSS at the start %d KiB",
			name, median(cpu[name]), subscribers, ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], memory[name]>>10)
	}
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

// TestLatencyOfEngines tells how long a message takes from the beginning of its POST to a
// subscriber of the same node, and of another one.
func TestLatencyOfEngines(t *testing.T) {
	if !*measure {
		t.Skip("it measures, for a minute or two: -figures")
	}
	const messages = 2000
	for _, name := range []string{"alone", "embedded", "files", "redis"} {
		t.Run(name, func(t *testing.T) {
			var a, b *process
			switch args := setUps(t)[name](t); name {
			case "embedded":
				host, url := startHost(t, "")
				a, b = host, startNode(t, "-nats", url)
			case "files":
				host, url := startHost(t, t.TempDir())
				a, b = host, startNode(t, "-nats", url, "-files")
			case "redis":
				a, b = startNode(t, args...), startNode(t, args...)
			default:
				a = startNode(t, args...)
				b = a
			}
			for _, at := range []*process{a, b} {
				l, err := subscribeTo(at.Addr, "topic=t")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				var took []float64
				client := &http.Client{}
				for range messages {
					began := time.Now()
					posted := make(chan error, 1)
					go func() { posted <- tryPost(client, a.Addr, "t", strconv.FormatInt(began.UnixNano(), 10)) }()
					_, err := l.next(nil)
					took = append(took, float64(time.Since(began).Microseconds()))
					if err := errors.Join(err, <-posted); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Millisecond) // one at a time, and not in a burst
				}
				slices.Sort(took)
				where := "the same node"
				if at != a {
					where = "another node"
				}
				t.Logf("%s, %s: p50 %.0f µs, p99 %.0f µs", name, where, took[len(took)/2], took[len(took)*99/100])
				if a == b {
					break
				}
			}
		})
	}
}

// TestRecovery tells how long it takes until all subscribers of a node that has died are served by
// another one, with what they have missed. The engine has no part in that: its interface has no way
// to read what is stored.
func TestRecovery(t *testing.T) {
	clients := 300
	if exhaustive.On() {
		clients = 10_000
	}
	host, url := startHost(t, "")
	b := startNode(t, "-nats", url)
	var a audience
	a.join(t, b.Addr, clients, "topic=t")
	client := &http.Client{}
	resp, err := client.Post("http://"+host.Addr+"/publish/t", "text/plain", strings.NewReader("before"))
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Offset uint64 }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	a.await(t, int64(clients))
	b.kill()
	began := time.Now()
	a.leave()
	for range 10 {
		post(t, client, host.Addr, "t", "missed")
	}
	var back audience
	back.join(t, host.Addr, clients, fmt.Sprintf("topic=t&since=%d", answer.Offset))
	post(t, client, host.Addr, "t", "live")
	back.await(t, int64(11*clients))
	t.Logf("%d subscribers have what they missed and are live again after %v", clients, time.Since(began))
	time.Sleep(10 * time.Millisecond) // what comes twice would come about now
	if got := back.got.Load(); got != int64(11*clients) {
		t.Errorf("%d messages came, instead of 11 for each of %d", got, clients)
	}
	back.leave()
}
