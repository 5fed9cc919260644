package deflate_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// counting is a Compressor that counts how many messages its codecs compress.
type counting struct {
	websocket.Compressor
	n *atomic.Int64
}

func (z counting) Accept(b []byte, offer websocket.Parameters) ([]byte, *websocket.Agreement) {
	b, a := z.Compressor.Accept(b, offer)
	if a != nil {
		counted := *a
		counted.Codec = countingCodec{a.Codec, z.n}
		a = &counted
	}
	return b, a
}

type countingCodec struct {
	websocket.Codec
	n *atomic.Int64
}

func (z countingCodec) Append(dst, p []byte, first, last bool) ([]byte, bool) {
	z.n.Add(1)
	return z.Codec.Append(dst, p, first, last)
}

func TestAPublishedMessageIsCompressedOnceForAllLoops(t *testing.T) {
	l, err := mgr.NewLoops(2, mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	hub := broadcast.New(l)
	var n atomic.Int64
	opts := &websocket.Options{Compress: counting{deflate.New(deflate.Options{}), &n}}
	c, err := http.Listen(l, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*http.Message); ok {
			websocket.Upgrade(c, m, opts)
			if err := hub.Subscribe(c, "a"); err != nil {
				t.Error(err)
			}
		}
	}, http.Options{Accept: mgr.AcceptHandOver})
	if err != nil {
		t.Fatal(err)
	}
	addr := c.LocalAddr().String()
	go l.Run(context.Background())
	const clients, messages = 6, 40
	for range clients {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+
			"Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n\r\n")
		agreed := false
		for r := bufio.NewReader(c); ; {
			line, err := r.ReadString('\n')
			agreed = agreed || strings.HasPrefix(line, "Sec-WebSocket-Extensions: permessage-deflate")
			if err != nil || line == "\r\n" {
				break
			}
		}
		if !agreed {
			t.Fatal("the server does not compress")
		}
	}
	for i := range messages {
		if _, err := hub.Publish("a", []byte(strings.Repeat(fmt.Sprint("message ", i, " "), 100))); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(time.Minute); hub.Stats().Delivered < clients*messages; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", hub.Stats())
		}
	}
	if n.Load() != messages {
		t.Errorf("%d messages were compressed %d times", messages, n.Load())
	}
	if each := l.StatsEach(); each[0].Accepts != clients/2 {
		t.Errorf("the first loop has %d connections of %d", each[0].Accepts, clients)
	}
}
