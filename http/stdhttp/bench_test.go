package stdhttp

import (
	"bufio"
	"context"
	"io"
	"net"
	nethttp "net/http"
	"testing"

	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// BenchmarkRequest is one GET over one connection on loopback: a reply that fits into a buffer, one
// of a megabyte, and one of ten pieces that are flushed.
func BenchmarkRequest(b *testing.B) {
	piece := make([]byte, 32<<10)
	for _, bench := range []struct {
		name    string
		handler nethttp.HandlerFunc
	}{
		{"short", func(w nethttp.ResponseWriter, r *nethttp.Request) { io.WriteString(w, "Hello, World!") }},
		{"long", func(w nethttp.ResponseWriter, r *nethttp.Request) {
			for range 32 {
				w.Write(piece)
			}
		}},
		{"flushed", func(w nethttp.ResponseWriter, r *nethttp.Request) {
			for range 10 {
				w.Write(piece[:100])
				w.(nethttp.Flusher).Flush()
			}
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			m, err := mgr.New(mgr.Options{})
			if err != nil {
				b.Fatal(err)
			}
			l, err := http.Listen(m, "http://127.0.0.1:0", New(m, bench.handler, Options{}).Handle)
			if err != nil {
				b.Fatal(err)
			}
			ran := make(chan error, 1)
			go func() { ran <- m.Run(context.Background()) }()
			defer func() { m.Close(); <-ran }()
			c, err := net.Dial("tcp", l.LocalAddr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			in := bufio.NewReaderSize(c, 64<<10)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := io.WriteString(c, getX); err != nil {
					b.Fatal(err)
				}
				resp, err := nethttp.ReadResponse(in, nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
