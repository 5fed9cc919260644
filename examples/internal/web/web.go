// Package web has what the pages of the examples have in common: the modules and the style in
// shared, which they load as "./shared/NAME".
package web

import (
	"embed"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// Files are the files, below the directory "shared".
//
//go:embed shared
var Files embed.FS

// Prefix begins the paths that Serve answers.
const Prefix = "/shared/"

// Serve answers a request for one of Files.
func Serve(c *conn.Conn, m *http.Message) {
	http.ServeFS(c, m, Files, http.FileOptions{CacheControl: "no-cache"})
}
