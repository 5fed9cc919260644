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

func ExampleJSON() {
	for _, data := range []string{`{"celsius": 21.5}`, "21.5", "warm", "\xff"} {
		_, text := broadcast.JSON(nil, &broadcast.Message{Topic: "kitchen", Offset: 7, Data: []byte(data)})
		fmt.Printf("%s\n", text)
	}
	// Output:
	// {"topic":"kitchen","offset":7,"data":{"celsius": 21.5}}
	// {"topic":"kitchen","offset":7,"data":21.5}
	// {"topic":"kitchen","offset":7,"data":"warm"}
	// {"topic":"kitchen","offset":7,"base64":"/w=="}
}

// Last-Event-ID comes from the client: it may be anything.
func ExampleParseSince() {
	for _, id := range []string{"", "0", "4711", "what?"} {
		fmt.Println(broadcast.ParseSince([]byte(id)))
	}
	fmt.Println("all:", broadcast.All, "unknown:", broadcast.Unknown)
	// Output:
	// 0
	// 1
	// 4711
	// 2
	// all: 1 unknown: 2
}

// A page of figures shows the topics of the newest messages.
func ExampleHub_Newest() {
	hub := broadcast.New()
	for _, topic := range []string{"a", "b", "c", "a"} {
		hub.Publish(topic, nil)
	}
	for _, t := range hub.Newest(2) {
		fmt.Println(t.Name, t.Published)
	}
	// Output:
	// a 2
	// c 1
}
