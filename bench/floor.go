package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// floorName is the program in C: what the kernel alone costs. Its modes are told in floor/floor.c.
const floorName = "floor"

//go:embed floor/floor.c
var floorSource []byte

// floorServer returns the floor in one of its modes that serve.
func floorServer(mode string) server { return server{"floor", floorName, []string{mode, "PORT"}} }

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
