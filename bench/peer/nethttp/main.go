// Command nethttp is the peer for net/http, with its own mux.
package main

import (
	"log"
	"net/http"

	"github.com/seed4930a636/mangusta/bench/peer/internal/setup"
	"github.com/seed4930a636/mangusta/bench/peer/internal/web"
)

func main() {
	f := setup.Parse()
	log.Fatal(http.ListenAndServe(f.Listen, web.Mux(f)))
}
