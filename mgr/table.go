package mgr

import "github.com/seed4930a636/mangusta/conn"

// A table holds the connections of a manager, listeners among them. Each has a slot, from newID on
// until it is removed. The number of the slot is part of the connection's ID, so an ID leads to its
// connection without a map; a connection that has no descriptor yet has a slot too. The slots that
// are taken lie close together, whatever descriptors the program has otherwise.
//
// The managers of a Loops divide the numbers of slots among them: the lowest bits name the loop, so
// that an ID leads to its loop too.
type table struct {
	loop int  // the number of the loop
	bits uint // how many bits it takes; 0 for a manager that stands alone

	conns []*conn.Conn // by slot
	free  []int32      // slots to be used again, the last one first
	byFD  []int32      // by descriptor: the slot plus 1, and 0 for a descriptor that is not the manager's
}

// newID takes a slot, and returns an ID that leads there. place comes next.
func (t *table) newID() uint64 {
	slot := len(t.conns)
	if n := len(t.free); n > 0 {
		slot = int(t.free[n-1])
		t.free = t.free[:n-1]
	} else {
		t.conns = append(t.conns, nil)
	}
	return conn.NewID(slot<<t.bits | t.loop)
}

// slotOf returns the slot of id in this table.
func (t *table) slotOf(id uint64) int { return conn.SlotOfID(id) >> t.bits }

// place puts c into the slot of its ID, and under its descriptor if it has one. It returns the
// connection that had the same descriptor before, or nil.
func (t *table) place(c *conn.Conn) (old *conn.Conn) {
	t.conns[t.slotOf(c.ID())] = c
	fd := c.FD()
	if fd < 0 {
		return nil
	}
	if n := fd + 1 - len(t.byFD); n > 0 {
		t.byFD = append(t.byFD, make([]int32, n)...)
	}
	old = t.at(fd)
	t.byFD[fd] = int32(t.slotOf(c.ID()) + 1)
	return old
}

// take takes c out. Its slot is free after that.
func (t *table) take(c *conn.Conn) {
	slot := t.slotOf(c.ID())
	if fd := c.FD(); fd >= 0 && t.byFD[fd] == int32(slot+1) { // else the descriptor belongs to another by now
		t.byFD[fd] = 0
	}
	t.conns[slot] = nil
	t.free = append(t.free, int32(slot))
}

// at returns the connection on fd, or nil.
func (t *table) at(fd int) *conn.Conn {
	if uint(fd) >= uint(len(t.byFD)) || t.byFD[fd] == 0 {
		return nil
	}
	return t.conns[t.byFD[fd]-1]
}

// numbered returns the connection numbered id, or nil when it is gone.
func (t *table) numbered(id uint64) *conn.Conn {
	slot := t.slotOf(id)
	if slot >= len(t.conns) {
		return nil
	}
	if c := t.conns[slot]; c != nil && c.ID() == id {
		return c
	}
	return nil
}
