package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

func TestAChiRouterOnBothPollers(t *testing.T) {
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) {
			p := programtest.Start(t, "-listen", "127.0.0.1:0", "-poller", poller)
			get := func(path string) (*http.Response, string) {
				t.Helper()
				return read(t)(http.Get("http://" + p.Addr + path))
			}
			for path, want := range map[string]string{
				"/items/a%20b": `{"id":"a b"}` + "\n", "/loop": "from the loop\n", "/nowhere": "404 page not found\n",
			} {
				if _, body := get(path); body != want {
					t.Errorf("%s: %q, want %q", path, body, want)
				}
			}
			programtest.WantOwnHostsOnly(t, p.Addr, "/items/a", "/loop")
			// The client's transport asks for gzip and takes it off.
			if resp, body := get("/debug/pprof/"); !resp.Uncompressed || !strings.Contains(body, "goroutine") {
				t.Error(resp, body)
			}
			large := bytes.NewReader(make([]byte, 20<<20)) // more than a whole body may have
			if _, body := read(t)(http.Post("http://"+p.Addr+"/upload", "", large)); body != "20971520 bytes\n" {
				t.Error(body)
			}
			ws, _, err := websocket.DefaultDialer.Dial("ws://"+p.Addr+"/ws", nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{0, 1, 1000, 1 << 20} {
				ws.WriteMessage(websocket.BinaryMessage, make([]byte, n))
				if _, got, err := ws.ReadMessage(); len(got) != n || err != nil {
					t.Error(n, len(got), err)
				}
			}
			resp, err := http.Get("http://" + p.Addr + "/clock")
			if err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(resp.Body).ReadString('\n'); !strings.HasPrefix(line, "data: ") {
				t.Error(line, err)
			}
			resp.Body.Close()
			if err := p.Terminate(10 * time.Second); err != nil {
				t.Error(err)
			}
		})
	}
}

// read returns a function that reads an answer whole.
func read(t *testing.T) func(*http.Response, error) (*http.Response, string) {
	return func(resp *http.Response, err error) (*http.Response, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(b)
	}
}
