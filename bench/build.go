package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

//go:embed floor/floor.c
var floorSource []byte

const (
	module    = "github.com/seed4930a636/mangusta/"
	floorName = "floor"  // the program in C
	staticDir = "static" // beside the programs, the files that they serve
)

// packages are the programs written in Go; a program has the name of its package's directory.
var packages = map[string]string{
	"testee":   module + "examples/testee",
	"hello":    module + "examples/hello",
	"mangusta": module + "bench/peer/mangusta",
	"httponly": module + "bench/peer/httponly",
	"nethttp":  module + "bench/peer/nethttp",
	"fasthttp": module + "bench/peer/fasthttp",
	"gorilla":  module + "bench/peer/gorilla",
	"gws":      module + "bench/peer/gws",
	"coder":    module + "bench/peer/coder",
	"gobwas":   module + "bench/peer/gobwas",
	"gnet":     module + "bench/peer/gnet",
	"nbio":     module + "bench/peer/nbio",
}

// build makes the programs in dir, and the files that they serve.
func build(dir string, programs []string, symbols bool) error {
	written := slices.DeleteFunc(slices.Clone(programs), func(p string) bool { return p == floorName })
	if len(written) < len(programs) {
		if err := buildFloor(dir); err != nil {
			return err
		}
	}
	if err := goBuild(dir, written, symbols); err != nil {
		return err
	}
	return files(filepath.Join(dir, staticDir))
}

// goBuild makes programs in dir, statically and stripped, as they would be shipped, or with symbols for perf.
func goBuild(dir string, programs []string, symbols bool, env ...string) error {
	if len(programs) == 0 {
		return nil
	}
	link := "-ldflags=-s -w"
	if symbols {
		link = "-ldflags="
	}
	args := []string{"build", "-trimpath", link, "-o", dir + "/"}
	for _, p := range programs {
		args = append(args, packages[p])
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// buildFloor makes the floor with gcc.
func buildFloor(dir string) error {
	source := filepath.Join(dir, "floor.c")
	if err := os.WriteFile(source, floorSource, 0o644); err != nil {
		return err
	}
	out, err := exec.Command("gcc", "-O2", "-pthread", "-o", filepath.Join(dir, floorName), source).CombinedOutput()
	if err != nil {
		return fmt.Errorf("gcc: %w\n%s", err, out)
	}
	return nil
}

// files makes the files that are served.
func files(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, size := range map[string]int{"1k": 1 << 10, "10m": 10 << 20} {
		if err := os.WriteFile(filepath.Join(dir, name+".txt"), payload(size), 0o644); err != nil {
			return err
		}
	}
	return nil
}
