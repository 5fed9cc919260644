package handoff

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The two processes send frames: a kind, how many descriptors came with the first byte, the length
// of the payload, and the payload.
//
//	offset 0  kind
//	       1  descriptors
//	       2  length, 4 bytes, big-endian
const frameHeader = 6

// maxPayload bounds a frame: a move with unread input is the largest.
const maxPayload = 1 << 20

// version is that of the frames. A process refuses another one.
const version = 1

type kind byte

const (
	// From the new process.
	kindHello   kind = 'H' // version, magic
	kindReady   kind = 'R' // flags, then the places of the listeners that it has taken
	kindTaken   kind = 'T' // the number of a connection: it is the new process's now
	kindRefused kind = 'X' // the number of a connection: the old process keeps it
	kindHeir    kind = 'E' // flags: whether the new process has a successor of its own

	// From the old process.
	kindListener kind = 'L' // an address; one descriptor
	kindElder    kind = 'P' // the process before the old one still finishes: if the old one dies, that one serves
	kindOffered  kind = 'O' // those were all listeners
	kindGo       kind = 'G' // the new process serves from now on
	kindAbort    kind = 'A' // why the old process goes on serving, and the new one must not
	kindMove     kind = 'M' // a record; one descriptor
)

const magic = "mangusta handoff"

const (
	readyMoves = 1 // in the flags of kindReady: connections may move
	heirServes = 1 // in the flags of kindHeir: the successor serves, or is about to
)

var (
	errFrame   = errors.New("handoff: malformed frame")
	errVersion = errors.New("handoff: the other process speaks another version of the protocol")
)

// appendFrame appends a frame to b.
func appendFrame(b []byte, k kind, files int, payload []byte) []byte {
	b = append(b, byte(k), byte(files))
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(b, payload...)
}

// frame is one that has come.
type frame struct {
	kind    kind
	files   int
	payload []byte
}

// parseFrame reads the frame at the beginning of b; n is 0 if more bytes are needed.
func parseFrame(b []byte) (f frame, n int, err error) {
	if len(b) < frameHeader {
		return f, 0, nil
	}
	size := binary.BigEndian.Uint32(b[2:])
	f = frame{kind: kind(b[0]), files: int(b[1])}
	wants := 0
	if f.kind == kindListener || f.kind == kindMove {
		wants = 1
	}
	switch {
	case size > maxPayload || f.files != wants:
		return f, 0, errFrame
	case len(b) < frameHeader+int(size):
		return f, 0, nil
	}
	f.payload = b[frameHeader : frameHeader+int(size)]
	return f, frameHeader + int(size), nil
}

// hello is the payload of kindHello.
func hello() []byte { return append([]byte{version}, magic...) }

func checkHello(p []byte) error {
	switch {
	case len(p) != 1+len(magic) || string(p[1:]) != magic:
		return errFrame
	case p[0] != version:
		return fmt.Errorf("%w: %d, not %d", errVersion, p[0], version)
	}
	return nil
}

// record is a connection that moves.
type record struct {
	id       uint64 // in the process that it comes from
	listener string // the address of the listener that accepted it
	kind     string
	state    []byte
	user     []byte // from Options.Save
	remote   string // the peer's address and port; "" for a unix socket
	input    []byte // read, and not used
}

const recordVersion = 1

func (r *record) append(b []byte) []byte {
	b = append(b, recordVersion)
	b = binary.AppendUvarint(b, r.id)
	for _, s := range []string{r.listener, r.kind, string(r.state), string(r.user), r.remote, string(r.input)} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

// parseRecord reads what append has written. id is set if only the rest cannot be understood.
func parseRecord(b []byte) (r record, err error) {
	if len(b) == 0 {
		return r, errFrame
	}
	v := b[0]
	id, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return r, errFrame
	}
	r.id, b = id, b[1+n:]
	if v != recordVersion {
		return r, errVersion
	}
	var fields [6][]byte
	for i := range fields {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return r, errFrame
		}
		fields[i], b = b[n:n+int(size):n+int(size)], b[n+int(size):]
	}
	if len(b) > 0 {
		return r, errFrame
	}
	r.listener, r.kind, r.state, r.user = string(fields[0]), string(fields[1]), fields[2], fields[3]
	r.remote, r.input = string(fields[4]), fields[5]
	return r, nil
}

func number(id uint64) []byte { return binary.AppendUvarint(nil, id) }

func parseNumber(p []byte) (uint64, error) {
	id, n := binary.Uvarint(p)
	if n <= 0 || n != len(p) {
		return 0, errFrame
	}
	return id, nil
}
