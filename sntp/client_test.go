package sntp

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

// driven is a Client whose clock is the test.
type driven struct {
	*Client
	rests []time.Duration
	errs  []error
	good  int
}

func newDriven(t *testing.T, o Options) *driven {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	d := &driven{}
	o.OnError = func(err error) { d.errs = append(d.errs, err) }
	o.OnSample = func(Sample) { d.good++ }
	if d.Client, err = New(m, o); err != nil {
		t.Fatal(err)
	}
	d.timer.Stop()
	d.in = func(t time.Duration) { d.rests = append(d.rests, t) }
	return d
}

func (d *driven) take() (rests []time.Duration) {
	rests, d.rests = d.rests, nil
	return rests
}

func TestClientGoesToTheNextServerAndRestsLonger(t *testing.T) {
	d := newDriven(t, Options{Servers: []string{"a", "b", "c"}})
	var asked []string
	for range 12 {
		asked = append(asked, d.servers[0])
		d.answered(Sample{}, ErrTimeout)
	}
	if want := []string{"a", "b", "c", "a", "b", "c", "a", "b", "c", "a", "b", "c"}; !slices.Equal(asked, want) {
		t.Errorf("asked %v", asked)
	}
	s := time.Second
	if got, want := d.take(), []time.Duration{s, s, 15 * s, s, s, 30 * s, s, s, 60 * s, s, s, 120 * s}; !slices.Equal(got, want) {
		t.Errorf("rests %v", got)
	}
	for range 60 {
		d.answered(Sample{}, ErrTimeout)
	}
	if got := d.take(); slices.Max(got) != intervalDefault {
		t.Errorf("the longest rest is %v", slices.Max(got))
	}
	d.answered(Sample{Server: "b"}, nil)
	got := d.take()
	if got[0] < 900*s || got[0] > 1130*s || d.Last().Server != "b" || d.good != 1 || len(d.errs) != 72 {
		t.Errorf("after a good answer: %v", got)
	}
	d.answered(Sample{}, ErrTimeout)
	if got := d.take(); got[0] != s {
		t.Errorf("then %v", got)
	}
}

func TestClientObeysKisses(t *testing.T) {
	d := newDriven(t, Options{Servers: []string{"a", "b", "c"}, Interval: 100 * time.Second})
	d.answered(Sample{}, &KissError{"DENY"})
	if !slices.Equal(d.servers, []string{"b", "c"}) {
		t.Errorf("after DENY: %v", d.servers)
	}
	d.answered(Sample{}, &KissError{"RATE"})
	d.answered(Sample{}, &KissError{"RATE"})
	if d.o.Interval != 400*time.Second || !slices.Contains(d.take(), 400*time.Second) {
		t.Errorf("after RATE twice: %v", d.o.Interval)
	}
	d.answered(Sample{}, &KissError{"RSTR"})
	d.take()
	d.answered(Sample{}, &KissError{"DENY"})
	if got := d.take(); len(got) != 0 || !errors.Is(d.errs[len(d.errs)-1], ErrNoServer) || len(d.errs) != 6 {
		t.Errorf("with no server left: %v, %v", got, d.errs)
	}
}

func TestClientNeverAsksTooOften(t *testing.T) {
	d := newDriven(t, Options{Servers: []string{"a"}, Interval: time.Second})
	for range 100 {
		d.answered(Sample{}, nil)
		d.answered(Sample{}, ErrTimeout)
	}
	if least := slices.Min(d.take()); least < 15*time.Second { // RFC 4330 §10
		t.Errorf("a rest of %v", least)
	}
}

func TestClientAsksARealSocket(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var errs []error
	c, err := New(m, Options{Servers: []string{"tcp://127.0.0.1:9", "udp://127.0.0.1:9"}, OnError: func(err error) { errs = append(errs, err) }})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); len(errs) < 2 && time.Now().Before(end); {
		m.Poll(20 * time.Millisecond)
	}
	if len(errs) != 2 {
		t.Fatalf("%v", errs)
	}
	c.Stop()
	for range 5 {
		m.Poll(0)
	}
	if _, err := New(m, Options{}); err == nil {
		t.Error("a Client without servers")
	}
}
