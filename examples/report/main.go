// Command report sends a reading, the load of this machine, to a server at regular times: with a
// POST to an http:// or https:// URL, as messages of a WebSocket that is kept open to a ws:// or
// wss:// one.
//
//	go run ./examples/report -every 5s https://example.org/readings
//
// Readings that cannot be sent wait: the last hundred of them.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/dns"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
	"github.com/seed4930a636/mangusta/websocket"
)

// reading returns what is sent.
func reading() []byte {
	load, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(load), " ")
	if first == "" {
		first = "null"
	}
	return fmt.Appendf(nil, `{"time":%d,"load":%s}`, time.Now().Unix(), first)
}

// maxWaiting is how many readings wait for a server that does not answer.
const maxWaiting = 100

// A poster sends readings with POST, one after the other.
type poster struct {
	client  *http.Client
	request http.ClientRequest
	waiting [][]byte
	busy    bool
}

func (p *poster) send(reading []byte) {
	if p.waiting = append(p.waiting, reading); len(p.waiting) > maxWaiting {
		oldest := 0
		if p.busy {
			oldest = 1 // the first is under way
		}
		p.waiting = slices.Delete(p.waiting, oldest, oldest+1)
	}
	p.next()
}

// next posts the oldest reading. It stays in the list until the server has it.
func (p *poster) next() {
	if p.busy || len(p.waiting) == 0 {
		return
	}
	p.request.Body = p.waiting[0]
	_, err := p.client.Do(&p.request, func(r *http.Response, err error) {
		p.busy = false
		if err == nil && r.Status >= 300 {
			err = fmt.Errorf("the server responded with %d %s", r.Status, r.Reason)
		}
		if err != nil {
			log.Print(err) // the next reading begins the next attempt
			return
		}
		p.waiting = p.waiting[1:]
		p.next()
	})
	if p.busy = err == nil; err != nil {
		log.Print(err)
	}
}

// sender returns what sends readings to url.
func sender(m *mgr.Manager, url string, tls *tlsconn.Client) (func([]byte), error) {
	if strings.HasPrefix(url, "http") {
		client, err := http.NewClient(m, http.ClientOptions{TLS: tls, Proxy: http.ProxyFromEnvironment(), Timeout: 30 * time.Second})
		p := &poster{client: client, request: http.ClientRequest{URL: url, ContentType: "application/json"}}
		return p.send, err
	}
	o := &websocket.ReconnectOptions{MaxQueue: maxWaiting, DropOldest: true, Fatal: websocket.RefusedForGood}
	o.TLS, o.Proxy = tls, http.ProxyFromEnvironment()
	r, err := websocket.Reconnect(m, url, func(_ *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.State:
			log.Print(ev.Phase, " ", ev.Delay.Round(time.Second), " ", ev.Err)
		case *websocket.Message:
			log.Printf("the server says %q", ev.Data)
		}
	}, o)
	if err != nil {
		return nil, err
	}
	return func(reading []byte) {
		if _, err := r.Send(websocket.Text, reading); err != nil {
			log.Print(err)
		}
	}, nil
}

func run(ctx context.Context, url string, every time.Duration, insecure bool) error {
	tls, err := tlsconn.NewClient(tlsconn.ClientConfig{Insecure: insecure})
	if err != nil {
		return err
	}
	m, err := mgr.New(mgr.Options{Resolver: dns.New()})
	if err != nil {
		return err
	}
	defer m.Close()
	send, err := sender(m, url, tls)
	if err != nil {
		return err
	}
	send(reading())
	m.Every(every, func() { send(reading()) })
	if err := m.Run(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}

func main() {
	every := flag.Duration("every", 10*time.Second, "send a reading each `time`")
	insecure := flag.Bool("insecure", false, "take any certificate")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: report [-every TIME] [-insecure] URL")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, flag.Arg(0), *every, *insecure); err != nil {
		log.Fatal(err)
	}
}
