package conn

// Fits reports whether n more bytes may be queued: a Write is taken while less than Limits.Send is
// queued, so one message may go past that. It changes nothing; see Reserve.
func (l *Layer) Fits(n int) bool { return (*Conn)(l).fits(n) }

// Reserve is for a message of n bytes that takes several Writes: after it they are all taken, in
// this turn. When the message has no room it does what a Write would do, and returns the same
// errors; nothing is queued then.
func (l *Layer) Reserve(n int) error {
	c := (*Conn)(l)
	if err := c.admit(n); err != nil || n == 0 {
		return err
	}
	q := c.ownQueue()
	q.upTo = q.size + n
	c.touch() // to be taken back if no Write follows
	return nil
}

// fits is Fits.
func (c *Conn) fits(n int) bool {
	q := c.out
	return q == nil || q.size < c.limits.Send || n == 0 || q.size+n <= q.upTo
}

// admit says why n bytes cannot be queued.
func (c *Conn) admit(n int) error {
	c.check("Write")
	switch {
	case c.state != open || c.flags&shutWrite != 0:
		return ErrClosed
	case c.fits(n):
		return nil
	case c.limits.OnFull == CloseOnFull:
		c.fail(SendLimit, ErrSendLimit)
	default:
		c.sh.Stats.Rejected++
	}
	return ErrSendLimit
}
