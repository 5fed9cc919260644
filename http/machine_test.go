package http

import "testing"

// The tables of intake and outlet, read as a whole: from each state the end can be reached, no
// event leads back, and an impossible event is told.
func TestMachines(t *testing.T) {
	for in := inHead; in <= inRefused; in++ {
		for ev := wantsWhole; ev <= refuses; ev++ {
			next := intakes[in][ev]
			switch {
			case next == inHead:
				wantImpossible(t, func() { at := in; at.on(ev) })
			case next < in:
				t.Errorf("intake %d goes back to %d with %d", in, next, ev)
			}
		}
		if intakes[in][refuses] != inRefused {
			t.Errorf("intake %d cannot be refused", in)
		}
	}
	for out := outUnasked; out <= outHijacked; out++ {
		ways := 0
		for ev := asked; ev <= hijacks; ev++ {
			next := outlets[out][ev]
			switch {
			case next == outUnasked:
				wantImpossible(t, func() { at := out; at.on(ev) })
			case next <= out:
				t.Errorf("outlet %d goes back to %d with %d", out, next, ev)
			default:
				ways++
			}
		}
		if (ways == 0) != (out >= outReplied) {
			t.Errorf("outlet %d has %d ways on", out, ways)
		}
	}
}

func wantImpossible(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("nothing was said of an impossible event")
		}
	}()
	f()
}
