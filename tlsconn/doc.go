// Package tlsconn puts TLS beneath the connections of a poll loop, with the standard library's
// crypto/tls. No goroutine stays with a connection: one computes for its handshake, and ends with
// it.
//
//	server, err := tlsconn.Files("cert.pem", "key.pem")
//	…
//	http.Listen(m, "https://:443", handler, http.Options{TLS: server})
//
// A Server is made of a Config by NewServer, of two files by Files, or of nothing by SelfSigned: a
// device has no certificate when it starts for the first time. It fits mgr.ListenOptions.TLS and
// http.Options.TLS. A Client, of NewClient, fits mgr.ConnectOptions.TLS and
// websocket.ClientOptions.TLS.
//
// # Events
//
// Open comes first. *Handshake comes when TLS is up, right before Accept or Connect; bytes may flow
// from then on. Bytes that are written earlier wait. A handshake that fails, or a record that is
// wrong, ends the connection with conn.TLSFailed.
//
// # How it works
//
// A record is given to crypto/tls when it is whole, never sooner and never two at once; so
// crypto/tls holds at most one record of 16 KiB for a connection. The handshake of crypto/tls
// cannot be resumed, so it runs in a goroutine, in lock step with the loop: at any time one of the
// two touches the connection's state. The goroutine begins when the first record is whole. At most
// GOMAXPROCS-1 of them (but one at least) compute at the same time, so that the loop keeps a
// processor.
//
// # Callbacks
//
// Config.GetCertificate, Config.VerifyConnection, and a key that is a crypto.Signer of the
// program's are called on the goroutine of a handshake, many of them at once. They may wait: the
// place to compute is given to another handshake meanwhile. Each keeps one place of
// Limits.MaxHandshakes until it returns, also after its connection has ended, by HandshakeTimeout at
// the latest. So they need a timeout of their own: MaxHandshakes callbacks that never return keep
// out all further handshakes. A panic in one of them ends its connection alone (ErrPanicked).
//
// Files are read, and ticket keys written, on the goroutine of the one handshake that finds them
// due, without a place to compute; others go on with what there was. Config.Log is called there too,
// and by Reload. Handlers, and the events of a connection, belong to the loop as always.
//
// # Bounds
//
// Config has the limits of handshakes: how long they take, how many there are at once and in a
// second, how many bytes they have. After the handshake a peer may make this side answer 64 times a
// minute without having asked anything (KeyUpdate, RFC 8446 §4.6.3), and may send 20 KB of records
// that carry no data. Exceeding either ends the connection.
//
// The minimum is TLS 1.2, with AEAD suites only. Renegotiation and early data are refused. HTTP/2
// is not offered.
package tlsconn
