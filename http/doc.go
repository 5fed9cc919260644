// Package http shadows net/http: a file that needs both imports this one as mghttp. It is the HTTP/1.1 server of a poll
// loop: a layer on a conn.Conn that turns the bytes of requests into events, and answers into bytes.
//
//	http.Listen(m, "http://127.0.0.1:8080", func(c *conn.Conn, ev conn.Event) {
//		if r, ok := ev.(*http.Message); ok {
//			http.Reply(c, 200, "text/plain", "hello from %s\n", r.Path)
//		}
//	})
//
// The events, beside those of package conn:
//
//	event        when
//	*Head        the head of a request is complete, before its body; once for each request
//	*Message     the request is complete; not when it was answered or hijacked in Head, or is streamed
//	*Chunk       a piece of the body of a request for which Stream was called in Head; the last one completes the request
//	*BadRequest  a request is refused by this package, before the error reply
//
// So each request is Head and then one Message, or Head and then Chunks of which one, at the end, is Last; less where
// it was answered before, or broke off. SaveBody takes the place of Chunks.
//
// An event and all its []byte are valid until the handler returns. A request is answered with Reply, ReplyBytes, Error,
// Redirect, ServeFS or its like, in its handler or later from a timer or Manager.Do; or piece by piece with Begin,
// WriteChunk and End, or StartEvents and SendEvent. Until it is answered, the next request of its connection waits, so
// answers keep the order of the requests, and the functions here need no more than the connection to know which request
// is meant.
//
// Mux routes requests, by net/http's patterns. What stands between a listener and its handlers, as package
// http/middleware has it, is made with Guard: it decides when the head of a request is there.
//
// What costs every program, used or not, is in packages of its own: http/gzip for compressed replies, http/json for
// answers in JSON.
//
// What is refused, by RFC 9112 and RFC 9110: see parse.go, target.go, host.go, framing.go and chunked.go. A refused
// request gets one reply, the connection closes behind it, and no byte that came later is taken for a request. Where
// the RFCs leave a choice: one empty line may go before a request line; LF alone ends no line; CONNECT gets 501; a Host
// or target that names an empty host is refused; HTTP versions other than 1.0 and 1.1 get 505.
//
// All functions belong to the goroutine of the loop.
package http
