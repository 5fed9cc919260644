package ctlpair_test

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/ctlpair"
)

// A loop watches FD next to its connections, and drains when it becomes readable.
func Example() {
	p, err := ctlpair.New[string](0)
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		p.Send("from")
		p.Send("another")
		p.Send("goroutine")
	}()
	for got := 0; got < 3; {
		unix.Poll([]unix.PollFd{{Fd: int32(p.FD()), Events: unix.POLLIN}}, -1)
		p.Drain(func(s string) {
			fmt.Println(s)
			got++
		})
	}
	p.Close(nil)
	// Output:
	// from
	// another
	// goroutine
}

func ExamplePair_Send() {
	p, _ := ctlpair.New[int](2)
	for i := range 3 {
		fmt.Println(p.Send(i))
	}
	p.Close(func(i int) { fmt.Println("was queued:", i) })
	fmt.Println(p.Send(4))
	// Output:
	// <nil>
	// <nil>
	// ctlpair: the queue is full
	// was queued: 0
	// was queued: 1
	// ctlpair: closed
}

// Call waits for the loop.
func ExamplePair_Call() {
	p, _ := ctlpair.New[string](0)
	answered := make(chan error)
	go func() { answered <- p.Call("a question") }()

	unix.Poll([]unix.PollFd{{Fd: int32(p.FD()), Events: unix.POLLIN}}, -1)
	p.Drain(func(s string) { fmt.Println("the loop got", s) })
	fmt.Println("acknowledged:", <-answered)
	p.Close(nil)
	// Output:
	// the loop got a question
	// acknowledged: <nil>
}
