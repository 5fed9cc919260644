package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
)

// A tool is a program that the harness runs, the Debian packages that have it, and what happens
// without it.
type tool struct{ name, pkgs, without string }

var (
	gcc       = tool{"gcc", "gcc libc6-dev", "the floor is left out"}
	wrkTool   = tool{"wrk", "wrk", "the works over HTTP are left out"}
	taskset   = tool{"taskset", "util-linux", "servers and load share the processors"}
	nginxTool = tool{"nginx", "nginx-light", "it is left out"}
	perf      = tool{"perf", "linux-perf", "nothing runs"}
)

func have(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// provide says which of the tools are missing. As root, with apt, it installs them first.
func provide(w io.Writer, tools ...tool) {
	for _, t := range tools {
		if have(t.name) {
			continue
		}
		install := "apt-get install -y " + t.pkgs
		if os.Geteuid() == 0 && have("apt-get") {
			fmt.Fprintf(w, "%s is missing: %s\n", t.name, install)
			out, err := exec.Command("sh", "-c", "apt-get update -q && DEBIAN_FRONTEND=noninteractive "+install).CombinedOutput()
			if err != nil {
				fmt.Fprintf(w, "%v\n%s\n", err, out)
			}
		}
		if !have(t.name) {
			fmt.Fprintf(w, "%s is missing: %s. Install it with: %s\n", t.name, t.without, install)
		}
	}
}
