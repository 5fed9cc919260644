// Command fasthttp is the peer for valyala/fasthttp, set up as its README advises for speed: no
// normalised header names, bodies set from byte slices, and a switch where a router would be.
package main

import (
	"bytes"
	"log"

	"github.com/valyala/fasthttp"

	"github.com/seed4930a636/mangusta/bench/peer/internal/setup"
)

var static, users, posts, slash = []byte("/static/"), []byte("/users/"), []byte("posts/"), []byte("/")

func main() {
	f := setup.Parse()
	fs := &fasthttp.FS{Root: f.Dir, PathRewrite: fasthttp.NewPathSlashesStripper(1)}
	file := fs.NewRequestHandler()
	s := &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			switch path := ctx.Path(); {
			case string(path) == "/plaintext":
				ctx.SetContentType("text/plain")
				ctx.SetBody(setup.Hello)
			case string(path) == "/echo":
				ctx.SetContentType("application/octet-stream")
				ctx.SetBody(ctx.PostBody())
			case f.Dir != "" && bytes.HasPrefix(path, static):
				file(ctx)
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
func post(ctx *fasthttp.RequestCtx, path []byte) {
	rest, ok := bytes.CutPrefix(path, users)
	user, rest, ok1 := bytes.Cut(rest, slash)
	id, ok2 := bytes.CutPrefix(rest, posts)
	if !ok || !ok1 || !ok2 || !ctx.IsGet() || bytes.Contains(id, slash) {
		ctx.NotFound()
		return
	}
	ctx.SetContentType("application/json")
	var b [128]byte
	ctx.SetBody(setup.AppendPost(b[:0], user, id))
}
