package http

import (
	"errors"
	"fmt"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// A Decompressor takes a content coding off responses; package http/gzip has one. It belongs to the
// loop of the client.
type Decompressor interface {
	// Coding is the name of the content coding, such as "gzip".
	Coding() string
	// BeginDecoding begins a body.
	BeginDecoding() Decoder
}

// A Decoder takes the coding off one body.
type Decoder interface {
	// Decode decodes the beginning of p and appends what it gives to dst, up to the capacity of
	// dst. It returns dst, and how many bytes of p it has used: all of them, unless dst is full.
	Decode(dst, p []byte) (out []byte, used int, err error)
	// End returns an error if the coding is not complete after the last byte.
	End() error
	// Drop is called last, once.
	Drop()
}

// ErrBadCoding is wrapped by the error about a response whose content coding is malformed.
var ErrBadCoding = errors.New("http: the coding of the response is malformed")

// beginDecoding prepares for a body in the coding of Options.Decompress.
func (k *clientConn) beginDecoding() {
	a := k.first
	if !a.decodes || k.f.End == wire.NoBody || k.f.End == wire.ByLength && k.f.Length == 0 || k.p.Status == 206 {
		return
	}
	d := k.side.opts.Decompress
	head := ResponseHead{b: k.c.Recv.Bytes(), spans: k.p.Fields[:k.nspans]}
	if v, n := head.only("Content-Encoding"); n == 1 && wire.FoldEqual(v, d.Coding()) {
		a.dec = d.BeginDecoding()
	}
}

// decodeRoom is how much is decoded at a time.
const decodeRoom = 32 << 10

// decodeWhole returns the whole body p without its coding, valid until the next call. It reports
// false after an error, which has ended the connection.
func (k *clientConn) decodeWhole(p []byte) ([]byte, bool) {
	d, out := k.first.dec, k.side.room[:0]
	if cap(out) == 0 {
		out = make([]byte, 0, decodeRoom)
	}
	for len(p) > 0 {
		if len(out) == cap(out) {
			if int64(len(out)) > k.maxBody() {
				break
			}
			out = append(out, 0)[:len(out)]
		}
		var used int
		var err error
		if out, used, err = d.Decode(out, p); err != nil {
			k.badCoding(err)
			return nil, false
		}
		p = p[used:]
	}
	if k.side.room = out; cap(out) > 2*decodeRoom {
		k.side.room = nil
	}
	if int64(len(out)) > k.maxBody() {
		k.longBody()
		return nil, false
	}
	if err := d.End(); err != nil {
		k.badCoding(err)
		return nil, false
	}
	return out, true
}

func (k *clientConn) badCoding(err error) {
	k.fail(conn.Protocol, fmt.Errorf("%w: %w", ErrBadCoding, err))
}

// passDecoded hands on what a piece of a body decodes to. If the program pauses the connection, the
// rest of the piece stays in c.Recv, so that it comes again: a few bytes may decode to many.
func (k *clientConn) passDecoded() result {
	a := k.first
	if cap(k.side.room) < decodeRoom {
		k.side.room = make([]byte, 0, decodeRoom)
	}
	for more := true; more; {
		p := k.c.Recv.Bytes()[k.fed:k.coded]
		out, used, err := a.dec.Decode(k.side.room[:0], p)
		if err != nil {
			k.badCoding(err)
			return wait
		}
		k.fed += used
		more = used < len(p) || len(out) == cap(out)
		if len(out) > 0 && !k.hand(out, false) {
			return wait
		}
		if (more || k.codedLast) && k.coded > 0 && k.c.Layer().Stopped() {
			return wait
		}
	}
	k.c.Recv.Discard(k.coded)
	k.decoding, k.coded, k.fed = false, 0, 0
	if !k.codedLast {
		return again
	}
	if err := a.dec.End(); err != nil {
		k.badCoding(err)
		return wait
	}
	if !k.hand(nil, true) {
		return wait
	}
	return k.finishStream()
}
