package conn

// Movable says whether a connection can move to another process: its descriptor and a few bytes that
// describe its state, from which the layer there goes on.
type Movable uint8

const (
	MoveNever Movable = iota // its state is too much, or not to be copied: TLS, say
	MoveLater                // not now: a request is being served, a message is half there
	MoveNow                  // what is unread in Recv, and in the kernel, moves along
)

// A Mover is a protocol layer, as the state given to SetProtocol, whose connections can move to
// another process. Move names the layer, and describes the state of c for it: kind and state are
// bytes of a format that the layer versions itself. Package handoff calls it, on the loop.
type Mover interface {
	Move(c *Conn) (kind string, state []byte, when Movable)
}

// Move asks the layer whether the connection can move: see Mover. A connection without a layer, over
// TLS, or whose peer has finished sending, cannot.
func (l *Layer) Move() (kind string, state []byte, when Movable) {
	c := (*Conn)(l)
	c.check("Move")
	m, ok := l.pstate.(Mover)
	switch {
	case !ok || l.flags&(layered|listening|noStream|connecting|submits|eof|shutWrite|lost) != 0 || l.state != open:
		return "", nil, MoveNever
	}
	kind, state, when = m.Move(c)
	if when == MoveNow && (l.flags&(paused|held|congested|rationed|redeliver|blocked) != 0 || c.unsent()) {
		when = MoveLater
	}
	return kind, state, when
}
