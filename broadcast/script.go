package broadcast

import (
	"embed"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// script is only linked into programs that mention Script.
//
//go:embed mangusta.js mangusta.d.ts
var script embed.FS

// Script serves mangusta.js, the module by which a page subscribes through a Door, and for a path
// that ends in ".d.ts" its types:
//
//	x.MustHandle("GET /mangusta.js", broadcast.Script)
//
// Browsers keep it, and ask each time whether it has changed (ETag).
func Script(c *conn.Conn, m *http.Message) {
	name := "mangusta.js"
	if strings.HasSuffix(string(m.Path), ".d.ts") {
		name = "mangusta.d.ts"
	}
	f, err := script.Open(name)
	if err != nil {
		http.Error(c, 404)
		return
	}
	http.ServeOpenFile(c, m, f, name, http.FileOptions{CacheControl: "no-cache", Types: map[string]string{"ts": "text/plain; charset=utf-8"}})
}

// ScriptText returns the text of mangusta.js, for a program that hands it out in a way of its own.
func ScriptText() []byte {
	text, err := script.ReadFile("mangusta.js")
	if err != nil {
		panic(err) // it is embedded
	}
	return text
}
