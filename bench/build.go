package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	module    = "github.com/seed4930a636/mangusta/"
	staticDir = "static" // beside the programs, the files that they serve
)

// packages are the programs written in Go; a program has the name of its package's directory.
var packages = map[string]string{
	"testee":     module + "examples/testee",
	"hello":      module + "examples/hello",
	"proxy":      module + "examples/proxy",
	"mangusta":   module + "bench/peer/mangusta",
	"httponly":   module + "bench/peer/httponly",
	"httpclient": module + "bench/peer/httpclient",
	"clients":    module + "bench/clients",
	"httpsonly":  module + "bench/peer/httpsonly",
	"wssonly":    module + "bench/peer/wssonly",
	"nethttp":    module + "bench/peer/nethttp",
	"fasthttp":   module + "bench/peer/fasthttp",
	"gorilla":    module + "bench/peer/gorilla",
	"gws":        module + "bench/peer/gws",
	"coder":      module + "bench/peer/coder",
	"gobwas":     module + "bench/peer/gobwas",
	"gnet":       module + "bench/peer/gnet",
	"nbio":       module + "bench/peer/nbio",

	"reverseproxy": module + "bench/peer/reverseproxy",
}

// build makes the programs in dir, and the files that they serve; those of the other checkout,
// whose root is base, in a directory below.
func build(dir, base string, programs []string, symbols bool) error {
	var own, others []string
	for _, p := range programs {
		if other, ok := strings.CutPrefix(p, baseName+"/"); ok {
			others = append(others, other)
		} else if !isFloor(p) && p != nginxName {
			own = append(own, p)
		}
	}
	for name, source := range map[string]string{floorName: "floor.c", ringName: "uring.c"} {
		if slices.Contains(programs, name) {
			if err := buildFloor(dir, name, source); err != nil {
				return err
			}
		}
	}
	if err := goBuild(dir, "", own, symbols); err != nil {
		return err
	}
	if err := goBuild(filepath.Join(dir, baseName), base, others, symbols); err != nil {
		return fmt.Errorf("%s: %w", base, err)
	}
	if err := certificates(dir); err != nil {
		return err
	}
	return files(filepath.Join(dir, staticDir))
}

// goBuild makes programs of the checkout at root (empty for this one) in dir, statically and
// stripped, as they would be shipped, or with symbols for perf.
func goBuild(dir, root string, programs []string, symbols bool, env ...string) error {
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
	cmd.Dir = root
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
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
