package conn_test

import (
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// The memory of a Layered transport counts while its connection lasts, idle or not: its state, its
// ciphertext that the kernel has not taken, the record that is not whole.
func TestLayeredMemoryIsCounted(t *testing.T) {
	s := &conntest.Sealed{State: 1000}
	d := conntest.New(t, nil, conntest.Options{Sealed: s})
	want := func(what string, n int) {
		t.Helper()
		if held, holds := d.Loop.Shared.Held(), d.Conn.Driver().Holds(); held != n || holds != n {
			t.Errorf("%s: %d bytes are held, %d by the connection; want %d", what, held, holds, n)
		}
	}
	want("idle", 1000)
	rec := conntest.Seal('d', make([]byte, 500))
	d.Wire.Arrive(rec[:400], nil)
	d.Turn()
	want("a part of a record", 1400)
	d.Wire.Arrive(rec[400:], nil)
	d.Turn()
	d.Conn.Recv.Discard(500)
	d.Turn()
	d.Wire.Room = 0
	d.Conn.Write(make([]byte, 300))
	d.Turn()
	if s.Unsent() < 300 {
		t.Fatalf("%d bytes of ciphertext", s.Unsent())
	}
	base := d.Loop.Shared.Held() - s.Unsent()
	if base < 1000 || base > 1000+1024 { // unread input may have a buffer as yet
		t.Errorf("%d bytes are held beside the ciphertext", base)
	}
	d.Room(-1)
	d.Sleep(time.Second)
	if s.Unsent() != 0 || d.Loop.Shared.Held() != base {
		t.Errorf("after it was sent: %d bytes, want %d", d.Loop.Shared.Held(), base)
	}
	d.Conn.Close()
	d.Turn()
	want("closed", 0)
}

// When a connection ends, in whatever phase, it gives back the memory that its transport holds.
func TestLayeredMemoryIsGivenBack(t *testing.T) {
	for name, end := range map[string]func(d *conntest.Dialogue){
		"Close":          func(d *conntest.Dialogue) { d.Conn.Close() },
		"Drain":          func(d *conntest.Dialogue) { d.Conn.Drain() },
		"Fail":           func(d *conntest.Dialogue) { d.Conn.Layer().Fail(conn.MemoryLimit, nil) },
		"Relieve":        func(d *conntest.Dialogue) { d.Conn.Close(); d.Conn.Driver().Relieve() },
		"a wrong record": func(d *conntest.Dialogue) { d.Wire.Arrive([]byte("z\x00\x00"), nil) },
		"FIN":            func(d *conntest.Dialogue) { d.Wire.Arrive(nil, nil) },
	} {
		for _, silent := range []bool{false, true} { // after the handshake, and in it
			d := conntest.New(t, nil, conntest.Options{Sealed: &conntest.Sealed{State: 1000, Silent: silent}})
			if n := d.Loop.Shared.Held(); n != 1000 {
				t.Errorf("%d bytes are held", n)
			}
			end(d)
			d.Turn()
			d.Sleep(3 * time.Second)
			if !d.Closed() {
				d.SendEOF()
			}
			if n := d.Loop.Shared.Held(); !d.Closed() || n != 0 {
				t.Errorf("%s, silent %v: closed %v, %d bytes are held", name, silent, d.Closed(), n)
			}
		}
	}
}
