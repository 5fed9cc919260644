package json_test

import (
	"context"
	"errors"
	"io"
	stdhttp "net/http"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/json"
	"github.com/seed4930a636/mangusta/mgr"
)

// ask asks a loop with that handler once.
func ask(h conn.Handler) (*stdhttp.Response, string) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		panic(err)
	}
	l, err := mghttp.Listen(m, "http://127.0.0.1:0", h)
	if err != nil {
		panic(err)
	}
	url := "http://" + l.LocalAddr().String()
	go m.Run(context.Background())
	defer m.Close()
	resp, err := stdhttp.Get(url)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(err)
	}
	return resp, string(body)
}

func TestReplyThatCannotBeMade(t *testing.T) {
	resp, body := ask(func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*mghttp.Message); ok {
			if err := json.Reply(c, 200, func() {}); err == nil {
				t.Error("a function became JSON")
			}
			if err := json.Reply(c, 404, []string{"<a>"}); err != nil {
				t.Error(err)
			}
			if err := json.Reply(c, 200, nil); !errors.Is(err, mghttp.ErrNoRequest) {
				t.Error(err)
			}
		}
	})
	if resp.StatusCode != 404 || body != `["\u003ca\u003e"]` {
		t.Error(resp.StatusCode, body)
	}
}
