package dns

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// RFC 6762 §18: all bits of the head but QR, TC, the opcode and the response code are passed over.
func TestHeadsOfMulticastMessages(t *testing.T) {
	for bit := range 16 {
		b := make([]byte, 12)
		binary.BigEndian.PutUint16(b[2:], 1<<bit)
		p, err := readPacket(b)
		if refused := bit < 4 || bit >= 11 && bit < 15; (err != nil) != refused || err == nil && (p.response != (bit == 15) || p.more != (bit == 9)) {
			t.Errorf("bit %d: %+v, %v", bit, p, err)
		}
	}
	if _, err := readPacket(make([]byte, 11)); err == nil {
		t.Error("11 bytes are a message")
	}
}

// A question has the answers that are known on its interface for at least half of their time (RFC
// 6762 §7.1), in as many messages as it takes (§7.2).
func TestKnownAnswers(t *testing.T) {
	const now = int64(time.Hour)
	name := nameOf("_x._tcp.local")
	know := func(target string, on int, kind uint16, left time.Duration) *heard {
		return &heard{record: record{name, kind, true, 120, string(nameOf(target)) + "\x00"}, on: on, expires: now + int64(left)}
	}
	known := []*heard{
		know("fresh.local", 2, kindPTR, 119*time.Second), know("half.local", 2, kindPTR, 60*time.Second), know("more.local", 2, kindPTR, 61*time.Second),
		know("over.local", 2, kindPTR, -time.Second), know("elsewhere.local", 1, kindPTR, 119*time.Second), know("other.local", 2, kindTXT, 119*time.Second),
	}
	read := func(list [][]byte) (got []string) {
		for i, b := range list {
			p, err := readPacket(b)
			if err != nil || len(b) > packetMost || p.more != (i < len(list)-1) || len(p.asked) != max(0, 1-i) {
				t.Fatalf("message %d of %d, of %d bytes: %+v, %v", i, len(list), len(b), p, err)
			}
			for _, r := range p.answers {
				got = append(got, fmt.Sprint(r.ttl, r.flush, " ", len(r.data)))
			}
		}
		return got
	}
	q := asked{name: name, kind: kindPTR}
	if got, want := read(askFor(q, known, 2, now)), []string{"119 false 13", "61 false 12"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	known = nil
	for i := range 200 {
		known = append(known, know(fmt.Sprintf("%d%s.local", i, strings.Repeat("x", i%60)), 2, kindPTR, 100*time.Second))
	}
	if list := askFor(q, known, 2, now); len(list) < 2 || len(read(list)) != 200 {
		t.Errorf("%d messages with %d answers", len(list), len(read(list)))
	}
}
