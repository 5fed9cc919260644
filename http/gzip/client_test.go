package gzip

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	stdhttp "net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// eachClient runs f with a client that decompresses, on a loop of each poller that f turns.
func eachClient(t *testing.T, f func(t *testing.T, m *mgr.Manager, client *http.Client)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			m, err := mgr.New(mgr.Options{Poller: p})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			client, err := http.NewClient(m, http.ClientOptions{Decompress: NewDecompressor()})
			if err != nil {
				t.Fatal(err)
			}
			f(t, m, client)
		})
	}
}

// A client with a Decompressor asks for the coding, takes it off, and bounds what comes out.
func TestClient(t *testing.T) {
	plain := strings.Repeat("hello, world; ", 10_000)
	srv := httptest.NewServer(stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" || r.Header.Get("Range") != "" {
			io.WriteString(w, "plain")
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		b := squeeze(t, []byte(plain), gzip.Header{})
		if r.URL.Path == "/cut" {
			b = b[:len(b)-1]
		}
		w.Write(b)
	}))
	defer srv.Close()
	eachClient(t, func(t *testing.T, m *mgr.Manager, client *http.Client) {
		do := func(r *http.ClientRequest) (body string, decoded bool, failed error) {
			t.Helper()
			over := false
			_, err := client.Do(r, func(r *http.Response, err error) {
				over, failed = true, err
				if err == nil {
					body, decoded = string(r.Body), r.Decoded
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			for !over {
				m.Poll(-1)
			}
			return body, decoded, failed
		}
		for range 2 {
			if body, decoded, err := do(&http.ClientRequest{URL: srv.URL}); body != plain || !decoded || err != nil {
				t.Errorf("%d bytes, decoded %v, %v", len(body), decoded, err)
			}
		}
		ranged := &http.ClientRequest{URL: srv.URL}
		ranged.SetHeader("Range", "bytes=0-1")
		if body, decoded, err := do(ranged); body != "plain" || decoded || err != nil {
			t.Errorf("a range: %q %v %v", body, decoded, err)
		}
		if _, _, err := do(&http.ClientRequest{URL: srv.URL, MaxBody: int64(len(plain)) - 1}); !errors.Is(err, http.ErrLongBody) {
			t.Errorf("a limit: %v", err)
		}
		if _, _, err := do(&http.ClientRequest{URL: srv.URL + "/cut"}); !errors.Is(err, http.ErrBadCoding) {
			t.Errorf("cut: %v", err)
		}
		for path, want := range map[string]error{"/": nil, "/cut": http.ErrBadCoding} {
			var got bytes.Buffer
			_, _, err := do(&http.ClientRequest{URL: srv.URL + path, Events: func(c *conn.Conn, ev conn.Event) {
				switch ev := ev.(type) {
				case *http.ResponseHead:
					http.StreamResponse(c)
				case *http.Chunk:
					got.Write(ev.Data)
				}
			}})
			if got.String() != plain || !errors.Is(err, want) {
				t.Errorf("streamed %s: %d bytes, %v", path, got.Len(), err)
			}
		}
	})
}
