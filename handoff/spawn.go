package handoff

import (
	"fmt"
	"os"
)

// Spawn starts the program that is at the path of this one now, with the same arguments, environment
// and standard files, and returns its process. env is added to the environment: what
// systemd.Notifier.Environ returns, say. It is how a program replaces itself, on a signal,
// say: the new process calls Begin and Ready as this one has done. The caller waits for the process,
// in a goroutine, lest it stay a zombie if it fails.
//
// On Linux the path is that of the file itself. If this program was started by a symbolic link that
// leads to the new version now, Spawn starts the old one again: use os.StartProcess with the link.
func Spawn(env ...string) (*os.Process, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("handoff: spawn: %w", err)
	}
	next, err := os.StartProcess(path, os.Args, &os.ProcAttr{Env: append(os.Environ(), env...), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return nil, fmt.Errorf("handoff: spawn: %w", err)
	}
	return next, nil
}

// step is called before and after what the processes do to each other, by its name: for tests.
var step = func(name string) {}
