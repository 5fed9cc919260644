package files

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxName  = 255  // bytes of one name
	maxPath  = 1024 // bytes
	maxDepth = 16   // names
)

// uploads is the directory, below the root, of the files that are being received.
const uploads = ".uploads"

// parsePath returns the path of a file below the root, "." for the root itself. It returns false if
// no file can have it. A slash at the end is left out.
func parsePath(text string) (path string, ok bool) {
	text = strings.TrimSuffix(text, "/")
	if text == "" {
		return ".", true
	}
	if len(text) > maxPath || strings.Count(text, "/") >= maxDepth {
		return "", false
	}
	for name := range strings.SplitSeq(text, "/") {
		if !goodName(name) {
			return "", false
		}
	}
	first, _, _ := strings.Cut(text, "/")
	return text, !strings.EqualFold(first, uploads) // FAT takes capital letters for small ones
}

// goodName reports whether a file may be called so.
func goodName(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= maxName && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool {
			return unicode.IsControl(r) || r == '/' || r == '\\' || unicode.Is(unicode.Bidi_Control, r)
		})
}

// parentOf returns the directory of a path.
func parentOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}

// below returns the path of a name in a directory.
func below(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}
