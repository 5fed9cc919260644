package main

import (
	"bytes"
	"encoding/json"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

// The device fetches an update from a server when its owner asks, and runs it after a reboot.
func TestPull(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		manifest, publish := pullServer(t)
		s, started := startSlots(t, poller, "-pull", manifest)
		publish(s, "2.0")

		addr, said := started()
		ann := setUp(t, "http://"+addr, said)
		newBrowser(t, ann.base).want(401, "", "POST", "/update/pull", "")
		ann.want(403, "", "POST", "/update/pull", "", "Origin", "https://evil.example")
		ann.want(202, "", "POST", "/update/pull", "")
		for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			if _, text := ann.ask("GET", "/update", ""); strings.Contains(text, `"state":"ready"`) {
				break
			} else if time.Now().After(end) {
				t.Fatal(text)
			}
		}
		ann.want(204, "", "POST", "/api/actions/reboot", `{"confirm": true}`)
		addr, _ = started()
		ann.base = "http://" + addr
		ann.want(200, `"running":{"version":"2.0"`, "GET", "/update", "")
		if to, err := os.Readlink(filepath.Join(s.dir, "current")); to != "b" {
			t.Errorf("current leads to %q, %v", to, err)
		}
	})
}

// pullServer starts a server of updates. publish puts one into its manifest.
func pullServer(t *testing.T) (manifest string, publish func(s *slots, version string)) {
	t.Helper()
	var mu sync.Mutex
	files := map[string][]byte{}
	server := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		mu.Lock()
		text, ok := files[r.URL.Path]
		mu.Unlock()
		if !ok {
			nethttp.NotFound(w, r)
			return
		}
		nethttp.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/manifest.json", func(s *slots, version string) {
		next, sig := s.image(version)
		doc, err := json.Marshal(map[string]any{"version": version, "board": board, "url": version, "size": len(next), "minisig": string(sig)})
		if err != nil {
			t.Fatal(err)
		}
		r := minisign.NewReader(bytes.NewReader(doc))
		io.Copy(io.Discard, r)
		mu.Lock()
		defer mu.Unlock()
		files["/manifest.json"], files["/manifest.json.minisig"], files["/"+version] = doc, r.SignWithComments(s.key, "manifest", ""), next
	}
}
