package http

import (
	"context"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestWhatChangesAReplyIsSeenOffTheLoop(t *testing.T) {
	m, err := mgr.New(mgr.Options{Checked: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(m, "http://127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- m.Run(context.Background()) }()
	defer func() { m.Close(); <-ran }()
	running := make(chan bool)
	m.Do(func() { close(running) })
	<-running
	for name, call := range map[string]func(*conn.Conn){
		"SetHeader":  func(c *conn.Conn) { SetHeader(c, "X-A", "b") },
		"AddHeader":  func(c *conn.Conn) { AddHeader(c, "X-A", "b") },
		"SetMaxBody": func(c *conn.Conn) { SetMaxBody(c, 1) },
		"OnReply":    func(c *conn.Conn) { OnReply(c, func(int, int64) {}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s off the loop does not panic", name)
				}
			}()
			call(l)
		}()
	}
}
