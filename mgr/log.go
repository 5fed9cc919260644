package mgr

import (
	"fmt"
	"os"

	"github.com/seed4930a636/mangusta/conn"
)

// Silent is an Options.Log that drops everything.
var Silent conn.Logger = silent{}

type silent struct{}

func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}

// stderr is where the errors of a Manager without Options.Log go: panics, and listeners and pollers
// that fail. A program that sets no log must not lose those.
type stderr struct{}

func (stderr) Warn(string, ...any) {}

func (stderr) Error(msg string, args ...any) {
	b := append([]byte("mangusta: "), msg...)
	for i := 0; i+1 < len(args); i += 2 {
		b = fmt.Appendf(b, " %v=%v", args[i], args[i+1])
	}
	os.Stderr.Write(append(b, '\n'))
}
