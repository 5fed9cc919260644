//go:build !race

package ctlpair

import "testing"

func TestSendAllocatesNothingInTheLongRun(t *testing.T) {
	p := newPair[int](t, 0)
	nothing := func(int) {}
	if n := testing.AllocsPerRun(1000, func() { p.Send(1); p.Drain(nothing) }); n != 0 {
		t.Errorf("%v allocations for Send and Drain", n)
	}
}
