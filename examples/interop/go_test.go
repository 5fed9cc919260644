package interop

import (
	"fmt"
	"testing"

	"github.com/seed4930a636/mangusta/mgr"
)

// each runs f on both pollers in all modes.
func each(t *testing.T, modes []mode, f func(t *testing.T, p mgr.Poller, m mode)) {
	for _, m := range modes {
		for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
			t.Run(fmt.Sprintf("%s/%s", m, p), func(t *testing.T) { f(t, p, m) })
		}
	}
}

func TestGoClientsWithOurServer(t *testing.T) {
	for _, l := range libraries() {
		t.Run(l.name, func(t *testing.T) {
			each(t, l.modes, func(t *testing.T, p mgr.Poller, m mode) {
				s := listen(t, p, m, "")
				converse(t, p, func() socket { return l.dial(t, s.url, m) }, func(code int, _ string) { s.wantEnd(code) })
			})
		})
	}
}

func TestGoServersWithOurClient(t *testing.T) {
	for _, l := range libraries() {
		t.Run(l.name, func(t *testing.T) {
			each(t, l.modes, func(t *testing.T, p mgr.Poller, m mode) {
				url, loop := l.start(t, m), run(t, p)
				var last *ourSocket
				open := func() socket {
					last = dial(t, loop, url, m).(*ourSocket)
					return last
				}
				converse(t, p, open, func(code int, reason string) {
					if reason == "bye" {
						last.wantAnswer(t, code)
					}
				})
			})
		})
	}
}
