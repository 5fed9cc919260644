package websocket

import (
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// Panicked is for the loop, after a handler of the connection has panicked. It sends code 1011 (RFC
// 6455 §7.4.1), and returns how long to linger so that the peer can read it; 0 if this side had
// sent its Close frame before.
func (s *session) Panicked(c *conn.Conn) time.Duration {
	return s.lastWord(c, CloseInternal)
}

// Overfull is for the loop, which ends the connection because it holds too much memory. It sends
// code 1013, drops the unfinished message, and returns how long to linger; 0 if this side had sent
// its Close frame before.
func (s *session) Overfull(c *conn.Conn) time.Duration {
	d := s.lastWord(c, CloseTryLater)
	s.dropParts(c)
	return d
}

func (s *session) lastWord(c *conn.Conn, code Code) time.Duration {
	if !s.canSend(c) || s.sendClose(c, code, "") != nil {
		return 0
	}
	s.phase = closeSent
	return min(s.opts.closeTimeout(), lingerTime)
}
