// Package websocket is a WebSocket endpoint (RFC 6455), server and client, on the event loop.
//
// A handler of an HTTP listener turns a request into a WebSocket, and then gets the messages:
//
//	func handle(c *conn.Conn, ev conn.Event) {
//		switch ev := ev.(type) {
//		case *http.Message:
//			websocket.Upgrade(c, ev, nil)
//		case *websocket.Message:
//			websocket.Send(c, ev.Op, ev.Data)
//		case *websocket.Control:
//			if ev.Op == websocket.Close {
//				log.Print(ev.Code, ev.Reason, ev.Clean)
//			}
//		}
//	}
//
// A client begins with Connect, and its handler gets the same events after conn.Connect:
//
//	websocket.Connect(m, "ws://127.0.0.1:8080/live", handle, nil)
//
// When the attempt fails, it gets *conn.Error with a *HandshakeError, and conn.Close. The handshake
// is a request of package http: names, TLS, proxies, cookies, redirects and timeouts are options.
//
// # A WebSocket that is kept open
//
// Reconnect tries again when an attempt fails or a WebSocket ends, after a random time that grows
// with each failure in a row, or after the time that the server asks for. The handler gets a *State
// for each change: what the Reconnector is doing, why the last WebSocket has ended, and when it
// tries again.
//
//	r, err := websocket.Reconnect(m, "wss://example.org/readings", handle, &websocket.ReconnectOptions{…})
//	r.Send(websocket.Text, reading)
//
// While there is no WebSocket, messages wait, up to a number of messages and of bytes; then Send
// fails, or the oldest message is dropped. A message is handed to one WebSocket at most, so it
// never comes twice. If that one breaks, *State has the numbers of the messages that the server may
// or may not have got. A program that must not lose any keeps its own copies until they are out of
// doubt, and sends those again; its server has to know them by an ID.
//
// # Events
//
// *Open comes once: on a server inside Upgrade, on a client when the response has come. *Message is
// a whole message; a text has been checked to be UTF-8. *Control is a ping, whose pong is queued
// before the event, a pong, or the end. Events and their bytes are valid until the handler returns.
//
// With Options.Stream messages come as *Chunk instead, piece by piece as they arrive. No message is
// put together, so one may be larger than memory. c.Pause stops the pieces until c.Resume, also
// those that have been read already. Text is checked as it comes, so the pieces that were delivered
// are UTF-8 even if the rest is not.
//
// # Size
//
// With the build tag nogobwas the package has its own constants and cipher in place of those of
// gobwas/ws, which brings net/http and crypto/tls into the program: 1.4 MB. Nothing else changes.
//
// # The end
//
// Every WebSocket that had an Open gets exactly one *Control with Op Close, before conn.Close. No
// message follows it. Its Code and Reason are
//   - those of the peer's Close frame, if one came, whichever side began: Clean is true,
//     CloseNoStatus stands for an empty frame;
//   - those that this side sent, if the peer broke the protocol or a limit: Clean is false;
//   - CloseAbnormal (1006), if the connection was lost or closed without a Close frame, or if the
//     peer's did not come in time after ours; with the reason "no pong in time" if no pong came:
//     Clean is false.
//
// After the Close frames the server closes its side of TCP, and waits one second at most for the
// client to do the same. A client waits for the server for Options.CloseTimeout.
//
// # Keep-alive
//
// A peer that has been silent for Options.PingInterval is sent a ping. If it stays silent for
// Options.PongTimeout, the connection ends. Both are on by default. The pong comes as a *Control
// event. While this side does not read, because the connection is paused or its send queue is
// congested, silence does not count.
//
// # Sending
//
// Send, Writer, SendPrepared and CloseWith queue and never block; they return ErrClosed once this
// side has sent its Close frame. They belong to the loop's goroutine, like all functions of a
// connection. Prepare makes a message for many connections once, on any goroutine.
//
// # Compression
//
// Options.Compress turns permessage-deflate (RFC 7692) on, with a Compressor of package
// websocket/deflate; without one every offer is declined. It is off by default, because it costs a
// message of 1 KB some 10 µs of either side's time, and because a secret must not be compressed
// together with text that an attacker may choose. A program that does not import that package is
// linked without the code, some 130 KB.
//
// Messages below the Compressor's threshold are sent as they are. SendPrepared compresses once for
// all connections. A compressed message is inflated and checked as it comes; the WebSocket ends
// with 1009 if the message grows past MaxMessage, and with 1007 if it is corrupt.
//
// # Bounds
//
// A message may have Options.MaxMessage bytes. A larger one is refused with 1009 as soon as a frame
// header announces it, before any of it is kept; a compressed one as soon as it has grown past the
// limit. With Options.Stream MaxMessage is a limit only if it is set. While the send queue is
// congested no frame is handled: a peer that sends pings and reads nothing fills its own socket,
// and no pong is lost.
package websocket
