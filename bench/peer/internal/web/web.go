// Package web is the works over HTTP as a net/http handler, for the peers that take one.
package web

import (
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/seed4930a636/mangusta/bench/peer/internal/setup"
)

// Mux serves everything but WebSockets.
func Mux(f setup.Flags) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /plaintext", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write(setup.Hello)
	})
	mux.HandleFunc("POST /echo", echo)
	mux.HandleFunc("GET /users/{user}/posts/{post}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(setup.AppendPost(nil, r.PathValue("user"), r.PathValue("post")))
	})
	if f.Dir != "" {
		mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServer(http.Dir(f.Dir))))
	}
	return mux
}

// echo reads the whole body, whose length the load gives, into a pooled buffer, and writes it back.
func echo(w http.ResponseWriter, r *http.Request) {
	n := int(r.ContentLength)
	if n < 0 || n > maxEcho {
		http.Error(w, "want a Content-Length", http.StatusLengthRequired)
		return
	}
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	if cap(*b) < n {
		*b = make([]byte, n)
	}
	body := (*b)[:n]
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(n)) // else a large reply goes out chunked
	w.Write(body)
}

const maxEcho = 64 << 20

var buffers = sync.Pool{New: func() any { return new([]byte) }}
