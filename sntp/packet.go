package sntp

import (
	"encoding/binary"
	"errors"
	"time"
)

// Timestamp is an NTP timestamp (RFC 4330 §3): seconds since 1900 in the upper 32 bits, and a
// fraction in the lower. Zero means unknown. The seconds begin anew in 2036: Time takes those
// without their highest bit for later than that.
type Timestamp uint64

// epoch is 1970 in seconds since 1900.
const epoch = 2208988800

// TimestampOf returns t as a Timestamp.
func TimestampOf(t time.Time) Timestamp {
	return Timestamp(uint64(t.Unix()+epoch)<<32 | uint64(t.Nanosecond())<<32/1e9)
}

// Time returns the time between 1968 and 2104 that t stands for.
func (t Timestamp) Time() time.Time {
	s := int64(t >> 32)
	if s&(1<<31) == 0 {
		s += 1 << 32
	}
	return time.Unix(s-epoch, int64((t&(1<<32-1))*1e9>>32))
}

// A Packet is an NTP message without extensions (RFC 4330 §4).
type Packet struct {
	Leap           uint8 // 3: the server's clock is not synchronized
	Version        uint8
	Mode           uint8 // 3: a client, 4: a server
	Stratum        uint8 // 0: a kiss-o'-death; 1: a primary server; 16 and more: not synchronized
	Poll           int8  // log2 of the seconds between questions
	Precision      int8  // log2 of the seconds that the clock can tell apart
	RootDelay      time.Duration
	RootDispersion time.Duration
	RefID          [4]byte // of stratum 0 and 1, letters
	Reference      Timestamp
	Originate      Timestamp // the Transmit of the question
	Receive        Timestamp
	Transmit       Timestamp
}

// PacketSize is the size of a Packet in bytes. What follows it is extensions and authentication,
// which Parse leaves out.
const PacketSize = 48

var errShort = errors.New("sntp: less than 48 bytes")

// Parse reads a Packet from the beginning of b. It checks nothing but the length: see Packet.Check.
func Parse(b []byte) (p Packet, err error) {
	if len(b) < PacketSize {
		return p, errShort
	}
	return Packet{
		Leap: b[0] >> 6, Version: b[0] >> 3 & 7, Mode: b[0] & 7,
		Stratum: b[1], Poll: int8(b[2]), Precision: int8(b[3]),
		RootDelay: short(b[4:]), RootDispersion: short(b[8:]), RefID: [4]byte(b[12:]),
		Reference: stamp(b[16:]), Originate: stamp(b[24:]), Receive: stamp(b[32:]), Transmit: stamp(b[40:]),
	}, nil
}

func stamp(b []byte) Timestamp { return Timestamp(binary.BigEndian.Uint64(b)) }

// short reads 16 bits of seconds and 16 of a fraction.
func short(b []byte) time.Duration {
	return time.Duration(uint64(binary.BigEndian.Uint32(b)) * 1e9 >> 16)
}

// Append appends the 48 bytes of p to b.
func (p *Packet) Append(b []byte) []byte {
	b = append(b, p.Leap<<6|p.Version&7<<3|p.Mode&7, p.Stratum, byte(p.Poll), byte(p.Precision))
	b = appendShort(b, p.RootDelay)
	b = appendShort(b, p.RootDispersion)
	b = append(b, p.RefID[:]...)
	for _, t := range [...]Timestamp{p.Reference, p.Originate, p.Receive, p.Transmit} {
		b = binary.BigEndian.AppendUint64(b, uint64(t))
	}
	return b
}

func appendShort(b []byte, d time.Duration) []byte {
	d = min(max(d, 0), 1<<16*time.Second-1)
	return binary.BigEndian.AppendUint32(b, uint32((uint64(d)<<16+1e9-1)/1e9)) // rounded up, so that Parse gives it back
}
