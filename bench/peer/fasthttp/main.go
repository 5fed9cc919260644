// Command fasthttp is the peer for valyala/fasthttp, set up as its README advises for speed.
package main

import (
	"log"
	"os"

	"github.com/valyala/fasthttp"
)

var hello = []byte("Hello, World!")

func main() {
	s := &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) != "/plaintext" {
				ctx.NotFound()
				return
			}
			ctx.SetContentType("text/plain")
			ctx.SetBody(hello)
		},
		DisableHeaderNamesNormalizing: true,
	}
	log.Fatal(s.ListenAndServe(os.Args[1]))
}
