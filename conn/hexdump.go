package conn

import (
	"encoding/hex"
	"fmt"
	"io"
)

// SetHexdump writes all traffic of the connection to w as a hexdump, for debugging, but for the
// files that the kernel sends by itself (SendFile); nil ends that. w is called on the loop's
// goroutine.
func (c *Conn) SetHexdump(w io.Writer) {
	c.check("SetHexdump")
	if w == nil {
		c.flags &^= tracing
		return
	}
	c.rarely().dump = func(way string, p []byte) { // a func, so that only programs that call SetHexdump link package hex
		fmt.Fprintf(w, "%d %s %d\n%s", c.id, way, len(p), hex.Dump(p))
	}
	c.flags |= tracing
}

func (c *Conn) dump(way string, p []byte) { c.rare.dump(way, p) }

// dumpAll dumps the first n bytes of pieces.
func (c *Conn) dumpAll(way string, pieces [][]byte, n int) {
	for _, p := range pieces {
		if n == 0 {
			return
		}
		p = p[:min(n, len(p))]
		c.dump(way, p)
		n -= len(p)
	}
}
