package mgr_test

import (
	"fmt"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// Two loops share one memory limit: the connections of both hold 64 MiB together at most.
func ExampleOptions_budget() {
	budget := conn.NewBudget(64 << 20)
	for range 2 {
		m, err := mgr.New(mgr.Options{Budget: budget})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer m.Close()
		fmt.Println(m.Budget().Limit()>>20, "MiB,", m.Budget().Used(), "used")
	}
	// Output:
	// 64 MiB, 0 used
	// 64 MiB, 0 used
}
