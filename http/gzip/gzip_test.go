package gzip_test

import (
	"bufio"
	"bytes"
	stdgzip "compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	stdhttp "net/http"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/gzip"
	"github.com/seed4930a636/mangusta/mgr"
)

func unzip(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := stdgzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Each piece can be read as soon as it is there, and none is longer than Most said.
func TestEncoder(t *testing.T) {
	text := []byte(strings.Repeat("the quick brown fox ", 5000))
	noise := make([]byte, 150_000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	for _, level := range []int{stdgzip.HuffmanOnly, 1, 6, 9} {
		c := gzip.New(gzip.Options{Level: level})
		for _, data := range [][]byte{text, noise, nil} {
			for _, step := range []int{1 + len(data), 7000, 65_536} {
				e := c.Begin()
				var all []byte
				for p := data; len(p) > 0; {
					n := min(step, len(p))
					before := len(all)
					all = e.Append(all, p[:n], false)
					if got := len(all) - before; got > e.Most(n) {
						t.Fatalf("level %d: %d bytes became %d, Most %d", level, n, got, e.Most(n))
					}
					p = p[n:]
				}
				before := len(all)
				most := e.Most(0)
				all = e.Append(all, nil, true)
				if len(all)-before > most {
					t.Fatal("the end is longer than Most")
				}
				if !bytes.Equal(unzip(t, all), data) {
					t.Fatal("not what went in")
				}
			}
		}
	}
}

func TestMaxStreams(t *testing.T) {
	c := gzip.New(gzip.Options{MaxStreams: 2})
	a, b := c.Begin(), c.Begin()
	if c.Begin() != nil {
		t.Fatal("a third")
	}
	a.Drop()
	b.Append(nil, []byte("x"), true)
	for range 2 {
		if c.Begin() == nil {
			t.Fatal("a place is not given back")
		}
	}
	if c.Begin() != nil {
		t.Fatal("a fifth")
	}
}

func TestWants(t *testing.T) {
	c := gzip.New(gzip.Options{MinSize: 100})
	for _, w := range []struct {
		contentType string
		size        int
		want        bool
	}{
		{"text/html; charset=utf-8", 100, true}, {"text/html", 99, false}, {"text/html", -1, true},
		{"Application/JSON", 100, true}, {"application/problem+json", 100, true}, {"image/svg+xml", 100, true},
		{"image/png", 100, false}, {"application/zip", 100, false}, {"", 100, false}, {"text/event-stream", -1, false},
	} {
		if got := c.Wants(w.contentType, w.size); got != w.want {
			t.Error(w, got)
		}
	}
}

func TestBadLevelPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	gzip.New(gzip.Options{Level: 10})
}

// serve runs a loop that compresses, and returns its address.
func serve(tb testing.TB, p mgr.Poller, h conn.Handler) string {
	m, err := mgr.New(mgr.Options{Poller: p})
	if err != nil {
		tb.Fatal(err)
	}
	l, err := mghttp.Listen(m, "http://127.0.0.1:0", h, mghttp.Options{Compress: gzip.New(gzip.Options{})})
	if err != nil {
		tb.Fatal(err)
	}
	addr := l.LocalAddr().String()
	go m.Run(context.Background())
	tb.Cleanup(func() { m.Close() })
	return addr
}

func TestThroughASocket(t *testing.T) {
	text := strings.Repeat("the quick brown fox ", 5000)
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			addr := serve(t, p, func(c *conn.Conn, ev conn.Event) {
				m, ok := ev.(*mghttp.Message)
				switch {
				case !ok:
				case m.Match("/whole"):
					mghttp.Reply(c, 200, "text/plain", "%s", text)
				default:
					mghttp.Begin(c, 200, "text/plain")
					for s := text; s != ""; s = s[5000:] {
						mghttp.WriteChunk(c, []byte(s[:5000]))
					}
					mghttp.End(c)
				}
			})
			for _, path := range []string{"/whole", "/chunks"} {
				resp, err := stdhttp.Get("http://" + addr + path) // asks for gzip, and takes it off
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(got) != text || !resp.Uncompressed || resp.Header.Get("Vary") != "Accept-Encoding" {
					t.Fatal(path, len(got), err, resp.Header)
				}
			}
		})
	}
}

func Example() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		panic(err)
	}
	l, err := mghttp.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*mghttp.Message); ok {
			mghttp.Reply(c, 200, "text/plain", "%s", strings.Repeat("hello ", 1000))
		}
	}, mghttp.Options{Compress: gzip.New(gzip.Options{})})
	if err != nil {
		panic(err)
	}
	addr := l.LocalAddr().String()
	go m.Run(context.Background())
	defer m.Close()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: device\r\nAccept-Encoding: br, gzip\r\n\r\n")
	resp, err := stdhttp.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		panic(err)
	}
	r, err := stdgzip.NewReader(resp.Body)
	if err != nil {
		panic(err)
	}
	body, _ := io.ReadAll(r)
	fmt.Println(resp.Header.Get("Content-Encoding"), resp.ContentLength < 200, len(body))
	// Output: gzip true 6000
}

func BenchmarkWhole(b *testing.B) {
	c := gzip.New(gzip.Options{})
	p := []byte(strings.Repeat("the quick brown fox ", 500))
	var dst []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		dst = c.Begin().Append(dst[:0], p, true)
	}
}
