package sntp

import (
	"bytes"
	"testing"
	"time"
)

func TestTimestamps(t *testing.T) {
	for _, s := range []string{"1970-01-01T00:00:00Z", "2026-11-29T06:00:00.123456789Z", "2036-02-07T06:28:15.999999Z", "2036-02-07T06:28:16Z",
		"2036-02-07T06:28:17Z", "2104-01-01T00:00:00Z"} {
		want, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		got := TimestampOf(want).Time()
		if d := want.Sub(got); d < 0 || d > time.Nanosecond {
			t.Errorf("%v became %v", want, got)
		}
	}
}

func TestAppendAndParseAreInverse(t *testing.T) {
	p := Packet{Leap: 1, Version: 4, Mode: 3, Stratum: 7, Poll: -3, Precision: -20, RootDelay: 125 * time.Millisecond, RootDispersion: 1500 * time.Millisecond,
		RefID: [4]byte{1, 2, 3, 4}, Reference: 5, Originate: 6, Receive: 7, Transmit: 8}
	got, err := Parse(p.Append(nil))
	if err != nil || got != p {
		t.Errorf("got %+v, %v", got, err)
	}
}

// The figures of a good answer, to the nanosecond, and the last values that are taken. a is by how
// much the server's clock was ahead when it received, b when it sent.
func TestCheck(t *testing.T) {
	const ms = time.Millisecond
	received, sent := TimestampOf(time.Unix(1.8e9, 0)), TimestampOf(time.Unix(1.8e9, 40e6))
	inside := sent.Time().Sub(received.Time())
	for _, tt := range []struct {
		a, b, offset time.Duration
	}{{0, 0, 0}, {3, 1, 2}, {1, 1, 1}, {-1, -3, -2}, {7, -4, 1}, {5, 9, 7}, {time.Hour + 1, time.Hour + 3, time.Hour + 2}} {
		p := Packet{Version: 4, Mode: 4, Stratum: 2, Originate: 9, Receive: received, Transmit: sent, RootDelay: 2 * ms, RootDispersion: 5 * ms}
		asked := received.Time().Add(-tt.a)
		took := sent.Time().Add(-tt.b).Sub(asked)
		s, err := p.Check(9, asked, took, time.Second)
		if delay := max(took-inside, 0); err != nil || s.Offset != tt.offset || s.Delay != delay || s.Distance != delay/2+6*ms || !s.At.Equal(asked.Add(took)) {
			t.Errorf("%d and %d ns ahead: %+v, %v, want an offset of %d ns", tt.a, tt.b, s, err, tt.offset)
		}
	}
	for _, tt := range []struct {
		change func(p *Packet)
		took   time.Duration
		want   error
	}{
		{func(p *Packet) {}, inside + 60*ms, nil},
		{func(p *Packet) { p.Version = 1 }, inside, nil},
		{func(p *Packet) { p.Stratum = 15 }, inside, nil},
		{func(p *Packet) { p.Stratum = 16 }, inside, ErrUnsynchronized},
		{func(p *Packet) { p.Leap = 2 }, inside, nil},
		{func(p *Packet) { p.Receive, p.Transmit = 1<<63, 1<<63+1<<30 }, 0, nil},             // a quarter of a second longer there than away
		{func(p *Packet) { p.Receive, p.Transmit = 1<<63, 1<<63+1<<30+5 }, 0, ErrTimestamps}, // and a nanosecond
	} {
		p := Packet{Version: 4, Mode: 4, Stratum: 2, Originate: 9, Receive: received, Transmit: sent}
		tt.change(&p)
		s, err := p.Check(9, received.Time(), tt.took, time.Second)
		if err != tt.want || err == nil && (s.Delay != max(tt.took-p.Transmit.Time().Sub(p.Receive.Time()), 0) || s.Stratum != int(p.Stratum) || s.Leap != int(p.Leap)) {
			t.Errorf("%+v: %+v, %v, want %v", p, s, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	p := Packet{Version: 4, Mode: 4, Stratum: 1, RefID: [4]byte([]byte("GPS\x00")), Originate: 9, Receive: 1 << 63, Transmit: 1 << 63}
	f.Add(p.Append(nil), int64(1e9), int64(1e6))
	f.Add([]byte("short"), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, sent, took int64) {
		p, err := Parse(b)
		if err != nil {
			if len(b) >= PacketSize {
				t.Errorf("%d bytes: %v", len(b), err)
			}
			return
		}
		if again := p.Append(nil); !bytes.Equal(again, b[:PacketSize]) {
			t.Errorf("%x became %x", b[:PacketSize], again)
		}
		at, d := time.Unix(0, sent), time.Duration(took&(1<<40-1))
		if _, err := p.Check(p.Originate+1, at, d, time.Second); err != ErrBogus {
			t.Errorf("another's answer: %v", err)
		}
		s, err := p.Check(p.Originate, at, d, time.Second)
		if err != nil {
			return
		}
		if s.Delay < 0 || s.Delay > d || s.Distance > time.Second || s.Stratum < 1 || s.Stratum > 15 || p.Mode != 4 || p.Leap == 3 {
			t.Errorf("%+v gives %+v", p, s)
		}
		// Both ways of reckoning agree: the server's time in the middle of its work is ours plus the
		// offset in the middle of the wait.
		mine := at.Add(d / 2).Add(s.Offset)
		server := p.Receive.Time().Add(p.Transmit.Time().Sub(p.Receive.Time()) / 2)
		if diff := mine.Sub(server); diff > 10 || diff < -10 {
			t.Errorf("%v apart: %+v", diff, s)
		}
	})
}
