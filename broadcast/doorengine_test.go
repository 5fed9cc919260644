package broadcast_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/broadcast/enginetest"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// With an engine the receipt comes after the message is stored, with its offset.
func TestTheDoorPublishesThroughAnEngine(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) { publishThroughAnEngine(t, p) })
	}
}

func publishThroughAnEngine(t *testing.T, p mgr.Poller) {
	m, err := mgr.New(mgr.Options{Poller: p})
	if err != nil {
		t.Fatal(err)
	}
	engine := enginetest.NewLog().Engine()
	hub := broadcast.NewHub(broadcast.Options{Encode: broadcast.Framed, Engine: engine}, m)
	everybody := broadcast.Rights{Publish: func(string) bool { return true }}
	x := mghttp.NewMux()
	x.MustHandle("/hub", broadcast.NewDoor(hub, broadcast.DoorOptions{Rights: everybody}).Serve)
	l, err := mghttp.Listen(m, "http://127.0.0.1:0", x.Serve)
	if err != nil {
		t.Fatal(err)
	}
	addr := l.LocalAddr().String()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Run(ctx)
	}()
	defer func() {
		engine.Close()
		cancel()
		<-done
		m.Close()
	}()
	if err := hub.CaughtUp(ctx); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 10)
	m.Do(func() {
		var remote *broadcast.Remote
		remote, err := broadcast.Dial(m, "ws://"+addr+"/hub", broadcast.DialOptions{
			Message: func(msg *broadcast.Message) { lines <- fmt.Sprint("message ", msg.Offset) },
			Live: func() {
				err := remote.Publish("a", []byte("1"), func(r broadcast.Receipt, err error) { lines <- fmt.Sprintf("receipt %d %v", r.Offset, err) })
				if err != nil {
					t.Error(err)
				}
			},
		})
		if err != nil {
			t.Error(err)
			return
		}
		remote.Subscribe("a", 0)
	})
	got := map[string]bool{<-lines: true}
	got[<-lines] = true
	at := hub.Offset()
	if !got[fmt.Sprint("message ", at)] || !got[fmt.Sprintf("receipt %d <nil>", at)] {
		t.Errorf("at %d: %v", at, got)
	}
	resp, err := http.Post("http://"+addr+"/hub?topic=a", "text/plain", strings.NewReader("2"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if message := <-lines; !strings.Contains(string(body), strings.TrimPrefix(message, "message ")) {
		t.Errorf("the reply is %s, and %s came", body, message)
	}
}
