package stdhttp_test

import (
	"context"
	"fmt"
	"io"
	nethttp "net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/stdhttp"
	"github.com/seed4930a636/mangusta/mgr"
)

// One Handler serves connections of two loops: each reply, also one that is streamed, goes to the
// loop that its request came from.
func TestOneHandlerServesSeveralLoops(t *testing.T) {
	l, err := mgr.NewLoops(2, mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := stdhttp.New(l, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		b, _ := io.ReadAll(r.Body)
		for range 3 {
			fmt.Fprintf(w, "%s %s;", r.URL.Path, b)
			w.(nethttp.Flusher).Flush()
		}
	}), stdhttp.Options{})
	c, err := http.Listen(l, "http://127.0.0.1:0", h.Handle, http.Options{Accept: mgr.AcceptHandOver})
	if err != nil {
		t.Fatal(err)
	}
	addr := c.LocalAddr().String()
	ran := make(chan error, 1)
	go func() { ran <- l.Run(context.Background()) }()
	var clients sync.WaitGroup
	for i := range 6 {
		clients.Go(func() {
			client := nethttp.Client{Transport: new(nethttp.Transport), Timeout: 20 * time.Second}
			defer client.CloseIdleConnections()
			for k := range 10 {
				resp, err := client.Post(fmt.Sprintf("http://%s/%d", addr, i), "text/plain", strings.NewReader(fmt.Sprint(k)))
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if want := strings.Repeat(fmt.Sprintf("/%d %d;", i, k), 3); string(b) != want || err != nil {
					t.Errorf("read %q, %v; want %q", b, err, want)
				}
			}
		})
	}
	clients.Wait()
	if each := l.StatsEach(); each[0].Accepts == 0 || each[1].Accepts == 0 {
		t.Errorf("connections by loop: %d and %d", each[0].Accepts, each[1].Accepts)
	}
	l.Close()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}
