package redis

import (
	"encoding/binary"
	"errors"

	"github.com/seed4930a636/mangusta/broadcast"
)

var errPacked = errors.New("what is retained is malformed")

// unpack makes an entry of what the scripts pack: a MessagePack array of the strings id, ID, time,
// "1" for the marker of a deleted topic, and data.
func unpack(topic, packed string) (*broadcast.Entry, error) {
	if packed == "" || packed[0] != 0x95 { // an array of five
		return nil, errPacked
	}
	rest := packed[1:]
	var fields [5]string
	for i := range fields {
		var ok bool
		if fields[i], rest, ok = unpackString(rest); !ok {
			return nil, errPacked
		}
	}
	offset, err := offsetOf(fields[0])
	if err != nil {
		return nil, err
	}
	when, err := parseTime(fields[2])
	return &broadcast.Entry{Offset: offset, Topic: topic, Data: []byte(fields[4]), Time: when, ID: fields[1], Delete: fields[3] == "1"}, err
}

// unpackString takes a string off b: fixstr, or one with a length of 8, 16 or 32 bits.
func unpackString(b string) (s, rest string, ok bool) {
	if b == "" {
		return "", "", false
	}
	n, head := 0, 1
	switch x := b[0]; {
	case x>>5 == 5:
		n = int(x & 31)
	case x >= 0xd9 && x <= 0xdb:
		head += 1 << (x - 0xd9)
		if len(b) < head {
			return "", "", false
		}
		var size [4]byte
		copy(size[4-(head-1):], b[1:head])
		n = int(binary.BigEndian.Uint32(size[:]))
	default:
		return "", "", false
	}
	if n < 0 || len(b)-head < n {
		return "", "", false
	}
	return b[head : head+n], b[head+n:], true
}
