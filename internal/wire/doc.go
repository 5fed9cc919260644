// Package wire reads HTTP/1.1 (RFC 9112) from bytes: heads of requests and responses, the framing
// of their bodies, the Chunked coding, and what fields are made of (RFC 9110 5.6). It is pure: it
// keeps no bytes, makes no system call and asks no clock. A parser may be given its input in any
// pieces, looks at each byte once, and says the same however they were cut.
//
// It imports no other package of this module. Package http uses it for the server, package
// websocket for the client's handshake.
package wire
