package looptest

import (
	"errors"
	nethttp "net/http"
	"slices"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestEachPoller(t *testing.T) {
	var got []string
	EachPoller(t, func(t *testing.T, p mgr.Poller) {
		got = append(got, t.Name()+" "+New(t, p).Poller())
	})
	if want := []string{"TestEachPoller/epoll epoll", "TestEachPoller/select select"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A Manager of New is closed with its test, and so is one that Run runs, after its loop has ended.
func TestNothingOutlivesItsTest(t *testing.T) {
	var idle, runs, stopped *mgr.Manager
	t.Run("inner", func(t *testing.T) {
		idle, runs, stopped = New(t, mgr.Auto), New(t, mgr.Auto), New(t, mgr.Auto, mgr.Options{Queue: 1})
		if err := stopped.Do(func() {}); err != nil {
			t.Error(err)
		}
		if err := stopped.Do(func() {}); !errors.Is(err, mgr.ErrFull) {
			t.Errorf("the options are not heeded: %v", err)
		}
		Run(t, runs)
		done := make(chan struct{})
		if err := runs.Do(func() { close(done) }); err != nil {
			t.Fatal(err)
		}
		<-done
		stop := Run(t, stopped)
		stop()
		if err := stopped.Do(func() {}); !errors.Is(err, mgr.ErrClosed) {
			t.Errorf("after stop: %v", err)
		}
		stop()
	})
	for _, m := range []*mgr.Manager{idle, runs} {
		if err := m.Do(func() {}); !errors.Is(err, mgr.ErrClosed) {
			t.Errorf("after the test: %v", err)
		}
	}
}

func TestListenAndUnless(t *testing.T) {
	EachPoller(t, func(t *testing.T, p mgr.Poller) {
		m, x := New(t, p), http.NewMux()
		x.MustHandle("GET /", func(c *conn.Conn, _ *http.Message) { http.Reply(c, 200, "text/plain", "in") }, http.Guard(Unless("Stranger")))
		addr := Listen(t, m, "http://127.0.0.1:0", x.Serve, http.Options{Hosts: []string{"127.0.0.1"}})
		Run(t, m)
		for _, tt := range []struct {
			field, host string
			want        int
		}{{"Friend", "127.0.0.1", 200}, {"Stranger", "127.0.0.1", 403}, {"Friend", "example.com", 421}} {
			req, err := nethttp.NewRequest("GET", "http://"+addr, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = tt.host
			req.Header.Set(tt.field, "1")
			resp, err := nethttp.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != tt.want {
				t.Errorf("%s of %s: %d, want %d", tt.field, tt.host, resp.StatusCode, tt.want)
			}
		}
	})
}
