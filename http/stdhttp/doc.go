// Package stdhttp mounts a handler of net/http on a poll loop. It is the only package of this
// module that imports net/http: a program without it stays small.
//
//	h := stdhttp.New(m, nethttp.FileServer(nethttp.Dir("/srv/www")), stdhttp.Options{})
//	http.Listen(m, "http://127.0.0.1:8080", h.Handle)  // all requests
//	x.MustHandle("GET /debug/pprof/", h.Serve)          // or those of some routes of an http.Mux
//	x.MustHandleEvents("POST /upload", h.Handle)
//
// Handle streams bodies of any length. Serve gets them whole, up to http.Options.MaxBody.
//
// Each request is copied off the loop, and its handler runs on one of a bounded set of goroutines,
// the workers. If all workers are busy, the request waits in a queue; if the queue is full, the
// client gets 503. The handler never touches the connection: its writes go through a bounded buffer
// to the loop. If the client reads slowly, the handler waits in Write.
//
// Slow clients hold no workers. A handler is called after a short body is complete. A handler that
// waits for its client gives its worker to others meanwhile; one that streams (Flush, Hijack) gives
// it away for good. Options.Streams bounds both. The requests of one address get only a part of
// everything (Options.Part), and Options.Memory bounds the memory of all.
//
// The ResponseWriter has Flush, WriteString, Hijack, CloseNotify, and what http.ResponseController
// needs for Flush, Hijack, SetReadDeadline, SetWriteDeadline and EnableFullDuplex. A hijacked
// connection is a net.Conn over that of the loop: the limits and the write timeout of the manager
// stay in force, Manager.Shutdown drains it, and its Read begins with the bytes that came after the
// request. Hijack fails if the reply has begun, or if the body has not been read to its end. As in
// net/http:
//
//   - a reply that fits into a buffer (16 KiB here) gets a Content-Length, others are chunked unless the handler set one;
//   - a missing Content-Type is guessed from the first 512 bytes;
//   - the request's context is cancelled when the handler returns, when the connection ends, and
//     when the client has finished sending, since a client that has gone looks the same; the reply
//     is sent all the same;
//   - a panic is logged, unless it is http.ErrAbortHandler, and cuts the connection; what was flushed before it is sent;
//   - a reply whose handler announced trailers in Trailer is chunked, whatever its length;
//   - files of the request's MultipartForm are removed when the handler has returned; not those of a copy of the request
//     (Request.WithContext) that was parsed instead of it;
//   - OPTIONS * gets 200, and Pragma: no-cache becomes Cache-Control: no-cache;
//   - Request.PathValue has the wildcards of the http.Mux that has chosen the handler.
//
// Unlike net/http: A client that expects 100 is told to go on before the handler reads. While a
// body waits for its handler, the loop does not read from the connection, and does not see it end.
// http.Options.ReplyTimeout bounds the time to the first byte of a reply. The loop sets Date and
// Connection: of the handler, Connection: close is honoured, and other values are dropped.
package stdhttp
