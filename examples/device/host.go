package main

import (
	"os"
	"path/filepath"
	"runtime"
)

// A Host is what does not change while the program runs. Empty strings are unknown.
type Host struct {
	Name   string `json:"name"`
	Model  string `json:"model"`
	OS     string `json:"os"`
	Kernel string `json:"kernel"`
	Arch   string `json:"arch"`
	Go     string `json:"go"`
}

func readHost(proc, sys string) Host {
	h := Host{OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version()}
	if name, err := os.Hostname(); err == nil {
		h.Name = name
	}
	h.Kernel = readLine(filepath.Join(proc, "sys/kernel/osrelease"))
	h.Model = readLine(filepath.Join(proc, "device-tree/model")) // ARM, MIPS and RISC-V boards
	if h.Model == "" {
		h.Model = readLine(filepath.Join(sys, "devices/virtual/dmi/id/product_name")) // PCs
	}
	return h
}
