package nats

import "testing"

// TestNextEpochIsNoEarlierOne: however often a stream is renewed, offsets of earlier epochs do not
// come again.
func TestNextEpochIsNoEarlierOne(t *testing.T) {
	seen := make([]bool, 1<<20+1)
	epoch := uint64(7 << 32)
	for i := range 1 << 20 {
		epoch = nextEpoch(epoch)
		if high := epoch >> 32; epoch&(1<<32-1) != 0 || high == 0 || high > 1<<20 || seen[high] {
			t.Fatalf("after %d renewals the epoch is %#x", i+1, epoch)
		}
		seen[epoch>>32] = true
	}
	if epoch != 7<<32 {
		t.Errorf("%#x", epoch)
	}
}
