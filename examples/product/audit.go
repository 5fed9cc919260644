package main

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"path/filepath"

	"github.com/seed4930a636/mangusta/device/audit"
)

// errUnsafe is the end of an audit that has found something. The findings were printed.
var errUnsafe = errors.New("there are unsafe settings")

// runAudit is the command "product audit": it takes the options of the program, and -json. It may
// run beside the program.
func runAudit(w io.Writer, args []string) error {
	var cfg config
	f := flag.NewFlagSet("product audit", flag.ExitOnError)
	f.SetOutput(w)
	cfg.flags(f)
	asJSON := f.Bool("json", false, "print JSON")
	proc := f.String("proc", "/proc", "`directory` in which the kernel tells of open ports; - leaves them out")
	f.Parse(args) // exits with 2 if it fails, and with 0 after -h
	o := audit.Options{
		Users: filepath.Join(cfg.data, "users.json"), Private: []string{cfg.data}, Proc: *proc,
		Slots: cfg.slots, NoUpdates: cfg.slots == "",
	}
	scheme := "http://"
	if cfg.tls {
		scheme = "https://"
		for _, name := range []string{"own.pem", "uploaded.pem", "ca.pem"} {
			o.Certificates = append(o.Certificates, filepath.Join(cfg.data, "tls", name))
		}
	}
	o.Listeners = append(o.Listeners, audit.Listener{URL: scheme + cfg.listen})
	if cfg.http != "" {
		o.Listeners = append(o.Listeners, audit.Listener{URL: "http://" + cfg.http, Redirects: true})
	}
	if cfg.key != "" {
		o.UpdateKeys = []string{cfg.key}
	}
	r := audit.Run(o)
	if *asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			return err
		}
	} else {
		r.Print(w)
	}
	if r.Unsafe() {
		return errUnsafe
	}
	return nil
}
