package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/examples/internal/web"
	"github.com/seed4930a636/mangusta/http"
)

//go:generate go run ./icons

//go:embed page
var embedded embed.FS

// ofAll are the files of the shell that the pages of all examples share.
var ofAll = []string{"base.css", "dom.js", "frame.js", "pane.js", "theme.js"}

// A shell is what a browser keeps of the page, so that it opens without the device: all its files,
// and nothing that the device says.
type shell struct {
	version string           // changes with each change of a file
	paths   []string         // of what a browser keeps, as it asks for them
	files   map[string]*file // by path: these, and the service worker
}

// A file is one of the page's, as it is sent.
type file struct {
	kind string // Content-Type
	etag string
	text []byte
}

func newFile(path string, text []byte) *file {
	sum := sha256.Sum256(text)
	kind, ok := kinds[path[strings.LastIndexAny(path, "./")+1:]]
	if !ok {
		panic("there is no type for " + path)
	}
	return &file{kind, `"` + hex.EncodeToString(sum[:8]) + `"`, text}
}

var kinds = map[string]string{
	"": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8",
	"json": "application/json", "png": "image/png", "svg": "image/svg+xml", "webmanifest": "application/manifest+json",
}

// newShell makes the shell of the embedded files. It panics if one is missing.
func newShell() *shell {
	texts := map[string][]byte{"/mangusta.js": broadcast.ScriptText()}
	err := fs.WalkDir(embedded, "page", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		path := strings.TrimSuffix(strings.TrimPrefix(name, "page"), "index.html")
		texts[path], err = embedded.ReadFile(name)
		return err
	})
	if err != nil {
		panic(err)
	}
	for _, name := range ofAll {
		if texts[web.Prefix+name], err = web.Files.ReadFile("shared/" + name); err != nil {
			panic(err)
		}
	}
	s := &shell{files: map[string]*file{}}
	sum := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(texts)) {
		fmt.Fprintf(sum, "%s %d\n%s", path, len(texts[path]), texts[path])
		if path != "/sw.js" {
			s.paths = append(s.paths, path)
		}
	}
	s.version = hex.EncodeToString(sum.Sum(nil))[:16]
	paths, err := json.Marshal(s.paths)
	if err != nil {
		panic(err)
	}
	texts["/"] = bytes.Replace(texts["/"], []byte("VERSION"), []byte(s.version), 1)
	texts["/sw.js"] = fmt.Appendf(nil, "const version = %q;\nconst shell = %s;\n%s", s.version, paths, texts["/sw.js"])
	for path, text := range texts {
		s.files[path] = newFile(path, text)
	}
	return s
}

// serve adds the files to x. They are small, and compressed for each client that wishes so.
func (s *shell) serve(x *http.Mux) {
	for path, f := range s.files {
		pattern := "GET " + path
		if path == "/" {
			pattern = "GET /{$}"
		}
		x.MustHandle(pattern, f.serve)
	}
}

func (f *file) serve(c *conn.Conn, m *http.Message) {
	v := http.Validators{ETag: f.etag}
	http.SetHeader(c, "ETag", f.etag)
	http.SetHeader(c, "Cache-Control", "no-cache")
	if v.Check(&m.Request) == http.NotModified {
		http.Error(c, 304)
		return
	}
	http.ReplyBytes(c, 200, f.kind, f.text)
}
