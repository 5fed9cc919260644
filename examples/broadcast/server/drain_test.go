package server

import (
	"net/http"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

// From SIGTERM until -drain is over the health check fails, and all else goes on. A first health
// check needs no token.
func TestDrainBeforeTheEnd(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller, "-drain", "1s")
		if resp, body := p.ask("GET", "/healthz", ""); resp.StatusCode != 200 {
			t.Fatal(resp.Status, body)
		}
		saw := make(chan bool, 1)
		go func() {
			drained := false
			for {
				resp, err := http.Get(p.url("/healthz"))
				if err != nil {
					saw <- drained // the listener is gone
					return
				}
				resp.Body.Close()
				if resp.StatusCode == 503 && !drained {
					page, err := http.Get(p.url("/"))
					if drained = err == nil && page.StatusCode == 200; err == nil {
						page.Body.Close()
					}
				}
			}
		}()
		if err := p.Terminate(patience); err != nil {
			t.Error(err)
		}
		select {
		case ok := <-saw:
			if !ok {
				t.Error("no 503 with a page beside it was seen")
			}
		case <-time.After(patience):
			t.Error("the server still replies")
		}
	})
}
