package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// A client plays one round on a connection of its own, which ends with ctx; done is called for each
// operation. It pauses between operations, so that the machine is not kept busy and a slope is not
// one of its load.
type client struct {
	name string
	play func(ctx context.Context, to target, done func()) error
}

// A target is the program under load.
type target struct {
	addr string
	tls  *tls.Config // nil: it speaks plain TCP
}

var clients = []client{
	{"keep-alive", keepAlive},
	{"echo", echo},
	{"broadcast", broadcast},
	{"churn", churn},
	{"slow reader", slowReader},
	{"stalled subscriber", stalled},
}

const (
	patience = 20 * time.Second      // for one operation
	pause    = 5 * time.Millisecond  // between operations
	stay     = 10 * time.Second      // of a client that does not read, on one connection
	crawl    = 50 * time.Millisecond // between the reads of a slow reader
)

// load is all clients at work.
type load struct {
	all  sync.WaitGroup
	done map[string]*atomic.Int64 // operations of each kind of client
	mu   sync.Mutex
	errs []error // the first few
}

// begin starts n clients of each kind, and so many handshakes a second; they end with ctx.
func begin(ctx context.Context, to target, n, handshakes int) *load {
	l := &load{done: map[string]*atomic.Int64{}}
	if handshakes > 0 {
		done := new(atomic.Int64)
		l.done["handshake"] = done
		l.all.Go(func() { l.handshakes(ctx, to, handshakes, func() { done.Add(1) }) })
	}
	for _, c := range clients {
		if n == 0 {
			break
		}
		done := new(atomic.Int64)
		l.done[c.name] = done
		for range n {
			l.all.Go(func() {
				for ctx.Err() == nil {
					err := c.play(ctx, to, func() { done.Add(1) })
					if err != nil && ctx.Err() == nil {
						l.fail(fmt.Errorf("%s: %w", c.name, err))
						sleep(ctx, time.Second)
					}
				}
			})
		}
	}
	return l
}

func (l *load) wait() { l.all.Wait() }

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) < 20 {
		l.errs = append(l.errs, err)
	}
}

func (l *load) errors() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errs
}

func (l *load) total() (n int64) {
	for _, done := range l.done {
		n += done.Load()
	}
	return n
}

// counts returns the operations of each kind of client.
func (l *load) counts() map[string]int64 {
	m := map[string]int64{}
	for name, done := range l.done {
		m[name] = done.Load()
	}
	return m
}

// sleep returns early when ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// dial connects; the connection is closed when ctx is done, or by the returned function.
func dial(ctx context.Context, to target) (net.Conn, func(), error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", to.addr)
	if err != nil {
		return nil, nil, err
	}
	if to.tls != nil {
		c = tls.Client(c, to.tls)
	}
	c.SetDeadline(time.Now().Add(patience))
	forget := context.AfterFunc(ctx, func() { socketOf(c).Close() })
	end := func() { forget(); c.Close() }
	if t, ok := c.(*tls.Conn); ok {
		if err := t.HandshakeContext(ctx); err != nil {
			end()
			return nil, nil, err
		}
	}
	return c, end, nil
}

// socketOf returns the socket beneath c.
func socketOf(c net.Conn) *net.TCPConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return c.(*net.TCPConn)
}

// open opens a WebSocket.
func open(ctx context.Context, to target) (net.Conn, func(), error) {
	c, end, err := dial(ctx, to)
	if err != nil {
		return nil, nil, err
	}
	r, _, err := ws.Dialer{}.Upgrade(c, &url.URL{Scheme: "ws", Host: to.addr, Path: "/ws"})
	if err != nil {
		end()
		return nil, nil, err
	}
	if r != nil {
		// Only a broadcast can have come with the handshake; frames that are read from here on must
		// begin whole.
		return &buffered{Conn: c, r: r}, end, nil
	}
	return c, end, nil
}

// buffered is a connection some of whose bytes have been read already.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

const get = "GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n"

// request sends a request and wants body back.
func request(c net.Conn, r *bufio.Reader, text string, body []byte) error {
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || !bytes.Equal(got, body) {
		return fmt.Errorf("%s: %d bytes, %v", resp.Status, len(got), err)
	}
	return nil
}

var hello = []byte("Hello, World!")

// keepAlive sends 1,000 requests on one connection.
func keepAlive(ctx context.Context, to target, done func()) error {
	c, end, err := dial(ctx, to)
	if err != nil {
		return err
	}
	defer end()
	r := bufio.NewReader(c)
	body := bytes.Repeat([]byte("x"), 3000)
	post := fmt.Sprintf("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for range 500 {
		if err := errors.Join(request(c, r, get, hello), request(c, r, post, body)); err != nil {
			return err
		}
		done()
		done()
		sleep(ctx, pause)
	}
	return nil
}

// churn opens a connection for one request, one for a WebSocket that it cuts, and one that it
// leaves in the middle of a head.
func churn(ctx context.Context, to target, done func()) error {
	c, end, err := dial(ctx, to)
	if err != nil {
		return err
	}
	err = request(c, bufio.NewReader(c), get, hello)
	end()
	if err != nil {
		return err
	}
	if _, end, err = open(ctx, to); err != nil {
		return err
	}
	end()
	if c, end, err = dial(ctx, to); err != nil {
		return err
	}
	_, err = io.WriteString(c, get[:20])
	socketOf(c).SetLinger(0) // a reset
	end()
	done()
	sleep(ctx, pause)
	return err
}

// next returns the next message that is or is not one of a broadcast.
func next(c net.Conn, ofBroadcast bool) ([]byte, error) {
	c.SetDeadline(time.Now().Add(patience))
	for {
		p, _, err := wsutil.ReadServerData(c)
		if err != nil || bytes.HasPrefix(p, []byte("B")) == ofBroadcast {
			return p, err
		}
	}
}

// echo sends 1,000 messages on one WebSocket. It gets those of broadcasts too.
func echo(ctx context.Context, to target, done func()) error {
	c, end, err := open(ctx, to)
	if err != nil {
		return err
	}
	defer end()
	for i := range 1000 {
		want := []byte(strings.Repeat("e", 1+i*7%2000))
		if err := wsutil.WriteClientText(c, want); err != nil {
			return err
		}
		if got, err := next(c, false); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("%d bytes for %d, %v", len(got), len(want), err)
		}
		done()
		sleep(ctx, pause)
	}
	return nil
}

// broadcast sends 100 messages to every WebSocket, and waits each time until one has come.
func broadcast(ctx context.Context, to target, done func()) error {
	c, end, err := open(ctx, to)
	if err != nil {
		return err
	}
	defer end()
	message := []byte("B" + strings.Repeat("m", 500))
	for range 100 {
		if err := wsutil.WriteClientText(c, message); err != nil {
			return err
		}
		if _, err := next(c, true); err != nil {
			return err
		}
		done()
		sleep(ctx, 20*pause)
	}
	return nil
}

// slowReader pipelines requests and takes the replies in small pieces, until it has stayed long
// enough.
func slowReader(ctx context.Context, to target, done func()) error {
	c, end, err := dial(ctx, to)
	if err != nil {
		return err
	}
	defer end()
	// Smaller, and loopback's segments do not fit: the kernel drops them and tries again later and
	// later.
	socketOf(c).SetReadBuffer(64 << 10)
	socketOf(c).SetLinger(0) // what is unread goes with the connection
	many := strings.Repeat(get, 500)
	buf := make([]byte, 512)
	until := time.Now().Add(stay)
	for { // until the program stops to read
		c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		if _, err := io.WriteString(c, many); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		} else if err != nil {
			return err
		}
	}
	for time.Now().Before(until) && ctx.Err() == nil {
		if _, err := c.Read(buf); err != nil {
			return err
		}
		done()
		sleep(ctx, crawl)
	}
	return nil
}

// stalled opens a WebSocket and reads nothing of what is broadcast, until it has stayed long
// enough.
func stalled(ctx context.Context, to target, done func()) error {
	_, end, err := open(ctx, to)
	if err != nil {
		return err
	}
	defer end()
	sleep(ctx, stay)
	done()
	return nil
}
