package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// build makes the programs in dir: those in Go statically and stripped, as they would be shipped, or with symbols for perf,
// the floor with gcc -O2.
func build(dir string, programs []string, symbols bool) error {
	link := "-ldflags=-s -w"
	if symbols {
		link = "-ldflags="
	}
	args := []string{"build", "-trimpath", link, "-o", dir + "/"}
	before := len(args)
	for _, p := range programs {
		if p != floorName {
			args = append(args, packages[p])
		} else if err := buildFloor(dir); err != nil {
			return err
		}
	}
	if len(args) > before {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	return files(filepath.Join(dir, staticDir))
}

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
