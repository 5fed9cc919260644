package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// payload returns n bytes of text that compresses about as well as a dashboard's JSON.
func payload(n int) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, `{"sensor":%d,"celsius":%d.%d,"humidity":%d},`, i, 20+i%7, i*37%100, 40+i*13%50)
	}
	return b[:n]
}

// frame returns a client's text message in one frame (RFC 6455 §5.2), compressed for itself (RFC
// 7692 §7.2.1) if so asked.
func frame(p []byte, deflated bool) []byte {
	if deflated {
		return appendFrame(nil, 0xc1, deflate(p))
	}
	return appendFrame(nil, 0x81, p)
}

// fragments returns a client's text message in frames of up to n bytes (RFC 6455 §5.4).
func fragments(p []byte, n int) []byte {
	var b []byte
	first := byte(0x01)
	for ; len(p) > n; p = p[n:] {
		b = appendFrame(b, first, p[:n])
		first = 0
	}
	return appendFrame(b, first|0x80, p)
}

// appendFrame appends a masked frame.
func appendFrame(b []byte, first byte, p []byte) []byte {
	b = append(b, first)
	switch n := len(p); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	b = append(b, key[:]...)
	for i, c := range p {
		b = append(b, c^key[i&3])
	}
	return b
}

var deflateTail = []byte{0, 0, 0xff, 0xff}

func deflate(p []byte) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed)
	w.Write(p)
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), deflateTail)
}

func inflate(p []byte) ([]byte, error) {
	r := flate.NewReader(io.MultiReader(bytes.NewReader(p), bytes.NewReader(deflateTail), bytes.NewReader([]byte{1, 0, 0, 0xff, 0xff})))
	return io.ReadAll(r)
}

var (
	errMasked = errors.New("the server masks its frames")
	errClosed = errors.New("the server has sent a Close frame")
)

// scanner counts a server's messages in the bytes of one connection, in whatever pieces they come.
type scanner struct {
	left  int64 // of the current frame's payload
	final bool  // the current frame ends a message
	head  [10]byte
	have  int // bytes of a cut header
}

// scan returns how many messages have ended in p.
func (s *scanner) scan(p []byte) (messages int, err error) {
	for {
		if n := min(s.left, int64(len(p))); n > 0 {
			s.left -= n
			p = p[n:]
		}
		if s.left == 0 && s.final {
			messages++
			s.final = false
		}
		if len(p) == 0 {
			return messages, nil
		}
		n, err := s.header(p)
		if err != nil {
			return messages, err
		}
		p = p[n:]
	}
}

// header takes what p has of a frame's header, and returns how much that was. When it is whole,
// left and final are set.
func (s *scanner) header(p []byte) (n int, err error) {
	if s.have == 0 && len(p) >= 2 && p[1] < 126 { // whole and short, as nearly all are
		return 2, s.begin(p[0], int64(p[1]))
	}
	n = copy(s.head[s.have:], p)
	have := s.have + n
	size := 2
	if have >= 2 {
		switch s.head[1] {
		case 126:
			size = 4
		case 127:
			size = 10
		}
	}
	if have < 2 || have < size {
		s.have = have
		return n, nil
	}
	n = size - s.have
	s.have = 0
	length := int64(s.head[1])
	switch size {
	case 4:
		length = int64(binary.BigEndian.Uint16(s.head[2:]))
	case 10:
		length = int64(binary.BigEndian.Uint64(s.head[2:]))
	}
	if s.head[1] > 127 {
		return n, errMasked
	}
	return n, s.begin(s.head[0], length)
}

// begin begins a frame. Pings and pongs are passed over.
func (s *scanner) begin(first byte, length int64) error {
	switch op := first & 0x0f; {
	case op == 8:
		return errClosed
	case op > 8:
		s.left, s.final = length, false
	default:
		s.left, s.final = length, first&0x80 != 0
	}
	return nil
}
