// Package http shadows net/http: a file that needs both imports this one as mghttp. It is the
// HTTP/1.1 server of a poll loop: a layer on a conn.Conn that turns the bytes of requests into
// events, and replies into bytes.
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
//	*Message     the request is complete; not when it was replied to or hijacked in Head, or is streamed
//	*Chunk       a piece of the body of a request for which StreamBody was called in Head; the last one completes the request
//	*BadRequest  a request is refused by this package, before the error reply
//
// So a request is one Head and then one Message, or one Head and then Chunks, the last of which is
// Last. Fewer events come if the request got its reply before, or broke off. With SaveBody and
// SaveForm there are no Chunks.
//
// An event and all its []byte are valid until the handler returns. A handler replies with Reply,
// ReplyBytes, Error, Redirect, ServeFS or the like, or piece by piece with Begin, WriteChunk and
// End, or with StartEvents and SendEvent. The next request of the connection waits until the reply
// is complete, so replies keep the order of the requests.
//
// Functions that take a connection mean the request whose event (*Head, *Message, *Chunk) is being
// handled, and return ErrOutside elsewhere: in a timer, in Manager.Do, in events of package conn.
// There the connection may carry the request of another user. A reply that comes later needs the
// handle of its request:
//
//	later := m.Later() // m is the *Message
//	go func() {
//		found := ask()
//		later.Do(func() { later.Reply(200, "text/plain", "%s", found) })
//	}()
//
// After the request is over, because it got another reply or because its connection ended, later.Do
// and later.Reply return ErrGone. ReplyFrom takes a long body from a Source as the client reads it;
// FromReader makes one of any io.Reader. Later.Begin and Later.StartEvents return a Stream, the
// handle of a long reply; Later.With makes any function that takes a connection mean the request.
//
// Mux routes requests, by net/http's patterns. Guard makes middleware, which stands between a
// listener and its handlers and decides when the head of a request is there; package
// http/middleware has some.
//
// Parts that would make every program larger, used or not, are packages of their own: http/gzip for
// compressed replies, http/json for replies in JSON.
//
// internal/wire has the rules of RFC 9112 and RFC 9110 by which requests are refused. A refused
// request gets one reply, the connection closes after it, and no later byte is taken for a request.
// Where the RFCs leave a choice: one empty line may go before a request line; LF alone ends no
// line; CONNECT gets 501; a Host or target that names an empty host is refused; HTTP versions other
// than 1.0 and 1.1 get 505.
//
// Connect and Client are the other half: an HTTP/1.1 client on the same loop, with the same rules.
//
// All functions belong to the goroutine of the loop.
package http
