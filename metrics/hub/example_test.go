package hub_test

import (
	"fmt"
	"strings"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/metrics"
	"github.com/seed4930a636/mangusta/metrics/hub"
	"github.com/seed4930a636/mangusta/mgr"
)

// The figures of a hub. A program gives the source to metrics.Handler.
func ExampleSource() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	h := broadcast.NewHub(broadcast.Options{}, m)
	h.Publish("news", []byte("hello"))
	var w metrics.Writer
	hub.Source(h, "hub", "main")(&w)
	for line := range strings.SplitSeq(string(w.Bytes()), "\n") {
		if strings.HasPrefix(line, "mangusta_hub_published_total") {
			fmt.Println(line)
		}
	}
	// Output: mangusta_hub_published_total{hub="main"} 1
}
