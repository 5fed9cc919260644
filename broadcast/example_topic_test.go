package broadcast_test

import (
	"fmt"

	"github.com/seed4930a636/mangusta/broadcast"
)

func ExampleMatch() {
	for _, pattern := range []string{"a/b/c", "a/+/c", "a/#", "#", "+/c"} {
		fmt.Println(pattern, broadcast.Match(pattern, "a/b/c"))
	}
	fmt.Println(broadcast.ValidPattern("a/#/c"), broadcast.ValidTopic("a/+"))
	// Output:
	// a/b/c true
	// a/+/c true
	// a/# true
	// # true
	// +/c false
	// false false
}

// The figures may be read at any time.
func ExampleHub_Stats() {
	hub := broadcast.NewHub(broadcast.Options{History: broadcast.History{Count: 2}})
	for range 3 {
		hub.Publish("a", []byte("hello"))
	}
	s := hub.Stats()
	fmt.Println(s.Published, "published,", s.Kept, "kept,", s.KeptBytes, "bytes")
	for _, t := range hub.Topics() {
		fmt.Println(t.Name, t.Published, t.Kept, t.Subscribers)
	}
	// Output:
	// 3 published, 2 kept, 10 bytes
	// a 3 2 0
}
