package broadcast_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/broadcast/enginetest"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestATapGetsEverythingInOrder(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var got []*broadcast.Message // written under the hub's lock
	h := broadcast.NewHub(broadcast.Options{Tap: func(m *broadcast.Message, id string) {
		if id != "" {
			t.Errorf("%+v has the id %q", m, id)
		}
		got = append(got, m)
	}}, m)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			data := []byte("xxxx")
			for i := range 500 {
				copy(data, fmt.Sprintf("%d%03d", g, i)) // the caller uses its buffer again
				if _, err := h.Publish("a/b", data); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if _, err := h.Delete("a/b"); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2001 {
		t.Fatalf("%d messages", len(got))
	}
	next := map[byte]int{}
	for i, m := range got[:2000] {
		if i > 0 && m.Offset != got[i-1].Offset+1 || m.Topic != "a/b" || string(m.Data[1:]) != fmt.Sprintf("%03d", next[m.Data[0]]) {
			t.Fatalf("message %d is %+v, %s", i, m, m.Data)
		}
		next[m.Data[0]]++
	}
	if last := got[2000]; !last.Deleted || last.Offset != h.Offset() {
		t.Errorf("%+v", last)
	}
}

func TestATapGetsWhatOtherNodesPublish(t *testing.T) {
	log := enginetest.NewLog()
	tapped := make(chan string, 10)
	opts := kept
	opts.Tap = func(m *broadcast.Message, id string) { tapped <- fmt.Sprintf("%s %s %s", m.Topic, m.Data, id) }
	newNode(t, mgr.Auto, log.Engine(), opts).ready()
	other := newNode(t, mgr.Auto, log.Engine(), kept).ready()
	other.publish("a", "1", broadcast.PublishOptions{ID: "bridge/7"})
	if got := <-tapped; got != "a 1 bridge/7" {
		t.Error(got)
	}
}
