// Package stdhttp mounts a handler of net/http on a poll loop. It is the only package of this module that imports
// net/http: programs without it stay small.
//
//	h := stdhttp.New(m, nethttp.FileServer(nethttp.Dir("/srv/www")), stdhttp.Options{})
//	http.Listen(m, "http://127.0.0.1:8080", h.Handle)  // all requests
//	x.MustHandle("GET /debug/pprof/", h.Serve)          // or those of some routes of an http.Mux
//	x.MustHandleEvents("POST /upload", h.Handle)
//
// Handle streams bodies of any length. Serve gets them whole, up to http.Options.MaxBody.
//
// Each request is copied off the loop and handled on one of a bounded set of goroutines; when all are busy it waits in a
// queue, and when that is full it is answered with 503. Nothing of the handler's touches the connection: what it writes goes
// through a bounded buffer to the loop, and a handler whose client reads slowly waits in Write.
//
// The ResponseWriter has Flush, WriteString, and what http.ResponseController needs for Flush, SetReadDeadline,
// SetWriteDeadline and EnableFullDuplex. It has no Hijack: http.ErrNotSupported. As in net/http
//
//   - a reply that fits into a buffer (16 KiB here) gets a Content-Length, others are chunked unless the handler set one;
//   - a missing Content-Type is guessed from the first 512 bytes;
//   - the request's context is cancelled when the handler returns, when the connection ends, and when the client has
//     finished sending, which nobody can tell from one that has gone; it is answered all the same;
//   - a panic is logged, unless it is http.ErrAbortHandler, and cuts the connection.
//
// Unlike there, a client that expects 100 is told to go on before the handler reads; while a body waits for the handler to
// read it the loop does not read from the connection, and does not see it end; http.Options.AnswerTimeout bounds the time to
// the first byte of an answer; and Date and Connection are the loop's: Connection: close is honoured, other values are dropped.
package stdhttp
