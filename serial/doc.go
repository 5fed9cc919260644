// Package serial opens serial lines as connections of a poll loop: UARTs, USB adapters,
// pseudo-terminals. It sets speed, parity, stop bits, flow control and RS-485, and it is the end of
// the connection, with a clear error, when the device is unplugged.
//
//	c, err := serial.Open(m, "/dev/ttyUSB0", handler, serial.Options{
//		Mode: serial.Mode{Speed: 19200, Parity: serial.Even},
//	})
//
// The handler gets the events of any stream: Open, Read, Write, Close. The line is raw: no echo, no
// signals, no translation of line ends. Of returns the Port of such a connection, which has what
// only a serial line has: the control lines, break, the mode.
//
// # Ends
//
// A line has no end of the stream. When the device goes away (USB unplugged, the other side of a
// pseudo-terminal closed), the connection gets Error with ErrGone, then Close. A program that wants
// the device back opens it again, by a timer.
//
// The kernel sends what it was given before it closes a line, which takes seconds on a slow line,
// and 30 s if flow control holds the peer's side. The loop must not wait for that, so a goroutine
// closes the descriptor then.
//
// # Systems
//
// Linux. Elsewhere the package builds, and Open returns an error that wraps errors.ErrUnsupported.
package serial
