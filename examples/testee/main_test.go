package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

func TestMain(m *testing.M) { programtest.MainOfBuild(m) }

func underBoth(t *testing.T, f func(t *testing.T, p *programtest.Program)) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page.html"), []byte("<p>a page"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) {
			f(t, programtest.Start(t, "-listen", "127.0.0.1:0", "-poller", poller, "-dir", dir,
				"-max-message", "1000000", "-max-body", "2000000"))
		})
	}
}

func TestAnswersEveryRoute(t *testing.T) {
	big := strings.Repeat("0123456789", 200_000)
	cases := []struct {
		method, path, body string
		status             int
		contentType, want  string
	}{
		{"GET", "/plaintext", "", 200, "text/plain", "Hello, World!"},
		{"HEAD", "/plaintext", "", 200, "text/plain", ""},
		{"POST", "/plaintext", "x", 405, "text/plain; charset=utf-8", "405 Method Not Allowed\n"},
		{"POST", "/echo", "the body", 200, "application/octet-stream", "the body"},
		{"PUT", "/echo", big, 200, "application/octet-stream", big},
		{"POST", "/echo", big + "1", 413, "text/plain; charset=utf-8", "413 Content Too Large\n"},
		{"GET", "/status/204", "", 204, "", ""},
		{"GET", "/static/page.html", "", 200, "text/html; charset=utf-8", "<p>a page"},
		{"HEAD", "/static/page.html", "", 200, "text/html; charset=utf-8", ""},
		{"GET", "/static/../main.go", "", 404, "text/plain; charset=utf-8", "404 Not Found\n"},
		{"GET", "/nothing", "", 404, "text/plain; charset=utf-8", "404 Not Found\n"},
	}
	underBoth(t, func(t *testing.T, p *programtest.Program) {
		for _, tc := range cases {
			req, err := http.NewRequest(tc.method, "http://"+p.Addr+tc.path, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatalf("%s %s: %v", tc.method, tc.path, err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != tc.status || resp.Header.Get("Content-Type") != tc.contentType || string(b) != tc.want {
				t.Errorf("%s %s: %s %q %.40q %v", tc.method, tc.path, resp.Status, resp.Header.Get("Content-Type"), b, err)
			}
		}
	})
}

func TestListsTheHeaderFieldsInOrder(t *testing.T) {
	underBoth(t, func(t *testing.T, p *programtest.Program) {
		req, _ := http.NewRequest("GET", "http://"+p.Addr+"/headers", nil)
		req.Header.Set("User-Agent", "test")
		req.Header.Set("Zebra", "1")
		req.Header.Set("Accept-Encoding", "identity")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		want := fmt.Sprintf("Host: %s\nUser-Agent: test\nAccept-Encoding: identity\nZebra: 1\n", p.Addr)
		if string(b) != want {
			t.Errorf("got %q, %v; want %q", b, err, want)
		}
	})
}

func TestEchoesAndBroadcastsMessages(t *testing.T) {
	underBoth(t, func(t *testing.T, p *programtest.Program) {
		var conns [3]struct {
			io.ReadWriteCloser
		}
		for i := range conns {
			c, _, _, err := ws.Dial(t.Context(), "ws://"+p.Addr+"/ws")
			if err != nil {
				t.Fatal(err)
			}
			c.SetDeadline(time.Now().Add(time.Minute))
			defer c.Close()
			conns[i].ReadWriteCloser = c
		}
		wsutil.WriteClientBinary(conns[0], []byte("only back"))
		if b, op, err := wsutil.ReadServerData(conns[0]); string(b) != "only back" || op != ws.OpBinary {
			t.Fatalf("echo: %q %v %v", b, op, err)
		}
		wsutil.WriteClientText(conns[1], []byte("Ball of you"))
		for i, c := range conns {
			if b, op, err := wsutil.ReadServerData(c); string(b) != "Ball of you" || op != ws.OpText {
				t.Fatalf("broadcast to %d: %q %v %v", i, b, op, err)
			}
		}
		wsutil.WriteClientBinary(conns[2], bytes.Repeat([]byte("x"), 1_000_001))
		_, _, err := wsutil.ReadServerData(conns[2])
		if closed, ok := err.(wsutil.ClosedError); !ok || closed.Code != ws.StatusMessageTooBig {
			t.Errorf("too big a message: %v, want close code 1009", err)
		}
	})
}

// A reader that stalls is sent the latest megabyte of a broadcast, one that reads all of it.
func TestABroadcastLeavesAStalledReaderBehind(t *testing.T) {
	t.Parallel()
	underBoth(t, func(t *testing.T, p *programtest.Program) {
		dial := func() net.Conn {
			c, _, _, err := ws.Dialer{NetDial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err == nil {
					c.(*net.TCPConn).SetReadBuffer(16 << 10)
				}
				return c, err
			}}.Dial(t.Context(), "ws://"+p.Addr+"/ws")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			c.SetDeadline(time.Now().Add(time.Minute))
			return c
		}
		stalled, reader := dial(), dial()
		const messages, size = 400, 50_000 // 20 MB
		m := bytes.Repeat([]byte("B"), size)
		number := func(m []byte) int { return int(m[1])<<8 | int(m[2]) }
		for i := range messages {
			m[1], m[2] = byte(i>>8), byte(i)
			if err := wsutil.WriteClientBinary(reader, m); err != nil {
				t.Fatal(err)
			}
			if b, _, err := wsutil.ReadServerData(reader); err != nil || number(b) != i {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		got := 0
		for last := -1; last != messages-1; got++ {
			b, _, err := wsutil.ReadServerData(stalled)
			if err != nil {
				t.Fatalf("after message %d: %v", last, err)
			}
			if n := number(b); n <= last {
				t.Fatalf("message %d after %d", n, last)
			}
			last = number(b)
		}
		// The buffers of the two kernels, up to 5 MB, come on top of the megabyte.
		if got > 150 || got < 20 {
			t.Errorf("the stalled reader got %d messages of %d", got, messages)
		}
	})
}

func TestEndsOnSIGTERMAlthoughAPeerDoesNotAnswer(t *testing.T) {
	t.Parallel()
	p := programtest.Start(t, "-listen", "127.0.0.1:0")
	c, _, _, err := ws.Dial(t.Context(), "ws://"+p.Addr+"/ws")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := p.Terminate(6 * time.Second); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestEndsGracefullyOnSIGTERM(t *testing.T) {
	t.Parallel()
	underBoth(t, func(t *testing.T, p *programtest.Program) {
		c, _, _, err := ws.Dial(t.Context(), "ws://"+p.Addr+"/ws")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ended := make(chan error, 1)
		go func() {
			_, _, err := wsutil.ReadServerData(c) // answers the close frame
			c.Close()
			ended <- err
		}()
		if err := p.Terminate(5 * time.Second); err != nil {
			t.Errorf("ended with %v", err)
		}
		err = <-ended
		if closed, ok := err.(wsutil.ClosedError); !ok || closed.Code != ws.StatusGoingAway {
			t.Errorf("the WebSocket ended with %v, want close code 1001", err)
		}
	})
}
