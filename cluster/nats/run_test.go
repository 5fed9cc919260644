package nats

import (
	"context"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/broadcast/enginetest"
	"github.com/seed4930a636/mangusta/internal/clockskew"
)

// TestSilenceIsSeenAfterTheClockWasSetBack: a consumer that is dead must not be waited for until the
// clock is where it was.
func TestSilenceIsSeenAfterTheClockWasSetBack(t *testing.T) {
	if !clockskew.Supported {
		t.Skip("SKIPPED, NOT TESTED: the clock of a process can be moved on linux/amd64 alone")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*silence)
	defer cancel()
	c := &consumer{reader: &reader{e: &Engine{ctx: ctx}}, failed: make(chan error, 1)}
	c.saw()
	clockskew.Set(-time.Hour)
	defer clockskew.Set(0)
	if err := c.watch(0); err != errSilent {
		t.Errorf("watch: %v", err)
	}
}

// TestInfoHasTheClockOfTheServer, by which messages are dated: the node's own may be off.
func TestInfoHasTheClockOfTheServer(t *testing.T) {
	e := mustOpen(t, Options{})
	n := enginetest.NewNode(t, e, nil)
	n.AwaitUp()
	got := n.AwaitOffset(n.MustPublish(broadcast.Entry{Topic: "t", ID: "1"}))
	info, err := e.Info()
	if d := info.Now.Sub(got[0].Time); err != nil || d < 0 || d > time.Minute {
		t.Errorf("it is %v after the message, %v", d, err)
	}
}
