// Package websocket is a WebSocket endpoint (RFC 6455, with permessage-deflate, RFC 7692), server and client, on the event
// loop.
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
// A client begins with Connect, and its handler gets the same events, behind conn.Connect:
//
//	websocket.Connect(m, "ws://127.0.0.1:8080/live", handle, nil)
//
// When the handshake fails, it gets *conn.Error with a *HandshakeError, and conn.Close.
//
// # Events
//
// *Open comes once: on a server inside Upgrade, on a client when the answer has come. *Message is a
// whole message, text already checked to be UTF-8. *Control is a ping (answered before the event), a pong, or the end.
// Events and their bytes are valid until the handler returns.
//
// With Options.Stream messages come as *Chunk instead, piece by piece as they arrive: no message is put together, and one
// may be larger than memory. c.Pause stops the pieces, those that have been read already too, until c.Resume; text is checked as
// it comes, so what has been delivered is UTF-8 even if the rest is not.
//
// # The end
//
// Every WebSocket that had an Open gets exactly one *Control with Op Close, before conn.Close. No message follows it.
// Its Code and Reason are
//   - those of the peer's Close frame, when one came, whoever began: Clean is true, CloseNoStatus stands for an empty frame;
//   - those that this side failed the connection with, when the peer broke the protocol or a limit: Clean is false;
//   - CloseAbnormal (1006) when the connection vanished, was closed without a Close frame, or the peer did not answer ours
//     in time, and with the reason "no pong in time" when it did not answer a ping: Clean is false.
//
// After the Close frames it is the server that closes TCP. A server that has seen both waits for the client to do the same
// for one second at most; a client waits for the server for Options.CloseTimeout.
//
// # Keep-alive
//
// A peer that has been silent for Options.PingInterval is sent a ping, and one that is silent for Options.PongTimeout more is
// given up. Both are on by default. The pong comes as a *Control event like any other. A connection that this side does not
// read, because it is paused or its send queue is congested, is not judged.
//
// # Sending
//
// Send, Writer, SendPrepared and CloseWith queue and never block; they return ErrClosed once this side has sent its Close
// frame. Like everything on a connection they belong to the loop's goroutine. A message for many connections is built
// once, on any goroutine, with Prepare.
//
// # Compression
//
// Options.Deflate turns permessage-deflate on; without it every offer is declined. It is off by default, because it costs a
// message of 1 KB some 10 µs of either side's time, and because what is secret must not be compressed together with what an
// attacker may choose. All parameters are honoured: takeover either way, and windows of 8 to 15 bits. Without takeover,
// unless options ask for it, an idle connection holds no memory for it; see Deflate for what takeover costs. A program that
// makes no Deflate is linked without the code of it, some 130 KB.
//
// Messages below Deflate.Threshold, and without takeover those that get no smaller, are sent as they are. SendPrepared compresses
// once for all. A compressed message is inflated and checked as it comes, and ends with 1009 when it grows past MaxMessage, and
// with 1007 when it is corrupt.
//
// # Bounds
//
// A message may have Options.MaxMessage bytes; one that is larger is refused with 1009 as soon as a frame header says so,
// before anything is kept of it, and a compressed one as soon as it has grown past that. With Options.Stream MaxMessage
// limits only if it is set. While the send queue is congested no frame is processed, so that a peer that sends pings
// and reads nothing is stopped by its own full socket, and no pong is lost. A send limit too small for that is raised.
package websocket
