package tlsconn

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// crypto/tls never gives back the buffers of a connection that records and handshake messages are
// put together in: 4 KB after a handshake, 18 KB after one large record. Compact drops them while
// they are empty, together with the reader of the last plaintext, which lies in one of them. They
// are fields without an exported name, so their offsets are looked up when the program starts; if a
// field of this name and type is not there, nothing is dropped.

// A field says where one lies in a tls.Conn.
type field struct {
	offset uintptr
	found  bool
}

func find(name string, is reflect.Type) field {
	t := reflect.TypeFor[tls.Conn]()
	for i := range t.NumField() { // FieldByName, which knows embedded fields, is 7 KB
		if f := t.Field(i); f.Name == name {
			return field{f.Offset, f.Type == is}
		}
	}
	return field{}
}

var (
	rawInput = find("rawInput", reflect.TypeFor[bytes.Buffer]())
	hand     = find("hand", reflect.TypeFor[bytes.Buffer]())
	input    = find("input", reflect.TypeFor[bytes.Reader]())

	known = rawInput.found && hand.found && input.found
)

// bufferOf returns the buffer f of t.
func bufferOf(t *tls.Conn, f field) *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(t), f.offset))
}

// inputOf returns the reader of the last plaintext.
func inputOf(t *tls.Conn) *bytes.Reader {
	return (*bytes.Reader)(unsafe.Add(unsafe.Pointer(t), input.offset))
}

// compact drops what crypto/tls holds for nothing. It is called while no other goroutine uses the
// tls.Conn, and nothing of its input is unread. bytes.Buffer makes 576 bytes for a small record:
// dropping those each time is an allocation for each burst of records, which costs a short request
// 1.5 % of its processor time.
func (l *layer) compact() {
	if !l.side.compact || !known {
		return
	}
	in := inputOf(l.tls)
	if in.Len() > 0 {
		return
	}
	*in = bytes.Reader{}
	for _, f := range [...]field{rawInput, hand} {
		if b := bufferOf(l.tls, f); b.Len() == 0 {
			*b = bytes.Buffer{}
		}
	}
}
