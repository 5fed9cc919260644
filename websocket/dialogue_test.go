package websocket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
)

const (
	opened   = `open ""`
	normally = `end 1000 "" clean=true`
)

// RFC 6455 §4.2.2 item 5.
func TestUpgradeReply(t *testing.T) {
	opts := &websocket.Options{Protocols: []string{"two", "one"}, Header: []websocket.Header{{"X-Served-By", "mangusta"}, {"Set-Cookie", "a=b"}}}
	underBoth(t, opts, nil, func(t *testing.T, s *server) {
		p := s.dial()
		io.WriteString(p, request+"Sec-WebSocket-Protocol: one, two\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
		reply := p.wantReply(101)
		for name, want := range map[string]string{
			"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
			"Sec-Websocket-Protocol": "two", "Sec-Websocket-Extensions": "", "X-Served-By": "mangusta", "Set-Cookie": "a=b",
			"Content-Length": "", "Transfer-Encoding": "",
		} {
			if got := reply.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		p.finish()
		s.wantNotes(`open "two"`, normally, "closed")
		if err := <-s.errs; err != nil {
			t.Error(err)
		}
	})
}

// A refusal is an HTTP reply: the connection goes on, and the next request may do better.
func TestUpgradeIsRefusedWithAReply(t *testing.T) {
	opts := &websocket.Options{Check: func(c *conn.Conn, m *http.Message) error {
		switch string(m.Path) {
		case "/login":
			http.SetHeader(c, "WWW-Authenticate", "Basic")
			return &websocket.HandshakeError{Status: 401, Reason: "who are you"}
		case "/no":
			return errors.New("not you")
		}
		return nil
	}}
	swap := strings.NewReplacer
	underBoth(t, opts, nil, func(t *testing.T, s *server) {
		p := s.dial()
		for _, tc := range []struct {
			request string
			status  int
			header  string
			value   string
		}{
			{swap("GET", "POST", "Host", "Content-Length: 0\r\nHost").Replace(request), 405, "Allow", "GET"},
			{swap("Version: 13", "Version: 12").Replace(request), 426, "Sec-WebSocket-Version", "13"},
			{swap("Version: 13", "Version: 12").Replace(request), 426, "Upgrade", "websocket"},
			{"GET / HTTP/1.1\r\nHost: example.com\r\n", 426, "Upgrade", "websocket"},
			{swap("Key: d", "Key: !").Replace(request), 400, "", ""},
			{request + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400, "", ""},
			{request + "Origin: http://evil.com\r\n", 403, "", ""},
			{swap("/ws", "/login").Replace(request), 401, "WWW-Authenticate", "Basic"},
			{swap("/ws", "/no").Replace(request), 403, "", ""},
		} {
			io.WriteString(p, tc.request+"\r\n")
			reply := p.wantReply(tc.status)
			if got := reply.Header.Get(tc.header); got != tc.value {
				t.Errorf("%d: %s is %q, want %q", tc.status, tc.header, got, tc.value)
			}
			var refusal *websocket.HandshakeError
			if err := <-s.errs; !errors.As(err, &refusal) || refusal.Status != tc.status {
				t.Errorf("Upgrade = %v, want a HandshakeError of %d", err, tc.status)
			}
		}
		io.WriteString(p, request+"Origin: http://example.com\r\n\r\n")
		p.wantReply(101)
		p.send(masked(0x81, "at last"))
		p.want(0x81, "at last")
		p.finish()
		s.wantNotes(opened, `text "at last"`, normally, "closed")
	})
}

func TestUpgradeRefusesHeadersThatWouldBreakTheReply(t *testing.T) {
	opts := &websocket.Options{Header: []websocket.Header{{"X", "a\r\nSec-WebSocket-Protocol: b"}}}
	underBoth(t, opts, nil, func(t *testing.T, s *server) {
		p := s.dial()
		io.WriteString(p, request+"\r\n")
		p.wantReply(500)
	})
}

func TestUpgradeRefusesHTTP10(t *testing.T) {
	underBoth(t, nil, nil, func(t *testing.T, s *server) {
		p := s.dial()
		io.WriteString(p, strings.Replace(request, "HTTP/1.1", "HTTP/1.0", 1)+"\r\n")
		p.wantReply(400)
		p.wantEOF()
	})
}

// A client need not wait for the 101 before it sends (and some tests do not): nothing of it is
// lost, however it is cut.
func TestFramesInThePacketOfTheHandshake(t *testing.T) {
	all := []byte(request + "\r\n")
	head := len(all)
	all = append(append(all, masked(0x81, "first")...), masked(0x89, "second")...)
	all = append(all, masked(0x88, closing(1000, ""))...)
	underBoth(t, nil, nil, func(t *testing.T, s *server) {
		for cut := head - 3; cut <= len(all); cut++ {
			p := s.dial()
			p.send(all[:cut])
			if cut < len(all) {
				p.send(all[cut:])
			}
			p.wantReply(101)
			p.want(0x81, "first")
			p.want(0x8a, "second")
			p.wantClose(1000)
			p.Close()
			s.wantNotes(opened, `text "first"`, `ping "second"`, normally, "closed")
		}
	})
}

// The client goes on sending after its error: it still gets the Close frame, and the end of the
// stream instead of a reset.
func TestLastFrameIsNotLostToAReset(t *testing.T) {
	underBoth(t, nil, nil, func(t *testing.T, s *server) {
		p := s.open()
		junk := make([]byte, 4<<20)
		p.send(masked(0x83, "bad"), junk[:1<<20])
		go p.Write(junk)
		p.wantClose(1002)
		p.Close()
		s.wantNotes(opened, `end 1002 "reserved opcode" clean=false`, "closed")
	})
}

func TestClientThatVanishes(t *testing.T) {
	underBoth(t, nil, nil, func(t *testing.T, s *server) {
		p := s.open()
		p.send(masked(0x81, "hello")[:7])
		p.Close()
		s.wantNotes(opened, abnormal, "closed")

		p = s.open()
		p.send(masked(0x81, "hello"))
		p.want(0x81, "hello")
		p.Conn.(*net.TCPConn).SetLinger(0)
		p.Close()
		s.wantNotes(opened, `text "hello"`, abnormal, "closed")
	})
}

func TestServerClosesFirst(t *testing.T) {
	h := func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*websocket.Message); ok {
			websocket.CloseWith(c, 4321, "enough")
		}
	}
	underBoth(t, &websocket.Options{CloseTimeout: 200 * time.Millisecond}, h, func(t *testing.T, s *server) {
		p := s.open()
		p.send(masked(0x81, "1"), masked(0x81, "2"))
		p.want(0x88, closing(4321, "enough"))
		p.send(masked(0x81, "3"), masked(0x88, closing(4321, "")))
		p.wantEOF()
		p.Close()
		s.wantNotes(opened, `text "1"`, `end 4321 "" clean=true`, "closed")

		p = s.open() // one that sends no Close frame
		p.send(masked(0x81, "1"))
		p.want(0x88, closing(4321, "enough"))
		p.wantEOF()
		s.wantNotes(opened, `text "1"`, abnormal, "closed")
	})
}

func TestShutdownOfTheManager(t *testing.T) {
	underBoth(t, nil, nil, func(t *testing.T, s *server) {
		p := s.open()
		done := make(chan error, 1)
		go func() { done <- s.Shutdown(context.Background()) }()
		p.want(0x88, closing(1001, ""))
		p.send(masked(0x88, closing(1001, "")))
		p.wantEOF()
		p.Close()
		if err := <-done; err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		s.wantNotes(opened, `end 1001 "" clean=true`, "closed")
	})
}

// Encoded once, sent to all, from another goroutine.
func TestBroadcastOfAPreparedMessage(t *testing.T) {
	underBoth(t, nil, nil, func(t *testing.T, s *server) {
		var peers []*peer
		for range 10 {
			peers = append(peers, s.open())
		}
		for i := range 20 {
			text := strings.Repeat(fmt.Sprint(i, " "), i*1000)
			m := websocket.Prepare(websocket.Text, []byte(text))
			sent := 0
			err := s.Broadcast(func(c *conn.Conn) {
				if websocket.Is(c) && websocket.SendPrepared(c, m) == nil {
					sent++
				}
			})
			if err != nil || sent != len(peers) {
				t.Fatalf("Broadcast: %d sent, %v", sent, err)
			}
			for _, p := range peers {
				p.want(0x81, text)
			}
		}
	})
}

// A flood of pings from a client that does not read holds a bounded queue, and every pong comes in
// the end.
func TestPingFloodOverTheWire(t *testing.T) {
	const mark = 64 << 10 // whatever the send limit is: here 64 MiB
	underBoth(t, nil, nil, func(t *testing.T, s *server) {
		const pings = 100_000
		p := s.open()
		payload := strings.Repeat("p", 120)
		one := masked(0x89, payload)
		sent := make(chan error, 1)
		go func() {
			var err error
			chunk := []byte(strings.Repeat(string(one), 1000))
			for i := 0; i < pings && err == nil; i += 1000 {
				_, err = p.Write(chunk)
			}
			sent <- err
		}()
		// Only when the server reads no more can the flood stand still.
		most := 0
		for still := 0; still < 5; {
			before := most
			s.Broadcast(func(c *conn.Conn) { most = max(most, c.Pending()) })
			if still++; most != before || most < mark {
				still = 0
			}
		}
		for range pings {
			p.want(0x8a, payload)
		}
		s.Broadcast(func(c *conn.Conn) { most = max(most, c.Pending()) })
		if err := <-sent; err != nil {
			t.Error(err)
		}
		if most > mark+127 {
			t.Errorf("up to %d bytes were queued, the high-water mark is %d", most, mark)
		}
	})
}

// A hundred clients announce 1 GiB each and send nothing.
func TestAnnouncedGigabytesCostNothing(t *testing.T) {
	underBoth(t, &websocket.Options{MaxMessage: 1 << 30}, nil, func(t *testing.T, s *server) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range 100 {
			p := s.open()
			p.send([]byte{0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4, 'x'})
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		// A client of this test costs 64 KiB, for its bufio.Reader.
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 100*(64<<10+16<<10) {
			t.Errorf("the heap grew by %d bytes", grown)
		}
	})
}
