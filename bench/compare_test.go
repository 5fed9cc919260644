package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Two reports are compared through their files: by the medians of the rounds that count, and a
// change is one if the rounds lie apart.
func TestCompare(t *testing.T) {
	const ms = time.Millisecond
	made := func(name string, own ...time.Duration) string {
		lost := run1(1000, 100*ms)
		lost.Invalid = "lost"
		rows := [][]result{{run1(1000, 4*ms), run1(1000, 5*ms), run1(1000, 6*ms)}, {lost}, {lost}}
		for _, d := range own {
			rows[1] = append(rows[1], run1(1000, d))
		}
		rep := newReport(3)
		rep.add(work{name: "w", servers: []server{{name: "floor"}, {name: "mangusta"}, {name: "broken"}}}, rows)
		rep.add(work{name: "only " + name, servers: []server{{name: "mangusta"}}}, rows[1:2])
		file := filepath.Join(t.TempDir(), name)
		if err := rep.save(config{json: file}, new(bytes.Buffer)); err != nil {
			t.Fatal(err)
		}
		return file
	}
	then, now := made("then", 8*ms, 10*ms, 9*ms), made("now", 6*ms, 7*ms, 7*ms)
	for _, x := range []struct {
		then, now string
		want      string
	}{
		{then, now, "9.00 (8.00 to 10.00) 7.00 (6.00 to 7.00) 0.778 1.80 1.40 yes"},
		{now, then, "7.00 (6.00 to 7.00) 9.00 (8.00 to 10.00) 1.286 1.40 1.80 yes"},
		{then, made("near", 8*ms, 8*ms, 12*ms), "9.00 (8.00 to 10.00) 8.00 (8.00 to 12.00) 0.889 1.80 1.60"},
	} {
		var out bytes.Buffer
		if err := run(config{then: x.then, now: x.now}, &out); err != nil {
			t.Fatal(err)
		}
		var rows []string
		for line := range strings.Lines(out.String()) {
			if f := strings.Fields(line); len(f) > 0 && f[0] == "w" {
				rows = append(rows, strings.Join(f, " "))
			}
		}
		if len(rows) != 3 || rows[0] != "w floor CPU µs/op 5.00 (4.00 to 6.00) 5.00 (4.00 to 6.00) 1.000 1.00 1.00" ||
			rows[1] != "w mangusta CPU µs/op "+x.want || rows[2] != "w broken CPU µs/op no valid round" || strings.Contains(out.String(), "only") {
			t.Errorf("%s", &out)
		}
	}
	bad := filepath.Join(t.TempDir(), "bad")
	os.WriteFile(bad, []byte("{"), 0o644)
	for _, c := range []config{{then: "not there"}, {then: bad}, {then: then, now: bad}} {
		if run(c, new(bytes.Buffer)) == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}
