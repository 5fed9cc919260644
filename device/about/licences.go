package about

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Licences has the modules of a program, and the texts of their licences.
type Licences struct {
	Modules []Licensed `json:"modules"` // by path
	Texts   []string   `json:"texts"`   // each once
}

// Licensed is a module of a program. The standard library is one called "std".
type Licensed struct {
	Path    string `json:"path"`
	Version string `json:"version,omitempty"` // none if it is a part of the same source, and of std
	SPDX    string `json:"spdx"`
	Texts   []int  `json:"texts"` // of Licences.Texts: the licence, and notices that go with it
}

// ParseLicences reads a file that golicences has written.
func ParseLicences(text []byte) (*Licences, error) {
	l := &Licences{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(l); err != nil {
		return nil, fmt.Errorf("about: licences: %w", err)
	}
	for _, m := range l.Modules {
		if m.Path == "" || slices.ContainsFunc(m.Texts, func(i int) bool { return i < 0 || i >= len(l.Texts) }) {
			return nil, fmt.Errorf("about: licences: the module %q has a text that is not there", m.Path)
		}
	}
	return l, nil
}

// SPDX returns the identifier of a module's licence; "" if there is no such module.
func (l *Licences) SPDX(path string) string {
	for _, m := range l.Modules {
		if m.Path == path {
			return m.SPDX
		}
	}
	return ""
}
