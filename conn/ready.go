package conn

import "errors"

// NewReady makes the object of a descriptor of which only readiness is told (Manager.Watch): no
// byte is read from it or written to it, and it is not closed. what says which readiness.
func NewReady(sh *Shared, fd int, id uint64, what Interest, limits *Limits, h Handler) *Conn {
	c := New(sh, fd, id, notOurs{}, limits, h)
	c.flags |= noStream | shutWrite | wroteAll // Writes return ErrClosed
	c.rarely().ready = what
	return c
}

// IsReadyOnly reports whether c comes from Manager.Watch: its only news is Ready.
func (c *Conn) IsReadyOnly() bool { return c.flags&noStream != 0 && c.rare.grams == nil }

// ready fires Ready if the descriptor is watched for some of got. Of a datagram socket it reads.
func (c *Conn) ready(got Interest) {
	if c.rare.grams != nil {
		c.rare.grams.paths.ready(c, got)
		return
	}
	if got &= c.interest(); got != 0 {
		c.lastActive = c.sh.Now
		c.sh.evReady = Ready{In: got&In != 0, Out: got&Out != 0, Pri: got&Pri != 0}
		c.fire(&c.sh.evReady)
	}
}

// notOurs is the Transport of a descriptor that belongs to other code.
type notOurs struct{}

var errNotOurs = errors.New("conn: the descriptor is only watched")

func (notOurs) Read(int, []byte) (int, error)     { return 0, errNotOurs }
func (notOurs) Write(int, []byte) (int, error)    { return 0, errNotOurs }
func (notOurs) Writev(int, [][]byte) (int, error) { return 0, errNotOurs }
func (notOurs) CloseWrite(int) error              { return errNotOurs }
func (notOurs) Close(int) error                   { return nil }
