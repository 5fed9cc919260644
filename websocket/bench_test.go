package websocket

import (
	"fmt"
	"testing"
)

func BenchmarkMask(b *testing.B) {
	for _, size := range []int{16, 64, 1 << 10, 16 << 10} {
		for _, done := range []int{0, 3} { // at the start of the key, and within it
			b.Run(fmt.Sprintf("%d-from-%d", size, done), func(b *testing.B) {
				p, key := make([]byte, size), [4]byte{1, 2, 3, 4}
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					mask(p, key, done)
				}
			})
		}
	}
}

func BenchmarkAppendHeader(b *testing.B) {
	buf := make([]byte, 0, maxHeader)
	for _, size := range []int{64, 1 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				appendHeader(buf, 0x82, size)
			}
		})
	}
}

// A broadcast encodes once: this is what one message costs before it goes to the first connection.
func BenchmarkPrepare(b *testing.B) {
	for _, size := range []int{64, 1 << 10} {
		p := make([]byte, size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Prepare(Binary, p)
			}
		})
	}
}
