package mgr_test

import (
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

func ExampleManager_AfterFunc() {
	m, _ := mgr.New(mgr.Options{})
	defer m.Close()
	m.AfterFunc(2*time.Millisecond, func() { fmt.Println("second") })
	m.AfterFunc(time.Millisecond, func() { fmt.Println("first") })
	late := m.AfterFunc(time.Hour, func() { fmt.Println("never") })
	done := false
	m.AfterFunc(3*time.Millisecond, func() {
		fmt.Println("stopped:", late.Stop())
		done = true
	})
	for !done {
		m.Poll(-1)
	}
	// Output:
	// first
	// second
	// stopped: true
}

func ExampleManager_Every() {
	m, _ := mgr.New(mgr.Options{})
	defer m.Close()
	n := 0
	var t *mgr.Timer
	t = m.Every(time.Millisecond, func() {
		n++
		fmt.Println("tick", n)
		if n == 3 {
			t.Stop()
		}
	})
	for n < 3 {
		m.Poll(-1)
	}
	// Output:
	// tick 1
	// tick 2
	// tick 3
}
