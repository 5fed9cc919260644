package sntp_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"github.com/seed4930a636/mangusta/sntp"
)

// An oscillator is a machine whose clock goes fast by ppm, and asks a server.
type oscillator struct {
	begin time.Time // with a monotonic reading
	ppm   float64
	r     *rand.Rand
}

// ask returns the answer after a time has passed. One half of the delay is the way there, but for
// skew, which moves the offset.
func (o *oscillator) ask(passed time.Duration, delay, skew time.Duration) sntp.Sample {
	gained := time.Duration(float64(passed) * o.ppm / 1e6)
	at := o.begin.Add(passed + gained)
	return sntp.Sample{At: at, Offset: -gained + skew, Delay: delay, Server: "udp://a"}
}

func TestDriftIsFound(t *testing.T) {
	for _, ppm := range []float64{0, 17, -40, 250} {
		o := oscillator{begin: time.Now(), ppm: ppm, r: rand.New(rand.NewPCG(1, 2))}
		var d sntp.Drift
		if _, _, ok := d.Rate(); ok {
			t.Fatal("a drift of nothing")
		}
		for i := range 40 { // more than are remembered
			skew := time.Duration(o.r.IntN(8e6)) - 4*time.Millisecond
			d.Add(o.ask(time.Duration(i)*1024*time.Second, 8*time.Millisecond, skew))
			got, within, ok := d.Rate()
			if i == 0 {
				if ok {
					t.Fatal("a drift of one answer")
				}
				continue
			}
			if math.Abs(got-ppm) > within+0.01 {
				t.Errorf("answer %d: %.3f ± %.3f ppm, want %v", i, got, within, ppm)
			}
			if i == 39 && within > 0.6 {
				t.Errorf("%.3f ± %.3f ppm after hours", got, within)
			}
		}
	}
}

// The time that somebody sets is no drift, and neither is the difference of two servers.
func TestDriftOutlivesASetClock(t *testing.T) {
	o := oscillator{begin: time.Now(), ppm: 20}
	var d sntp.Drift
	for i := range 6 {
		s := o.ask(time.Duration(i)*1024*time.Second, time.Millisecond, 0)
		if i >= 3 { // the wall clock was put back by an hour; the monotonic clock was not
			s.Offset += time.Hour
			s.At = setBack(s.At, time.Hour)
		}
		d.Add(s)
	}
	if got, _, ok := d.Rate(); !ok || math.Abs(got-20) > 0.01 {
		t.Errorf("%v ppm %v, want 20", got, ok)
	}
	other := o.ask(7*1024*time.Second, 0, 30*time.Second)
	other.Server = "udp://b"
	d.Add(other)
	if got, _, ok := d.Rate(); ok {
		t.Errorf("%v ppm from one answer of another server", got)
	}
}

// The drift is that of the last answers: a clock that gets warm is soon found to go faster.
func TestDriftFollows(t *testing.T) {
	o := oscillator{begin: time.Now(), ppm: 20}
	var d sntp.Drift
	for i := range 32 {
		if i == 16 {
			o.ppm = 60
		}
		d.Add(o.ask(time.Duration(i)*1024*time.Second, time.Millisecond, 0))
	}
	if got, _, ok := d.Rate(); !ok || math.Abs(got-60) > 0.01 {
		t.Errorf("%v ppm %v, want 60", got, ok)
	}
}

// Answers between which no time has passed tell nothing, and an answer that is older than the last
// begins anew.
func TestDriftNeedsTime(t *testing.T) {
	at := time.Now()
	var d sntp.Drift
	d.Add(sntp.Sample{At: at})
	d.Add(sntp.Sample{At: at.Add(time.Second), Offset: -time.Second})
	if got, within, ok := d.Rate(); ok {
		t.Errorf("%v ± %v ppm of no time", got, within)
	}
	d = sntp.Drift{}
	d.Add(sntp.Sample{At: at.Add(time.Hour)})
	for i, after := range []time.Duration{0, time.Hour, time.Hour} {
		d.Add(sntp.Sample{At: at.Add(after)})
		if got, _, ok := d.Rate(); got != 0 || ok != (i == 1) {
			t.Errorf("answer %d: %v ppm, %v", i, got, ok)
		}
	}
}

// setBack returns what time.Now would have returned in place of t if the clock had been set back: the
// wall clock is another one, the monotonic reading the same. A time.Time begins with the seconds of
// the wall clock, above 30 bits of nanoseconds.
func setBack(t time.Time, by time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) -= uint64(by/time.Second) << 30
	return t
}

func ExampleDrift() {
	var d sntp.Drift
	begin := time.Now()
	// Every hour this machine's clock has gained 72 ms.
	for hour := range time.Duration(3) {
		d.Add(sntp.Sample{At: begin.Add(hour * (time.Hour + 72*time.Millisecond)), Offset: -hour * 72 * time.Millisecond, Server: "udp://192.0.2.1:123"})
	}
	ppm, _, _ := d.Rate()
	fmt.Printf("%.1f parts per million\n", ppm)
	// Output: 20.0 parts per million
}
