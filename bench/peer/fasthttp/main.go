// Command fasthttp is the peer for valyala/fasthttp, set up as its README advises for speed: no normalised header names,
// bodies set from byte slices, and a switch where a router would be.
package main

import (
	"log"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/seed4930a636/mangusta/bench/peer/internal/setup"
)

func main() {
	f := setup.Parse()
	fs := &fasthttp.FS{Root: f.Dir, PathRewrite: fasthttp.NewPathSlashesStripper(1), SkipCache: false}
	static := fs.NewRequestHandler()
	s := &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			switch path := string(ctx.Path()); {
			case path == "/plaintext":
				ctx.SetContentType("text/plain")
				ctx.SetBody(setup.Hello)
			case path == "/echo":
				ctx.SetContentType("application/octet-stream")
				ctx.SetBody(ctx.PostBody())
			case f.Dir != "" && strings.HasPrefix(path, "/static/"):
				static(ctx)
			default:
				post(ctx, path)
			}
		},
		DisableHeaderNamesNormalizing: true,
		MaxRequestBodySize:            64 << 20,
	}
	log.Fatal(s.ListenAndServe(f.Listen))
}

// post answers GET /users/{user}/posts/{post}.
func post(ctx *fasthttp.RequestCtx, path string) {
	rest, ok := strings.CutPrefix(path, "/users/")
	user, rest, ok1 := strings.Cut(rest, "/")
	id, ok2 := strings.CutPrefix(rest, "posts/")
	if !ok || !ok1 || !ok2 || !ctx.IsGet() || strings.Contains(id, "/") {
		ctx.NotFound()
		return
	}
	ctx.SetContentType("application/json")
	ctx.Response.SetBodyRaw(setup.AppendPost(nil, user, id))
}
