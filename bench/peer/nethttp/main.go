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
	if f.Cert != "" {
		log.Fatal(http.ListenAndServeTLS(f.Listen, f.Cert, f.Key, web.Mux(f)))
	}
	log.Fatal(http.ListenAndServe(f.Listen, web.Mux(f)))
}
