package logs_test

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/seed4930a636/mangusta/device/logs"
)

func Example() {
	l := logs.New(logs.Options{Next: slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})})
	log := slog.New(l.Handler())
	log.Debug("too little to keep")
	log.Info("the heater is on", "target", 21.5)
	fmt.Printf("%+v\n", l.Stats())
	// Output: {Lines:1 Dropped:0 Cut:0 Unpublished:0}
}
