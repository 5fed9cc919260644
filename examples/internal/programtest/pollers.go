package programtest

import (
	"testing"

	"github.com/seed4930a636/mangusta/internal/sidebyside"
)

// EachPoller runs a subtest for each back end, side by side, with its name as -poller takes it.
func EachPoller(t *testing.T, test func(t *testing.T, poller string)) {
	t.Helper()
	pollers := []string{"epoll", "select"}
	sidebyside.Run(t, len(pollers), pollers, func(t *testing.T, i int) { test(t, pollers[i]) })
}
