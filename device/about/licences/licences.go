// Package licences finds the licences of the modules that a Go program is made of.
//
// The command golicences writes them to a file, which the program embeds. A test of the program
// says when the file is out of step:
//
//	func TestLicences(t *testing.T) {
//		list, err := about.ParseLicences(licencesJSON)
//		if err == nil {
//			err = licences.Check(list, ".")
//		}
//		if err != nil {
//			t.Error(err)
//		}
//	}
package licences

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed4930a636/mangusta/device/about"
)

// Check reports in which way a list is out of step with the program whose package is in dir: with
// its go.mod, and the modules that it needs.
func Check(l *about.Licences, dir string) error {
	now, err := Collect(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range now.Modules {
		i := slices.IndexFunc(l.Modules, func(o about.Licensed) bool { return o.Path == m.Path })
		switch {
		case i < 0:
			errs = append(errs, fmt.Errorf("%s is missing", m.Path))
		case l.Modules[i].Version != m.Version:
			errs = append(errs, fmt.Errorf("%s is now %s, not %s", m.Path, m.Version, l.Modules[i].Version))
		case l.Modules[i].SPDX != m.SPDX || !slices.Equal(textsOf(l, &l.Modules[i]), textsOf(now, &m)):
			errs = append(errs, fmt.Errorf("%s has another licence now", m.Path))
		}
	}
	for _, m := range l.Modules {
		if !slices.ContainsFunc(now.Modules, func(o about.Licensed) bool { return o.Path == m.Path }) {
			errs = append(errs, fmt.Errorf("%s is no longer needed", m.Path))
		}
	}
	if errs != nil {
		return fmt.Errorf("licences: go generate has to be run again: %w", errors.Join(errs...))
	}
	return nil
}

func textsOf(l *about.Licences, m *about.Licensed) (texts []string) {
	for _, i := range m.Texts {
		texts = append(texts, l.Texts[i])
	}
	return texts
}

// Collect asks the go command for the modules of the program whose package is in dir, without a
// workspace, and reads their licences. It returns an error for a module without a licence, or with
// one that it does not know.
func Collect(dir string) (*about.Licences, error) {
	command := exec.Command("go", "list", "-deps", "-json=Standard,Module", ".")
	command.Dir, command.Env = dir, append(os.Environ(), "GOWORK=off")
	var complaint bytes.Buffer
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("licences: go list: %w: %s", err, complaint.Bytes())
	}
	l := &list{}
	seen := map[string]bool{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Standard bool
			Module   *struct {
				Path, Version, Dir string
				Main               bool
				Replace            *struct{ Path, Version, Dir string }
			}
		}
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("licences: go list: %w", err)
		}
		m := about.Licensed{Path: "std"}
		at, own := "", false
		switch {
		case p.Standard:
			if seen["std"] {
				continue
			}
			if at, err = goroot(); err != nil {
				return nil, err
			}
		case p.Module == nil:
			continue
		default:
			m.Path, m.Version, at, own = p.Module.Path, p.Module.Version, p.Module.Dir, p.Module.Main
			if r := p.Module.Replace; r != nil {
				m.Version, at, own = r.Version, r.Dir, r.Version == ""
				if r.Version != "" {
					m.Path = r.Path
				}
			}
		}
		if seen[m.Path] {
			continue
		}
		seen[m.Path] = true
		if err := l.read(&m, at, own); err != nil {
			return nil, err
		}
		l.Modules = append(l.Modules, m)
	}
	slices.SortFunc(l.Modules, func(a, b about.Licensed) int { return cmp.Compare(a.Path, b.Path) })
	l.sortTexts()
	return (*about.Licences)(l), nil
}

// A list is one that is being made.
type list about.Licences

// sortTexts has the texts in the order in which the modules need them.
func (l *list) sortTexts() {
	old := l.Texts
	l.Texts = nil
	for i := range l.Modules {
		for j, k := range l.Modules[i].Texts {
			l.Modules[i].Texts[j] = l.text(old[k])
		}
	}
}

// text returns the index of a text, which it adds if it is new.
func (l *list) text(s string) int {
	i := slices.Index(l.Texts, s)
	if i < 0 {
		i = len(l.Texts)
		l.Texts = append(l.Texts, s)
	}
	return i
}

func goroot() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("licences: go env: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// read reads the licence of a module. If the module is a part of a larger source, the licence is in
// a directory above.
func (l *list) read(m *about.Licensed, dir string, own bool) error {
	for range 5 {
		files, err := licenceFiles(dir)
		if err != nil {
			return fmt.Errorf("licences: %s: %w", m.Path, err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				return fmt.Errorf("licences: %s: %w", m.Path, err)
			}
			text = bytes.ReplaceAll(bytes.ToValidUTF8(text, []byte("?")), []byte("\r\n"), []byte("\n"))
			if id := Identify(string(text)); id != "" && !strings.Contains(m.SPDX, id) {
				m.SPDX = strings.TrimPrefix(m.SPDX+" AND "+id, " AND ")
			}
			m.Texts = append(m.Texts, l.text(strings.TrimSpace(string(text))+"\n"))
		}
		if m.SPDX != "" {
			return nil
		}
		if len(files) > 0 {
			return fmt.Errorf("licences: %s: the licence in %s is not known", m.Path, files[0])
		}
		if !own {
			break
		}
		dir = filepath.Dir(dir)
	}
	return fmt.Errorf("licences: %s has no licence", m.Path)
}

// licenceFiles returns the files of a directory that are by their names a licence, or a notice that
// belongs to one.
func licenceFiles(dir string) (files []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		name, _, _ := strings.Cut(strings.ToUpper(e.Name()), ".")
		name, _, _ = strings.Cut(name, "-")
		switch name {
		case "LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS", "UNLICENSE":
			if e.Type().IsRegular() && !strings.HasSuffix(e.Name(), ".go") {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
	}
	return files, err
}

// marks are phrases that tell licences apart. The first line all of whose phrases are there counts.
var marks = []struct {
	id      string
	phrases []string
}{
	{"Apache-2.0", []string{"apache license", "version 2.0, january 2004"}},
	{"MPL-2.0", []string{"mozilla public license version 2.0"}},
	{"AGPL-3.0-only", []string{"gnu affero general public license version 3"}},
	{"LGPL-3.0-only", []string{"gnu lesser general public license version 3"}},
	{"GPL-3.0-only", []string{"gnu general public license version 3"}},
	{"GPL-2.0-only", []string{"gnu general public license version 2"}},
	{"ISC", []string{"permission to use, copy, modify, and/or distribute this software for any purpose"}},
	{"ISC", []string{"permission to use, copy, modify, and distribute this software for any purpose"}},
	{"MIT", []string{"permission is hereby granted, free of charge", "without restriction", "the above copyright notice and this permission notice"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "neither the name"}},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms", "redistributions in binary form"}},
	{"Unlicense", []string{"this is free and unencumbered software released into the public domain"}},
	{"CC0-1.0", []string{"cc0 1.0 universal"}},
}

// Identify returns the SPDX identifier of a licence by its text; "" if it is not known.
func Identify(text string) string {
	text = strings.Join(strings.Fields(strings.ToLower(text)), " ")
	for _, m := range marks {
		if !slices.ContainsFunc(m.phrases, func(p string) bool { return !strings.Contains(text, p) }) {
			return m.id
		}
	}
	return ""
}
