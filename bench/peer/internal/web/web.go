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
		reply(w, "text/plain", setup.Hello)
	})
	mux.HandleFunc("POST /echo", echo)
	mux.HandleFunc("GET /users/{user}/posts/{post}", func(w http.ResponseWriter, r *http.Request) {
		reply(w, "application/json", setup.AppendPost(make([]byte, 0, 128), r.PathValue("user"), r.PathValue("post")))
	})
	if f.Dir != "" {
		mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServer(http.Dir(f.Dir))))
	}
	return mux
}

// reply gives the length, since otherwise nbio sends all replies chunked, and net/http large ones.
func reply(w http.ResponseWriter, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
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
	reply(w, "application/octet-stream", body)
}

const maxEcho = 64 << 20

var buffers = sync.Pool{New: func() any { return new([]byte) }}
