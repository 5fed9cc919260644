package main

import (
	"testing"

	"github.com/seed4930a636/mangusta/device/about"
	"github.com/seed4930a636/mangusta/device/about/licences"
)

// After a change of go.mod: go generate.
func TestLicences(t *testing.T) {
	list, err := about.ParseLicences(licencesJSON)
	if err == nil {
		err = licences.Check(list, ".")
	}
	if err != nil {
		t.Error(err)
	}
}

func TestAbout(t *testing.T) {
	p := start(t, t.TempDir(), "auto")
	ann := setUp(t, "http://"+p.Addr, p.Said)
	ann.want(200, `{"path":"github.com/gobwas/ws","version":"v1.`, "GET", "/about", "")
	ann.want(200, `"spdx":"MIT"`, "GET", "/about/licences", "")
	ann.want(200, `"bomFormat": "CycloneDX"`, "GET", "/about/sbom.json", "")
	for _, path := range []string{"/about", "/about/licences", "/about/sbom.json"} {
		newBrowser(t, ann.base).want(401, "", "GET", path, "")
	}
}
