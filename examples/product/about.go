package main

import (
	_ "embed"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/about"
	"github.com/seed4930a636/mangusta/http"
)

//go:generate go run github.com/seed4930a636/mangusta/device/about/licences/golicences

//go:embed licences.json
var licencesJSON []byte

// serveAbout tells what this device runs.
func (p *product) serveAbout(x *http.Mux) error {
	o := about.Options{Name: board, Licences: licencesJSON}
	if p.updater != nil {
		o.Version = p.updater.Status().Running.Version // the signature says it
	}
	a, err := about.New(o)
	if err != nil {
		return err
	}
	a.Mount(x, "/about", p.owner.Allow(device.Viewer, "about"))
	return nil
}
