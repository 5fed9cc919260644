package main

import (
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	nethttp "net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/examples/internal/web/webtest"
)

func TestThePageKeepsItsOwnPolicy(t *testing.T) { webtest.WantStrict(t, embedded, "page") }

// All that a browser loads comes with gzip, and has no more than 60 KiB then.
func TestWeightOfThePage(t *testing.T) {
	const most = 60_000
	p := start(t, t.TempDir(), "auto")
	total, plain := 0, 0
	for path, f := range newShell().files {
		req, err := nethttp.NewRequest("GET", "http://"+p.Addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", "gzip")
		resp, err := nethttp.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %d %v", path, resp.StatusCode, err)
		}
		total, plain = total+int(n), plain+len(f.text)
	}
	t.Logf("the page has %d bytes, %d with gzip", plain, total)
	if total > most {
		t.Errorf("%d bytes with gzip, of %d at most", total, most)
	}
}

var loads = regexp.MustCompile(`(?:from |import\(|href=|src=|src": |url\()"(?:\./)?([a-z]+[-a-z0-9/.]*)"`)

// The shell has each file that a file of it loads, and no other.
func TestTheShellIsComplete(t *testing.T) {
	s := newShell()
	asked := map[string]bool{"/": true}
	for _, lang := range languages(t) {
		asked["/lang/"+lang] = true
	}
	for name, text := range pageFiles(t) {
		for _, m := range loads.FindAllStringSubmatch(text, -1) {
			path := "/" + m[1]
			if !asked[path] && !slices.Contains(s.paths, path) {
				t.Errorf("%s loads %s, which the shell does not have", name, path)
			}
			asked[path] = true
		}
	}
	for _, path := range s.paths {
		if !asked[path] {
			t.Errorf("the shell has %s, which no file loads", path)
		}
	}
}

// pageFiles returns the text of each HTML, script and manifest of the page.
func pageFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	names, err := fs.Glob(embedded, "page/*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := embedded.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(name, "page/")] = string(text)
	}
	return files
}

// languages returns the names of the files with the words.
func languages(t *testing.T) (names []string) {
	t.Helper()
	list, err := embedded.ReadDir("page/lang")
	if err != nil || len(list) < 2 {
		t.Fatal(list, err)
	}
	for _, f := range list {
		names = append(names, f.Name())
	}
	return names
}

// wordsOf returns the words of a language. A key that is there twice fails the test.
func wordsOf(t *testing.T, name string) map[string]string {
	t.Helper()
	text, err := embedded.ReadFile("page/lang/" + name)
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]string{}
	if err := json.Unmarshal(text, &words); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if n := strings.Count(string(text), `": "`); n != len(words) {
		t.Errorf("%s has %d lines, and %d keys", name, n, len(words))
	}
	return words
}

// These begin the keys of texts of the device, which English does not need: those of the declaration,
// which each language may have or not, and those of its errors.
const ofDeclaration, ofErrors = "declared:", "error:"

var (
	inHTML   = regexp.MustCompile(`data-t(?:-[a-z-]+)?="([^"]+)"`)
	inScript = regexp.MustCompile(`\bt\([^()]*"[^)]*\)|\bt\(` + "`" + `[^` + "`" + `]*`)
	plurals  = regexp.MustCompile(`\bmany\("([^"]+)"`)
	quoted   = regexp.MustCompile(`"([^"]+)"`)
	composed = regexp.MustCompile(`^t\(` + "`" + `([a-z.]+)\$\{`)
	blanks   = regexp.MustCompile(`\{\w+\}`)
)

// All languages have the same keys, with the same blanks in their texts; each key is used, and each
// that is used is there.
func TestWords(t *testing.T) {
	used, begins := map[string]bool{}, []string{}
	for name, text := range pageFiles(t) {
		if strings.HasSuffix(name, ".html") {
			for _, m := range inHTML.FindAllStringSubmatch(text, -1) {
				used[m[1]] = true
			}
			continue
		}
		for _, call := range inScript.FindAllString(text, -1) {
			if m := composed.FindStringSubmatch(call); m != nil {
				begins = append(begins, m[1])
				continue
			}
			for _, m := range quoted.FindAllStringSubmatch(call, -1) {
				used[m[1]] = true
			}
		}
		for _, m := range plurals.FindAllStringSubmatch(text, -1) {
			used[m[1]+".one"], used[m[1]+".other"] = true, true
		}
	}
	english := wordsOf(t, "en.json")
	for key := range used {
		if _, ok := english[key]; !ok {
			t.Errorf("%q is used, and no language has it", key)
		}
	}
	for key := range english {
		if !used[key] && !slices.ContainsFunc(begins, func(b string) bool { return strings.HasPrefix(key, b) }) {
			t.Errorf("%q is not used", key)
		}
	}
	for _, name := range languages(t) {
		words := wordsOf(t, name)
		maps.DeleteFunc(words, func(key, _ string) bool {
			return strings.HasPrefix(key, ofDeclaration) || strings.HasPrefix(key, ofErrors)
		})
		for key, text := range english {
			other, ok := words[key]
			delete(words, key)
			if a, b := blanks.FindAllString(text, -1), blanks.FindAllString(other, -1); !ok || !slices.Equal(sorted(a), sorted(b)) {
				t.Errorf("%s, %q: %q, in English %q", name, key, other, text)
			}
		}
		for key := range words {
			t.Errorf("%s has %q, and English has not", name, key)
		}
	}
}

var codeInGo = regexp.MustCompile(`(?:Coded\(|\b[cC]ode: +|failure\{\d+, )"([a-z0-9-]+)"(\+f\.bounds\(\))?`)

// Each error that module device sends by a code has a line in each language but English, and each
// line is of such an error.
func TestEveryErrorIsOfALanguage(t *testing.T) {
	codes := map[string]bool{}
	err := filepath.WalkDir("../../device", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		for _, m := range codeInGo.FindAllSubmatch(text, -1) {
			codes[string(m[1])] = true
			if m[2] != nil { // see Field.bounds
				codes[string(m[1])+"-min"], codes[string(m[1])+"-max"] = true, true
			}
		}
		return err
	})
	if err != nil || len(codes) < 50 {
		t.Fatalf("%d codes, %v", len(codes), err)
	}
	for _, name := range languages(t) {
		if name == "en.json" {
			continue
		}
		words := wordsOf(t, name)
		for code := range codes {
			if words[ofErrors+code] == "" {
				t.Errorf("%s has no line for the error %q", name, code)
			}
		}
		for key := range words {
			if code, ok := strings.CutPrefix(key, ofErrors); ok && !codes[code] {
				t.Errorf("%s has a line for %q, which no error is", name, code)
			}
		}
	}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

var textInHTML = regexp.MustCompile(`(?s)<(noscript|title|option|h1)\b.*?</(?:noscript|title|option|h1)>|<[^>]*>|<!--.*?-->`)

// The page itself has no words: they are in the files of the languages.
func TestNoWordsInThePage(t *testing.T) {
	text := pageFiles(t)["index.html"]
	rest := strings.ReplaceAll(textInHTML.ReplaceAllString(text, " "), "&nbsp;", "")
	if words := strings.Fields(rest); len(words) > 0 {
		t.Errorf("these words are in index.html: %q", words)
	}
	for _, name := range []string{"aria-label", "placeholder", "title", "alt"} {
		for _, m := range regexp.MustCompile(`\s`+name+`\s*=\s*("[^"]*"|[^\s>]+)`).FindAllStringSubmatch(text, -1) {
			if m[1] != `""` && m[1] != `"XXXX-XXXX"` {
				t.Errorf("index.html has %s", m[0])
			}
		}
	}
}
