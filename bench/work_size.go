package main

import (
	"os"
	"path/filepath"
	"time"
)

// sizeWorks are about mangusta's programs as they are built for the processors of small boxes.
func sizeWorks() []work {
	var ws []work
	for _, x := range []struct{ name, title, program string }{
		{"size-http", "HTTP only", "httponly"},
		{"size-websocket", "HTTP and WebSocket", "hello"},
	} {
		w := work{name: x.name, title: "size of the stripped static binary, " + x.title + ", by processor", what: programSize, once: true,
			pick: onlyAll, run: measureSize}
		for _, arch := range []string{"amd64", "arm64", "arm", "mipsle", "riscv64"} {
			w.servers = append(w.servers, server{name: "mangusta " + arch, program: x.program, args: []string{arch}})
		}
		ws = append(ws, w)
	}
	return ws
}

// measureSize builds the program for the processor that its argument names.
func measureSize(b bench, s server, _ time.Duration) (result, error) {
	dir := filepath.Join(b.bin, s.args[0])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return result{}, err
	}
	if err := goBuild(dir, []string{s.program}, false, "GOARCH="+s.args[0]); err != nil {
		return result{}, err
	}
	info, err := os.Stat(filepath.Join(dir, s.program))
	if err != nil {
		return result{}, err
	}
	return result{Ops: 1, Size: float64(info.Size())}, nil
}
