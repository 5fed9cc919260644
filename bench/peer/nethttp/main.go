// Command nethttp is the peer for net/http.
package main

import (
	"log"
	"net/http"
	"os"
)

var hello = []byte("Hello, World!")

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /plaintext", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write(hello)
	})
	log.Fatal(http.ListenAndServe(os.Args[1], mux))
}
