package about

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// A bom is a document of CycloneDX 1.6.
type bom struct {
	Schema       string       `json:"$schema"`
	Format       string       `json:"bomFormat"`
	Spec         string       `json:"specVersion"`
	Serial       string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Timestamp string    `json:"timestamp,omitempty"`
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	Licences   []licence  `json:"licenses,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

// A licence is either one identifier of SPDX or an expression of several.
type licence struct {
	Licence    *licenceID `json:"license,omitempty"`
	Expression string     `json:"expression,omitempty"`
}

type licenceID struct {
	ID string `json:"id"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref string   `json:"ref"`
	On  []string `json:"dependsOn"`
}

// makeSBOM returns the bill of materials. The same build always gives the same one.
func (a *About) makeSBOM() []byte {
	b := bom{Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", Spec: "1.6", Version: 1, Components: []component{}}
	b.Metadata.Component = component{Type: "firmware", Ref: "program", Name: a.info.Name, Version: a.info.Version,
		Properties: []property{{"go:version", a.info.Go}, {"go:system", a.info.System}}}
	if a.info.Revision != "" {
		b.Metadata.Component.Properties = append(b.Metadata.Component.Properties, property{"vcs:revision", a.info.Revision})
	}
	if !a.info.Made.IsZero() {
		b.Metadata.Timestamp = a.info.Made.UTC().Format(time.RFC3339)
	}
	top := dependency{Ref: "program", On: []string{}}
	for _, m := range a.info.Modules {
		c := component{Type: "library", Name: m.Path, Version: m.Version, PURL: packageURL(m.Path, m.Version)}
		c.Ref = c.PURL
		if m.Licence != "" {
			c.Licences = []licence{{Licence: &licenceID{m.Licence}}}
			if strings.ContainsRune(m.Licence, ' ') { // "MIT AND BSD-3-Clause" is in no list of identifiers
				c.Licences = []licence{{Expression: m.Licence}}
			}
		}
		if sum := a.sums[m.Path]; sum != "" {
			c.Properties = []property{{"go:sum", sum}} // not the digest of a file, which "hashes" would be
		}
		b.Components = append(b.Components, c)
		top.On = append(top.On, c.Ref)
	}
	b.Dependencies = []dependency{top}
	text, err := json.Marshal(b)
	if err != nil {
		panic("about: " + err.Error()) // they are texts
	}
	d := sha256.Sum256(text)
	d[6], d[8] = d[6]&0x0f|0x80, d[8]&0x3f|0x80 // a UUID of our own making (RFC 9562 §5.8)
	b.Serial = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", d[0:4], d[4:6], d[6:8], d[8:10], d[10:16])
	text, _ = json.MarshalIndent(b, "", "  ")
	return append(text, '\n')
}

// packageURL names a module as github.com/package-url has it.
func packageURL(path, version string) string {
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	u := "pkg:golang/" + strings.Join(parts, "/")
	if version != "" {
		u += "@" + url.QueryEscape(version)
	}
	return u
}
