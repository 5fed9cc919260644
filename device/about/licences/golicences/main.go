// Command golicences writes the licences of a Go program's modules to a file: see package licences.
//
//	golicences [-o licences.json] [DIR]
//
// DIR has the program's package; it is the present directory when left out.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"github.com/seed4930a636/mangusta/device/about/licences"
)

func main() {
	out := flag.String("o", "licences.json", "`file` to write")
	flag.Parse()
	dir := "."
	if flag.NArg() > 0 {
		dir = flag.Arg(0)
	}
	if err := run(dir, *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir, out string) error {
	list, err := licences.Collect(dir)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(list, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(text, '\n'), 0o644)
}
