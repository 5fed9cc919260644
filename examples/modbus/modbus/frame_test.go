package modbus

import (
	"bytes"
	"slices"
	"testing"
)

// Frames that other implementations print in their documents.
func TestCRC(t *testing.T) {
	for _, frame := range [][]byte{
		{0x01, 0x04, 0x02, 0xff, 0xff, 0xb8, 0x80}, {0x11, 0x03, 0x00, 0x6b, 0x00, 0x03, 0x76, 0x87},
		{0x02, 0x07, 0x41, 0x12}, // Line, appendix B
	} {
		n := len(frame) - 2
		if got := appendRTU(nil, frame[0], frame[1:n]); !bytes.Equal(got, frame) {
			t.Errorf("% x, want % x", got, frame)
		}
	}
}

// Whatever comes, findRTU finds a reply that is there, reads nothing out of bounds and throws no
// beginning away.
func FuzzFindRTU(f *testing.F) {
	request := []byte{3, 0, 0, 0, 3}
	f.Add([]byte{7, 3, 6, 0, 0}, uint8(0))
	f.Add(appendRTU(nil, 7, []byte{0x83, 2}), uint8(1))
	f.Add(bytes.Repeat([]byte{7, 3, 6}, 30), uint8(2))
	f.Fuzz(func(t *testing.T, noise []byte, fn uint8) {
		request := slices.Clone(request)
		request[0] = []byte{1, 2, 3, 4, 5, 6, 15, 16}[fn%8]
		reply := make([]byte, replySize(request))
		reply[0] = request[0]
		if request[0] <= 4 {
			reply[1] = byte(len(reply) - 2)
		} else {
			copy(reply, request)
		}
		if pdu, n := findRTU(noise, 7, request); pdu == nil && (n < 0 || n > len(noise)) {
			t.Fatalf("useless %d of %d", n, len(noise))
		} else if pdu != nil {
			parseReply(request, pdu)
			return // the fuzzer has made a checksum
		}
		whole := appendRTU(slices.Clone(noise), 7, reply)
		var b []byte // as the master has it
		for _, c := range whole {
			b = append(b, c)
			pdu, useless := findRTU(b, 7, request)
			if pdu != nil {
				if _, err := parseReply(request, pdu); err != nil && !bytes.Equal(pdu, reply) {
					return
				}
				return
			}
			b = b[useless:]
		}
		t.Fatalf("the reply after % x was not found", noise)
	})
}

func FuzzParseTCP(f *testing.F) {
	f.Add(appendTCP(nil, 1, 7, []byte{3, 2, 0, 1}))
	f.Add([]byte("HTTP/1.1 200 OK\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, unit, pdu, n, err := parseTCP(b)
		if err != nil {
			return
		}
		if n > 0 {
			if got := appendTCP(nil, id, unit, pdu); !bytes.Equal(got, b[:n]) {
				t.Fatalf("% x became % x", b[:n], got)
			}
			for _, fn := range []byte{1, 2, 3, 4, 5, 6, 15, 16} {
				parseReply([]byte{fn, 0, 0, 0, 3}, pdu)
			}
		}
		for i := range b[:min(len(b), maxTCP)] { // less of it is no other frame
			_, _, _, m, err := parseTCP(b[:i])
			if m != 0 && m != n || err != nil {
				t.Fatalf("%d bytes: %d, %v", i, m, err)
			}
		}
	})
}
