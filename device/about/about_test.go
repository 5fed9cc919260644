package about

import (
	"bytes"
	"encoding/json"
	"io"
	nethttp "net/http"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

const testLicences = `{"modules": [{"path": "example.com/Ä/a", "version": "v1.2.3", "spdx": "MIT", "texts": [0]},
	{"path": "std", "spdx": "BSD-3-Clause", "texts": [1]}], "texts": ["of a", "of go"]}`

// build is what the linker may have noted.
func build() *debug.BuildInfo {
	return &debug.BuildInfo{
		GoVersion: "go1.26.8", Path: "example.com/cmd/box", Main: debug.Module{Path: "example.com/cmd", Version: "v0.9.0"},
		Deps: []*debug.Module{
			{Path: "example.com/Ä/a", Version: "v1.2.3", Sum: "h1:abc="},
			{Path: "example.com/old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/new", Version: "v2.0.0+incompatible", Sum: "h1:new="}},
			{Path: "example.com/near", Version: "v0.0.0", Replace: &debug.Module{Path: "../near"}},
		},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123abc"}, {Key: "vcs.modified", Value: "true"}, {Key: "vcs.time", Value: "2026-11-29T12:00:00Z"}},
	}
}

func TestInfo(t *testing.T) {
	a, err := New(Options{Board: "box-2", Licences: []byte(testLicences), build: build()})
	if err != nil {
		t.Fatal(err)
	}
	i := a.Info()
	want := []Module{{"example.com/near", "v0.0.0", ""}, {"example.com/new", "v2.0.0+incompatible", ""}, {"example.com/Ä/a", "v1.2.3", "MIT"}, {"std", "1.26.8", "BSD-3-Clause"}}
	if i.Name != "box" || i.Version != "v0.9.0" || i.Board != "box-2" || i.Revision != "0123abc" || !i.Changed || i.Made.Hour() != 12 || !slices.Equal(i.Modules, want) {
		t.Errorf("%+v", i)
	}
	if i.Go != runtime.Version() || i.Kernel == "" || i.Began.IsZero() || i.Uptime < 0 || runtime.GOOS == "linux" && (i.Running <= 0 || !strings.HasPrefix(i.Kernel, "Linux ")) {
		t.Errorf("%+v", i)
	}
	i.Modules[0].Path = "changed"
	if a.Info().Modules[0].Path == "changed" {
		t.Error("a caller has changed the list")
	}
	a, err = New(Options{Name: "thermostat", Version: "2.0", build: build()})
	if err != nil || a.Info().Name != "thermostat" || a.Info().Version != "2.0" || a.Info().Modules[0].Licence != "" {
		t.Error(a.Info(), err)
	}
	if a, err = New(); err != nil || a.Info().Version == "" { // what this test is made of
		t.Error(a.Info(), err)
	}
	if a, err = New(Options{build: &debug.BuildInfo{}}); err != nil || a.Info().Name != "program" || a.Info().Version != "unknown" {
		t.Error(a.Info(), err)
	}
}

// A device without a battery begins in 1970, and learns the time later.
func TestTheBeginningIsByTheClockOfNow(t *testing.T) {
	a, err := New(Options{build: build()})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	if i := a.at(now, time.Hour); !i.Began.Equal(now.Add(-time.Hour)) || i.Uptime != 3600 {
		t.Errorf("%v, %d", i.Began, i.Uptime)
	}
}

// Without a file of licences a page gets empty lists, not null.
func TestNoLicences(t *testing.T) {
	a, err := New(Options{build: build()})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := json.Marshal(a.list); string(text) != `{"modules":[],"texts":[]}` {
		t.Errorf("%s %v", text, err)
	}
}

func TestMalformedLicences(t *testing.T) {
	for _, text := range []string{"", "x", "[]", `{"modules": [{"path": "a", "spdx": "MIT", "texts": [0]}]}`, `{"modules": [{"path": "a", "texts": [-1]}], "texts": ["x"]}`,
		`{"modules": [{"spdx": "MIT"}]}`, `{"other": 1}`} {
		if _, err := New(Options{Licences: []byte(text)}); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func TestSBOM(t *testing.T) {
	make := func() []byte {
		a, err := New(Options{Version: "2.0", Licences: []byte(testLicences), build: build()})
		if err != nil {
			t.Fatal(err)
		}
		return a.sbom
	}
	text := make()
	if !bytes.Equal(text, make()) {
		t.Error("it is another one each time")
	}
	var b bom
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	if b.Format != "CycloneDX" || b.Spec != "1.6" || b.Version != 1 || b.Metadata.Timestamp != "2026-11-29T12:00:00Z" || b.Metadata.Component.Version != "2.0" {
		t.Errorf("%+v", b)
	}
	if !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(b.Serial) {
		t.Error(b.Serial)
	}
	var refs []string
	for _, c := range b.Components {
		refs = append(refs, c.Ref)
	}
	want := []string{"pkg:golang/example.com/near@v0.0.0", "pkg:golang/example.com/new@v2.0.0%2Bincompatible", "pkg:golang/example.com/%C3%84/a@v1.2.3", "pkg:golang/std@1.26.8"}
	if !slices.Equal(refs, want) || len(b.Dependencies) != 1 || !slices.Equal(b.Dependencies[0].On, refs) || b.Dependencies[0].Ref != b.Metadata.Component.Ref {
		t.Errorf("%q", refs)
	}
	both, err := New(Options{Licences: []byte(strings.Replace(testLicences, `"MIT"`, `"MIT AND BSD-3-Clause"`, 1)), build: build()})
	if err != nil || !bytes.Contains(both.sbom, []byte(`"expression": "MIT AND BSD-3-Clause"`)) || bytes.Contains(both.sbom, []byte(`"id": "MIT AND`)) {
		t.Errorf("an expression is no identifier: %v %s", err, both.sbom)
	}
	if a := b.Components[2]; len(a.Licences) != 1 || a.Licences[0].Licence.ID != "MIT" || a.Properties[0].Value != "h1:abc=" {
		t.Errorf("%+v", a)
	}
	if b.Components[0].Licences != nil {
		t.Error("a module that has no licence in the list has one")
	}
}

func TestMount(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		a, err := New(Options{Licences: []byte(testLicences), build: build()})
		if err != nil {
			t.Fatal(err)
		}
		m, x := looptest.New(t, p), http.NewMux()
		a.Mount(x, "/about", looptest.Unless("Stranger"))
		url := "http://" + looptest.Listen(t, m, "http://127.0.0.1:0", x.Serve)
		looptest.Run(t, m)
		for _, tt := range []struct{ path, kind, part string }{
			{"/about", "application/json", `"name":"box"`},
			{"/about/licences", "application/json", `"texts":["of a","of go"]`},
			{"/about/sbom.json", "application/vnd.cyclonedx+json; version=1.6", `"bomFormat": "CycloneDX"`},
		} {
			for _, stranger := range []bool{false, true} {
				req, err := nethttp.NewRequest("GET", url+tt.path, nil)
				if err != nil {
					t.Fatal(err)
				}
				want := 200
				if stranger {
					req.Header.Set("Stranger", "1")
					want = 403
				}
				resp, err := (&nethttp.Client{Timeout: 20 * time.Second}).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != want || !stranger && (resp.Header.Get("Content-Type") != tt.kind || !strings.Contains(string(text), tt.part)) {
					t.Errorf("%s: %v %v %.200s", tt.path, resp.Status, resp.Header, text)
				}
			}
		}
	})
}
