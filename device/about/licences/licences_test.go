package licences

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/device/about"
)

func TestIdentify(t *testing.T) {
	const mit = "Permission is hereby\n granted, free of charge, to any person, to deal without restriction. The above copyright notice and this permission notice shall be included."
	const bsd = "Redistribution and use in source and binary forms are permitted.\nRedistributions in binary form must reproduce it."
	for _, tt := range []struct{ text, id string }{
		{mit, "MIT"}, {strings.ToUpper(mit), "MIT"}, {bsd, "BSD-2-Clause"}, {bsd + " Neither the name of it may be used.", "BSD-3-Clause"},
		{"Apache License\n   Version 2.0, January 2004", "Apache-2.0"}, {"Mozilla Public License Version 2.0", "MPL-2.0"},
		{"Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee", "ISC"},
		{"", ""}, {"All rights reserved.", ""},
	} {
		if id := Identify(tt.text); id != tt.id {
			t.Errorf("%.30q: %q, want %q", tt.text, id, tt.id)
		}
	}
}

// A module in a directory of its own that needs a second one, which is a part of the same source.
func TestCollect(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const isc = "Permission to use, copy, modify, and/or distribute this software for any purpose"
	write("LICENSE", isc+" by all\r\n")
	write("box/go.mod", "module example.com/box\n\ngo 1.24\n\nrequire example.com/part v0.0.0\n\nreplace example.com/part => ../part\n")
	write("box/main.go", "package main\n\nimport \"example.com/part\"\n\nfunc main() { part.Do() }\n")
	write("part/go.mod", "module example.com/part\n\ngo 1.24\n")
	write("part/part.go", "package part\n\nimport \"os\"\n\nfunc Do() { os.Exit(0) }\n")
	write("part/LICENSE.txt", isc+" by some\n")
	write("part/NOTICE", "It is ours.\n")
	dir := filepath.Join(root, "box")
	l, err := Collect(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range l.Modules {
		got = append(got, m.Path+" "+m.Version+m.SPDX)
	}
	if s := strings.Join(got, ", "); s != "example.com/box ISC, example.com/part ISC, std BSD-3-Clause" {
		t.Error(s)
	}
	if len(l.Texts) < 4 || l.Texts[0] != isc+" by all\n" || l.Texts[1] != isc+" by some\n" || l.Texts[2] != "It is ours.\n" {
		t.Errorf("%.200q", l.Texts)
	}
	if err := Check(l, dir); err != nil {
		t.Error(err)
	}
	old := *l
	for _, tt := range []struct {
		change func(l *about.Licences)
		want   string
	}{
		{func(l *about.Licences) { l.Modules = l.Modules[1:] }, "example.com/box is missing"},
		{func(l *about.Licences) { l.Modules[1].Version = "v1.0.0" }, "example.com/part is now , not v1.0.0"},
		{func(l *about.Licences) { l.Modules[0].SPDX = "MIT" }, "example.com/box has another licence"},
		{func(l *about.Licences) { l.Texts[2] = "It is theirs." }, "example.com/part has another licence"},
		{func(l *about.Licences) { l.Modules = append(l.Modules, about.Licensed{Path: "x"}) }, "x is no longer needed"},
	} {
		l := old
		l.Modules = append([]about.Licensed{}, old.Modules...)
		l.Texts = append([]string{}, old.Texts...)
		tt.change(&l)
		if err := Check(&l, dir); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
	// Without a licence, or with one that is not known, there is no list.
	write("part/LICENSE.txt", "All rights reserved.\n")
	if _, err := Collect(dir); err == nil || !strings.Contains(err.Error(), "is not known") {
		t.Error(err)
	}
	for _, name := range []string{"part/LICENSE.txt", "part/NOTICE", "LICENSE"} {
		if err := os.Remove(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Collect(dir); err == nil || !strings.Contains(err.Error(), "has no licence") {
		t.Error(err)
	}
}
