package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// side is the suite's end of a connection.
type side struct {
	net.Conn
	r      *bufio.Reader
	masked bool // it is the client's end
}

// wire returns f as it is sent.
func (s *side) wire(b []byte, f frame) []byte {
	mask := byte(0)
	if s.masked {
		mask = 0x80
	}
	b = append(b, f.first)
	switch n := len(f.payload); {
	case n <= 125:
		b = append(b, mask|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(n))
	}
	if !s.masked {
		return append(b, f.payload...)
	}
	key := [4]byte{0x12, 0x34, 0x56, 0x78}
	b = append(b, key[:]...)
	at := len(b)
	b = append(b, f.payload...)
	for i := range b[at:] {
		b[at+i] ^= key[i&3]
	}
	return b
}

// read returns the next frame that comes.
func (s *side) read() (frame, error) {
	var head [14]byte
	if _, err := io.ReadFull(s.r, head[:2]); err != nil {
		return frame{}, err
	}
	first := head[0]
	if masked := head[1]&0x80 != 0; masked == s.masked {
		return frame{}, fmt.Errorf("a frame with masked=%v", masked)
	}
	n := uint64(head[1] & 0x7f)
	switch n {
	case 126:
		io.ReadFull(s.r, head[:2])
		n = uint64(binary.BigEndian.Uint16(head[:]))
	case 127:
		io.ReadFull(s.r, head[:8])
		n = binary.BigEndian.Uint64(head[:])
	}
	var key [4]byte
	if !s.masked {
		io.ReadFull(s.r, key[:])
	}
	if n > 64<<20 {
		return frame{}, fmt.Errorf("a frame of %d bytes", n)
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(s.r, p); err != nil {
		return frame{}, err
	}
	if !s.masked {
		for i := range p {
			p[i] ^= key[i&3]
		}
	}
	return frame{first, string(p)}, nil
}

// run plays a case, to the end of the connection.
func (s *side) run(tc suiteCase) error {
	s.SetDeadline(time.Now().Add(60 * time.Second))
	var b []byte
	for _, f := range tc.send {
		b = s.wire(b, f)
	}
	closes := slices.ContainsFunc(tc.send, func(f frame) bool { return f.first == closed })
	if !tc.fails && !closes {
		b = s.wire(b, frame{closed, status(1000, "")})
		closes = true
	}
	b = b[:len(b)-tc.rest]
	go func() { // errors show in what is read
		chop := tc.chop
		if chop == 0 {
			chop = len(b)
		}
		for p := range slices.Chunk(b, max(chop, 1)) {
			if _, err := s.Write(p); err != nil {
				return
			}
		}
	}()
	for i := 0; ; i++ {
		got, err := s.read()
		if err != nil {
			return fmt.Errorf("frame %d: %w", i, err)
		}
		if got.first == closed {
			if i != len(tc.want) {
				return fmt.Errorf("%d frames of %d came before the Close frame %q", i, len(tc.want), got.payload)
			}
			return s.end(tc, got)
		}
		if i >= len(tc.want) || got != tc.want[i] {
			return fmt.Errorf("frame %d is %#x, %d bytes, %.60q", i, got.first, len(got.payload), got.payload)
		}
	}
}

// end checks the Close frame, and that it is the server who ends TCP (RFC 6455 §7.1.1), without a
// reset.
func (s *side) end(tc suiteCase, f frame) error {
	code := 0
	if len(f.payload) >= 2 {
		code = int(binary.BigEndian.Uint16([]byte(f.payload)))
	}
	if code != tc.code || len(f.payload) == 1 {
		return fmt.Errorf("closed with %d, %q", code, f.payload)
	}
	if !s.masked {
		if tc.fails { // the client began it
			s.Write(s.wire(nil, frame{closed, status(code, "")}))
		}
		s.Conn.(stream).CloseWrite()
	}
	if rest, err := io.ReadAll(s.r); err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return fmt.Errorf("behind the Close frame: %q, %v", rest, err)
	}
	return nil
}
