package tlsconn

import (
	"crypto/tls"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// heapOf returns how many bytes of heap each of n things takes that make returns.
func heapOf(n int, make func() any) int {
	var before, after runtime.MemStats
	var kept []any
	for range 50 { // pools and caches
		kept = append(kept, make())
	}
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range n {
		kept = append(kept, make())
	}
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(kept)
	return int(after.HeapAlloc-before.HeapAlloc) / n
}

// What Holds says of an idle connection is what it takes.
func TestHolds(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) < 8 {
		t.Skip("the estimate is for 64 bits")
	}
	const n = 150
	plain := heapOf(n, func() any { return conntest.New(t, echo) })
	for _, compact := range []bool{false, true} {
		for _, v := range versions {
			s := newServer(t, func(c *Config) { c.Compact = compact })
			says := 0
			takes := heapOf(n, func() any {
				r := newRig(t, s, echo, &tls.Config{MinVersion: v, MaxVersion: v}).shake()
				r.say("hello")
				r.heard()
				says = of(r.Conn).Holds()
				d := r.Dialogue
				*r = rig{} // without the peer
				d.Wire.Sent = nil
				return d
			}) - plain
			t.Logf("compact %v, %s: it takes %d, and says %d", compact, tls.VersionName(v), takes, says)
			if says < takes*2/3 || says > takes*3/2 {
				t.Errorf("compact %v, %s: it takes %d, and says %d", compact, tls.VersionName(v), takes, says)
			}
		}
	}
}

// A handshake counts as long as it goes on, a slow peer's ciphertext as long as it waits, a record as
// far as it has come: in the loop's sum.
func TestMemoryIsCounted(t *testing.T) {
	s := newServer(t, nil)
	r, say := silent(t, s, nil)
	held := r.Loop.Shared.Held
	if n := held(); n < holdsHandshake || n > 2*holdsHandshake {
		t.Errorf("a handshake: %d bytes", n)
	}
	say()
	r.Turn()
	idle := held()
	if !r.Conn.Secure() || idle < 2000 || idle > 10_000 {
		t.Errorf("idle: %d bytes", idle)
	}
	r.Room(1000)
	r.Conn.WriteString(strings.Repeat("x", 60_000))
	r.Turn()
	if n := held() - idle; n < 59_000 || n > 62_000 {
		t.Errorf("60,000 bytes that the peer does not take: %d", n)
	}
	for range 58 {
		r.Room(1000) // in small steps
	}
	if n := held() - idle; n < 0 || n > 8_000 {
		t.Errorf("the last of them: %d", n)
	}
	r.Room(-1)
	r.Wire.Arrive(record(typeData, 16_000)[:12_000], nil)
	r.Turn()
	if n := held() - idle; n < 12_000 || n > 16_000 {
		t.Errorf("12,000 bytes of a record: %d", n)
	}
	r.Conn.Close()
	r.Turn()
	if n := held(); n != 0 {
		t.Errorf("closed: %d", n)
	}
}

var _ conn.Layered = (*layer)(nil)
