package gzip

import (
	"compress/gzip"
	stdhttp "net/http"
	"net/http/httptest"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// A small response that decodes to a large one (a "bomb") comes no faster than a program takes it:
// while the connection is paused no Chunk comes, whether the framing has more bytes or not.
func TestClientPausesADecodedStream(t *testing.T) {
	const size = 8 << 20
	bomb := squeeze(t, make([]byte, size), gzip.Header{})
	srv := httptest.NewServer(stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		switch r.URL.Path {
		case "/close":
			w.Header().Set("Transfer-Encoding", "identity")
			w.Header().Set("Connection", "close")
		case "/chunked":
			w.Write(bomb[:100])
			w.(stdhttp.Flusher).Flush()
			w.Write(bomb[100:200])
			w.(stdhttp.Flusher).Flush()
			w.Write(bomb[200:])
			return
		}
		w.Write(bomb)
	}))
	defer srv.Close()
	eachClient(t, func(t *testing.T, m *mgr.Manager, client *http.Client) {
		for _, path := range []string{"/", "/chunked", "/close"} {
			got, paused, over, last := 0, false, false, 0
			var err error
			_, err = client.Do(&http.ClientRequest{URL: srv.URL + path, Events: func(c *conn.Conn, ev conn.Event) {
				switch ev := ev.(type) {
				case *http.ResponseHead:
					http.StreamResponse(c)
				case *http.Chunk:
					if paused {
						t.Fatal(path, " a Chunk while the connection is paused")
					}
					got += len(ev.Data)
					if ev.Last {
						last++
						return
					}
					paused = true
					c.Pause()
					m.AfterFunc(0, func() { paused = false; c.Resume() })
				}
			}}, func(_ *http.Response, e error) { over, err = true, e })
			for err == nil && !over {
				m.Poll(-1)
			}
			if err != nil || got != size || last != 1 {
				t.Errorf("%s: %d bytes, %d ends, %v", path, got, last, err)
			}
		}
	})
}
