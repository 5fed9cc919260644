package ctlpair

import (
	"testing"

	"golang.org/x/sys/unix"
)

func benchPair(b *testing.B) *Pair[int] {
	b.Helper()
	p, err := New[int](0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Close(func(int) {}) })
	return p
}

// One message: a write and a read of the bell.
func BenchmarkSendDrain(b *testing.B) {
	p, nothing := benchPair(b), func(int) {}
	b.ReportAllocs()
	for b.Loop() {
		p.Send(1)
		p.Drain(nothing)
	}
}

// A thousand messages for one ring of the bell.
func BenchmarkSendThousand(b *testing.B) {
	p, nothing := benchPair(b), func(int) {}
	b.ReportAllocs()
	for b.Loop() {
		for i := range 1000 {
			p.Send(i)
		}
		p.Drain(nothing)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/message")
}

// From one goroutine to another, which waits for the bell in poll(2), and back.
func BenchmarkCall(b *testing.B) {
	p, err := New[int](0)
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		fds := []unix.PollFd{{Fd: int32(p.FD()), Events: unix.POLLIN}}
		for over := false; !over; {
			unix.Poll(fds, -1)
			p.Drain(func(n int) { over = n < 0 })
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Call(1); err != nil {
			b.Fatal(err)
		}
	}
	p.Call(-1)
	<-done
	p.Close(func(int) {})
}
