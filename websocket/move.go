package websocket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4930a636/mangusta/conn"
)

// MoveKind is the kind of WebSockets that move to another process: see conn.Mover and Restore.
const MoveKind = "websocket"

const moveVersion = 1

// Move implements conn.Mover. A WebSocket of a server moves between two messages, unless its
// compression remembers earlier messages.
func (s *session) Move(c *conn.Conn) (kind string, state []byte, when conn.Movable) {
	switch {
	case s.keys != nil || s.phase != running || s.agreed != nil && s.agreed.Again == "":
		return MoveKind, nil, conn.MoveNever
	case s.part != nil || s.done > 0 || s.op != 0 || s.writing:
		return MoveKind, nil, conn.MoveLater
	}
	protocol, again := "", ""
	if s.protocol > 0 {
		protocol = s.opts.Protocols[s.protocol-1]
	}
	if s.agreed != nil {
		again = s.agreed.Again
	}
	state = appendString([]byte{moveVersion}, protocol)
	return MoveKind, appendString(state, again), conn.MoveNow
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func cutString(b []byte) (s string, rest []byte, ok bool) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return "", nil, false
	}
	return string(b[k : k+int(n)]), b[k+int(n):], true
}

var errMoveState = errors.New("websocket: restore: the state is of another version, or malformed")

// Restore makes a WebSocket of a connection that has come from another process, where it was one.
// state is what the layer gave there (MoveKind). opts are as for Upgrade; they must have the
// subprotocol of the WebSocket, and compress if that does. Restore fires *Open, with Moved set,
// before it returns. After an error the connection cannot go on: fail it.
//
// Limits and the timeouts of opts count anew.
func Restore(c *conn.Conn, state []byte, opts *Options) error {
	if opts == nil {
		opts = &defaults
	}
	if len(state) == 0 || state[0] != moveVersion {
		return errMoveState
	}
	protocol, rest, ok := cutString(state[1:])
	again, rest, ok2 := cutString(rest)
	if !ok || !ok2 || len(rest) > 0 {
		return errMoveState
	}
	at := slices.Index(opts.Protocols, protocol)
	if protocol != "" && at < 0 {
		return fmt.Errorf("websocket: restore: the subprotocol %q is not among Options.Protocols", protocol)
	}
	var agreed *Agreement
	if again != "" {
		if opts.Compress == nil {
			return errors.New("websocket: restore: the WebSocket is compressed, and Options.Compress is nil")
		}
		if _, agreed = opts.Compress.Accept(nil, Parameters(again)); agreed == nil || agreed.Again == "" {
			return errors.New("websocket: restore: Options.Compress cannot go on with the compression of the WebSocket")
		}
	}
	c.Layer().SetDeadline(0)
	c.SetHalfOpen(false)
	c.SetProtocol(nil, nil)
	begin(c, opts)
	s := of(c)
	s.agreed, s.protocol = agreed, uint8(at+1)
	c.Layer().Emit(&Open{Protocol: protocol, Moved: true})
	return nil
}
