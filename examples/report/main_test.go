package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// wantReading wants what the server got to be a reading.
func wantReading(t *testing.T, got string) {
	t.Helper()
	var r struct {
		Time int64
		Load *float64
	}
	if err := json.Unmarshal([]byte(got), &r); err != nil || r.Time == 0 || r.Load == nil {
		t.Errorf("got %q: %v", got, err)
	}
}

// start runs the program until the test ends.
func start(t *testing.T, url string) {
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- run(ctx, url, 5*time.Millisecond, true) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

func next(t *testing.T, got <-chan string) string {
	t.Helper()
	select {
	case s := <-got:
		return s
	case <-time.After(time.Minute):
		t.Fatal("no reading in 20 s")
	}
	return ""
}

// A reading that the server has refused is sent again.
func TestPostsReadings(t *testing.T) {
	got := make(chan string, 1000)
	var n atomic.Int32
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		select {
		case got <- r.Method + " " + r.Header.Get("Content-Type") + " " + string(b):
		default:
		}
		if n.Add(1) == 1 {
			w.WriteHeader(503)
		}
	}))
	defer srv.Close()
	start(t, srv.URL+"/readings")
	const head = "POST application/json "
	refused := next(t, got)
	again := next(t, got)
	if !strings.HasPrefix(refused, head) || again != refused {
		t.Errorf("first %q, then %q", refused, again)
	}
	for range 3 {
		wantReading(t, strings.TrimPrefix(next(t, got), head))
	}
}

// A server that ends the WebSocket gets another one.
func TestSendsReadingsOverAWebSocket(t *testing.T) {
	got := make(chan string, 1000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, b, err := c.ReadMessage()
		if err == nil {
			got <- string(b)
		}
	}))
	defer srv.Close()
	start(t, "ws"+strings.TrimPrefix(srv.URL, "http"))
	for range 3 {
		wantReading(t, next(t, got))
	}
}

func TestRefusesOtherURLs(t *testing.T) {
	if err := run(context.Background(), "ftp://example.org/", time.Second, false); err == nil {
		t.Error("no error")
	}
}
