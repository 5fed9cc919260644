package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// hears gives h a response, as from another host.
func (h *mhost) hears(records ...record) {
	w := newWriter(0, flagResponse)
	for _, r := range records {
		w.record(1, r)
	}
	h.received(&conn.Datagram{Data: w.b, From: conn.PeerOf(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), h.opts.port)),
		To: group4, Interface: 1})
}

// service returns the records of a service of type _x._tcp.
func service(name string) []record {
	kind, host := nameOf("_x._tcp.local"), nameOf("box.local")
	inst := kind.in(name)
	return []record{
		{kind, kindPTR, false, otherTTL, string(inst) + "\x00"},
		{inst, kindSRV, true, hostTTL, "\x00\x00\x00\x00\x00\x50" + string(host) + "\x00"},
		{inst, kindTXT, true, otherTTL, "\x00"},
		{host, kindA, true, hostTTL, "\x7f\x00\x00\x09"},
	}
}

// browsing returns what a Browse of _x._tcp is told.
func (h *mhost) browsing(t *testing.T) *[]string {
	t.Helper()
	told := new([]string)
	if _, err := h.Browse("_x._tcp", func(f *Found) { *told = append(*told, fmt.Sprint(f.Name, " ", f.Gone)) }); err != nil {
		t.Fatal(err)
	}
	return told
}

// The function of Browse is called until stop is, or Close: not for what the same message has told,
// too.
func TestNothingIsToldAfterStop(t *testing.T) {
	for _, how := range []string{"stop", "Close"} {
		l := newLink(t)
		a := l.host(mgr.Auto, "127.0.0.1/8")
		told := 0
		var stop func()
		stop, err := a.Browse("_x._tcp", func(*Found) {
			if told++; how == "stop" {
				stop()
			} else {
				a.Close()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		a.hears(append(service("one"), service("two")...)...)
		if told != 1 {
			t.Errorf("%s: the function was called %d times, want once", how, told)
		}
	}
}

// RFC 6762 §10.1: a record that is taken back is gone in a second. Nobody is asked for it.
func TestGoodbyesAreNotQuestioned(t *testing.T) {
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.1/8")
	told := a.browsing(t)
	a.hears(service("one")...)
	minute := int64(time.Minute)
	for _, list := range a.cache { // a minute later
		for _, h := range list {
			h.at, h.expires = h.at-minute, h.expires-minute
			h.plan()
		}
	}
	goodbye := service("one")
	for i := range goodbye {
		goodbye[i].ttl = 0
	}
	before := a.stats.Sent
	a.hears(goodbye...)
	if n := a.stats.Sent - before; n != 0 {
		t.Errorf("%d questions after a goodbye", n)
	}
	l.until("gone", func() bool { return slices.Equal(*told, []string{"one false", "one true"}) })

	a.hears(service("one")...) // it is back, and is asked for before its time is over
	for _, h := range a.live(nameOf("_x._tcp.local"), kindPTR) {
		if h.stage != 0 || h.refresh >= h.expires {
			t.Errorf("%+v", h)
		}
	}
}

// With an interface go the services that were found there. On one that comes the questions are asked
// at once, however long they have been asked elsewhere.
func TestInterfacesComeAndGo(t *testing.T) {
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		l := newLink(t)
		a := l.host(p, "127.0.0.1/8")
		told := a.browsing(t)
		a.hears(service("one")...)
		l.until("it has asked", func() bool { return a.stats.Sent > 0 })
		for _, q := range a.asking { // for long
			q.wait = time.Hour
			q.timer.Stop()
			q.timer = a.m.AfterFunc(q.wait, func() {})
		}
		list := slices.Clone(a.ifaces)
		a.changed(nil)
		if want := []string{"one false", "one true"}; !slices.Equal(*told, want) || a.heardN != 0 {
			t.Errorf("told %q, want %q; %d records are kept", *told, want, a.heardN)
		}
		before := a.stats.Sent
		a.changed(list)
		l.until("it asks there", func() bool { return a.stats.Sent > before })
	})
}

// On a large link more is said than there is room for. A record that is asked for takes the place of
// one that is not.
func TestRoomForWhatIsAskedFor(t *testing.T) {
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.1/8")
	a.opts.MaxRecords = 10
	var others []record
	for i := range 10 {
		others = append(others, record{nameOf(fmt.Sprintf("h%d.local", i)), kindA, false, 1 << 30, "\x7f\x00\x00\x01"})
	}
	a.hears(others...)
	told := a.browsing(t)
	for range 3 { // the answers to the question for the type, for the service, and for its host
		a.hears(service("one")...)
	}
	if want := []string{"one false"}; !slices.Equal(*told, want) {
		t.Errorf("told %q, want %q", *told, want)
	}
	if a.heardN != 10 {
		t.Errorf("%d records", a.heardN)
	}
	for i := range 20 { // of which none is told, for there is no room for all they consist of
		a.hears(service(fmt.Sprint(i))[0])
	}
	n := 0
	for _, list := range a.cache {
		n += len(list)
	}
	if n != 10 || a.heardN != 10 || len(*told) != 1 {
		t.Errorf("%d records, counted as %d; told %q", n, a.heardN, *told)
	}
}
