package modbus

import "encoding/binary"

// crc16 is the checksum of RTU (Line §6.2.2), whose low byte goes first.
func crc16(b []byte) uint16 {
	crc := uint16(0xffff)
	for _, c := range b {
		crc = crc>>8 ^ crcTable[byte(crc)^c]
	}
	return crc
}

var crcTable = func() (t [256]uint16) {
	for i := range t {
		c := uint16(i)
		for range 8 {
			if c&1 != 0 {
				c = c>>1 ^ 0xa001
			} else {
				c >>= 1
			}
		}
		t[i] = c
	}
	return t
}()

// maxRTU is the longest frame of RTU (Line §2.5.1.1).
const maxRTU = 256

// appendRTU appends the frame of a PDU to or from a unit.
func appendRTU(b []byte, unit byte, pdu []byte) []byte {
	at := len(b)
	b = append(append(b, unit), pdu...)
	return binary.LittleEndian.AppendUint16(b, crc16(b[at:]))
}

// findRTU looks in b for the reply of unit to request. It returns the PDU of the reply and where its
// frame ends, or nil and how many bytes at the beginning of b can be no part of one.
//
// Each offset may be the beginning: that of a reply, as long as the request calls for, or that of an
// exception. One that is not whole yet may become one, and so keeps all that follows it; meanwhile
// a whole one that begins later counts.
func findRTU(b []byte, unit byte, request []byte) (reply []byte, n int) {
	size := replySize(request)
	useless := -1
	for i, c := range b {
		if c != unit {
			continue
		}
		open := len(b)-i < 2
		if !open {
			n := 0
			switch b[i+1] {
			case request[0]:
				n = size
				if len(b)-i > 2 && request[0] <= readInput && int(b[i+2]) != size-2 {
					n = 0
				}
			case request[0] | failed:
				n = 2
			}
			switch {
			case n == 0:
			case len(b)-i < n+3:
				open = true
			case crc16(b[i:i+n+1]) == binary.LittleEndian.Uint16(b[i+n+1:]):
				return b[i+1 : i+n+1], i + n + 3
			}
		}
		if open && useless < 0 {
			useless = i
		}
	}
	if useless < 0 {
		useless = len(b)
	}
	return nil, useless
}

// maxTCP is the longest frame of TCP (TCP §3.1.3): the header and a PDU of 253 bytes.
const (
	mbap   = 7
	maxTCP = mbap + 253
)

// appendTCP appends the frame of a PDU.
func appendTCP(b []byte, id uint16, unit byte, pdu []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(pdu)+1))
	return append(append(b, unit), pdu...)
}

// parseTCP takes the first frame off b. n is its length, 0 if it is not whole. After an error the
// stream cannot be followed any further.
func parseTCP(b []byte) (id uint16, unit byte, pdu []byte, n int, err error) {
	if len(b) >= 4 && binary.BigEndian.Uint16(b[2:]) != 0 {
		return 0, 0, nil, 0, errFrame
	}
	if len(b) < 6 {
		return 0, 0, nil, 0, nil
	}
	size := int(binary.BigEndian.Uint16(b[4:])) // of the unit and the PDU, which has a byte or more
	if size < 2 || 6+size > maxTCP {
		return 0, 0, nil, 0, errFrame
	}
	if len(b) < 6+size {
		return 0, 0, nil, 0, nil
	}
	return binary.BigEndian.Uint16(b), b[6], b[mbap : 6+size], 6 + size, nil
}
