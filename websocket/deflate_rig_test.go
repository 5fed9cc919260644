package websocket_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/websocket"
)

const tail = "\x00\x00\xff\xff"

// codec is the other side of permessage-deflate, over compress/flate.
type codec struct {
	outKeeps, inKeeps bool // takeover for what it deflates, and what it inflates
	w                 *flate.Writer
	out               bytes.Buffer
	window            []byte // what was inflated
}

// deflate returns the payload of a compressed message.
func (z *codec) deflate(p string) string {
	if z.w == nil {
		z.w, _ = flate.NewWriter(&z.out, 6)
	}
	z.out.Reset()
	if !z.outKeeps {
		z.w.Reset(&z.out)
	}
	io.WriteString(z.w, p)
	z.w.Flush()
	return strings.TrimSuffix(z.out.String(), tail)
}

func (z *codec) inflate(p []byte) (string, error) {
	in := io.MultiReader(bytes.NewReader(p), strings.NewReader(tail+"\x01\x00\x00\xff\xff"))
	out, err := io.ReadAll(flate.NewReaderDict(in, z.window))
	if z.inKeeps {
		z.window = append(z.window, out...)
		z.window = z.window[max(0, len(z.window)-1<<15):]
	}
	return string(out), err
}

// newDeflateRig is newRig for an offer with these parameters, which is accepted.
func newDeflateRig(t testing.TB, opts *websocket.Options, offer string) *rig {
	t.Helper()
	r := newRig(t, opts, "Sec-WebSocket-Extensions: permessage-deflate"+offer)
	if websocket.Agreed(r.c) == nil {
		t.Fatal("the offer is declined")
	}
	return r
}

// messages decodes what was sent, as text; compressed messages have a star.
func (r *rig) messages(z *codec) []string {
	r.t.Helper()
	var list []string
	var message []byte
	var name string
	deflated := false
	for b := r.Wire.Sent; len(b) > 0; {
		n, head := int(b[1]), 2
		switch n {
		case 126:
			n, head = int(binary.BigEndian.Uint16(b[2:])), 4
		case 127:
			n, head = int(binary.BigEndian.Uint64(b[2:])), 10
		}
		p, first := b[head:head+n], b[0]
		b = b[head+n:]
		switch op := websocket.Op(first & 15); {
		case op == websocket.Close:
			list = append(list, fmt.Sprintf("close %d %q", binary.BigEndian.Uint16(p), p[2:]))
			continue
		case op >= websocket.Close:
			list = append(list, fmt.Sprintf("%s %s", op, short(p)))
			continue
		case op != websocket.Continuation:
			name, message, deflated = op.String(), nil, first&0x40 != 0
		case first&0x70 != 0:
			r.t.Error("a reserved bit in a continuation")
		}
		message = append(message, p...)
		if first&0x80 == 0 {
			continue
		}
		text := string(message)
		if deflated {
			var err error
			if text, err = z.inflate(message); err != nil {
				r.t.Errorf("message %d: %v", len(list), err)
			}
			name += "*"
		}
		list = append(list, fmt.Sprintf("%s %s", name, short([]byte(text))))
	}
	return list
}

// ways runs a dialogue with the pieces of in: whole, split at every byte, and byte by byte.
func ways(in []byte, run func(how string, pieces ...[]byte) bool) {
	if !run("whole", bytes.Clone(in)) {
		return
	}
	for i := 1; i < len(in); i++ {
		if !run(fmt.Sprintf("split at %d", i), bytes.Clone(in[:i]), bytes.Clone(in[i:])) {
			return
		}
	}
	each := make([][]byte, len(in))
	for i := range in {
		each[i] = []byte{in[i]}
	}
	run("byte by byte", each...)
}

// jsonOf returns n bytes of JSON such as dashboards get.
func jsonOf(n int) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, `{"id":%d,"name":"sensor-%d","value":%d.%02d,"ok":true,"unit":"kPa"},`, 1000+i*37, i%7, i*i%101, i*31%100)
	}
	return b[:n]
}
