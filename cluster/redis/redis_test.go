package redis

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/broadcast/enginetest"
)

func node(t *testing.T, o Options) *enginetest.Node {
	t.Helper()
	n := enginetest.NewNode(t, mustOpen(t, o), nil)
	n.AwaitUp()
	return n
}

// publishNumbers publishes the numbers of a range, each to a topic of its own, and returns the last
// offset.
func publishNumbers(n *enginetest.Node, from, to int) (last uint64) {
	for i := from; i < to; i++ {
		last = n.MustPublish(broadcast.Entry{Topic: fmt.Sprint("t/", i), Data: fmt.Append(nil, i), ID: fmt.Sprint(i)})
	}
	return last
}

func TestRefusedOptions(t *testing.T) {
	for _, x := range []struct {
		opts Options
		want string
	}{
		{Options{URL: "http://x"}, "invalid URL scheme"},
		{Options{Name: "a{b}"}, "letters, digits and _"},
		{Options{Backlog: -1}, "must be positive"},
	} {
		if e, err := Open(x.opts); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v: %v, %v; it should say %q", x.opts, e, err, x.want)
		}
	}
}

// TestNoServer: an engine can be made before its server is there.
func TestNoServer(t *testing.T) {
	s := startServer(t)
	s.kill()
	n := enginetest.NewNode(t, mustOpen(t, Options{URL: s.url()}), nil)
	n.AwaitDown()
	if _, err := n.Publish(broadcast.Entry{Topic: "t", ID: "1"}); !errors.Is(err, ErrNotSent) {
		t.Errorf("Publish: %v", err)
	}
	s.start(t)
	n.Insist(broadcast.Entry{Topic: "t", ID: "1"})
}

// TestRestartWithoutAFile: a server that forgets is another epoch, and so is one that may have lost
// its end: what its snapshot has gets other offsets.
func TestRestartWithoutAFile(t *testing.T) {
	s := startServer(t)
	nodes := []*enginetest.Node{node(t, Options{URL: s.url(), Retain: true}), node(t, Options{URL: s.url(), Retain: true})}
	last := publishNumbers(nodes[0], 0, 10)
	if _, err := s.client(t).Do(t.Context(), s.client(t).B().Arbitrary("SAVE").Build()).ToString(); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		n.AwaitOffset(last)
	}
	s.kill()
	s.start(t)
	for i, n := range nodes {
		info := n.AwaitEpochOtherThan(last >> 32 << 32)
		if info.First != info.Epoch+1 || info.Last != info.Epoch+10 {
			t.Errorf("node %d: Begin(%+v)", i, info)
		}
		n.AwaitLast(info.Last)
		if got := n.AwaitOffset(0); len(got) != 20 || string(got[19].Data) != "9" || string(got[10].Data) != "0" {
			t.Errorf("node %d: %+v", i, got)
		}
	}
	nodes[0].AwaitLast(nodes[1].Insist(broadcast.Entry{Topic: "t", ID: "20"}))
}

// TestLostEnd: a store whose end is gone, as after a loss of power, gets a new epoch. The node that
// notices it need not be the one that comes first.
func TestLostEnd(t *testing.T) {
	s := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
	n := node(t, Options{URL: s.url()})
	publishNumbers(n, 0, 10)
	s.kill()
	n.AwaitDown()
	files, old := filepath.Join(s.dir, "appendonlydir"), filepath.Join(s.dir, "old")
	if err := os.CopyFS(old, os.DirFS(files)); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	n.AwaitUp()
	last := publishNumbers(n, 10, 20)
	n.AwaitOffset(last)
	s.kill()
	if err := errors.Join(os.RemoveAll(files), os.Rename(old, files)); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	info := n.AwaitEpochOtherThan(last >> 32 << 32)
	n.AwaitLast(info.Last)
	if got := n.AwaitOffset(0); len(got) != 30 || string(got[29].Data) != "9" {
		t.Errorf("%+v", got)
	}
}

// TestEmptied: a store that somebody empties amid the work is another one.
func TestEmptied(t *testing.T) {
	s := startServer(t)
	a, b := node(t, Options{URL: s.url()}), node(t, Options{URL: s.url()})
	last := publishNumbers(a, 0, 3)
	b.AwaitOffset(last)
	c := s.client(t)
	if err := c.Do(t.Context(), c.B().Arbitrary("FLUSHALL").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*enginetest.Node{a, b} { // the one that publishes, and the one that only reads
		info := n.AwaitEpochOtherThan(last >> 32 << 32)
		if info.Last != info.Epoch {
			t.Errorf("Begin(%+v)", info)
		}
	}
	a.AwaitUp()
	b.AwaitUp()
	b.AwaitLast(a.Insist(broadcast.Entry{Topic: "t", ID: "3"}))
}

// TestRetained: the last message of each topic outlives the stream's limit, with the number of
// those that are gone between them.
func TestRetained(t *testing.T) {
	s := startServer(t)
	o := Options{URL: s.url(), Retain: true, MaxTopics: 6, Backlog: 100}
	n := node(t, o)
	for _, topic := range []string{"forgotten", "one", "two", "three", "one"} {
		n.MustPublish(broadcast.Entry{Topic: topic, Data: []byte(topic + " is"), ID: topic + time.Now().String()})
	}
	n.MustPublish(broadcast.Entry{Topic: "two", Delete: true, ID: "delete"})
	var last uint64
	for i := range 500 {
		last = n.MustPublish(broadcast.Entry{Topic: fmt.Sprint("often/", i%3), ID: fmt.Sprint(i)})
	}
	got := node(t, o).AwaitOffset(last)
	if len(got) < 100+3 || len(got) > 400 {
		t.Fatalf("%d entries", len(got))
	}
	seen := last >> 32 << 32 // the epoch
	for i, e := range got {
		if e.Offset-seen-1 != e.Lost {
			t.Fatalf("%d are lost between %d and %d", e.Lost, seen, e.Offset)
		}
		seen = e.Offset
		if want := []string{"three", "one", "two"}; i < 3 && (e.Topic != want[i] || e.Delete != (i == 2) || !e.Delete && string(e.Data) != e.Topic+" is") {
			t.Errorf("%+v instead of the last one of %s", e, want[i])
		}
	}
}

// FuzzUnpack: what Redis has packed for others is an error, and no panic.
func FuzzUnpack(f *testing.F) {
	f.Add("\x95\xa57-3\xa1i\xa3123\xa0\xd9\x04data")
	f.Add("\x95\xda\xff\xff")
	f.Add("\x95\xdb\xff\xff\xff\xff")
	f.Fuzz(func(t *testing.T, packed string) {
		if e, err := unpack("t", packed); err == nil && e.Topic != "t" {
			t.Errorf("%+v", e)
		}
	})
}

// TestOffsets: an id whose offset is above broadcast.MaxOffset is an error, and none is taken for
// that of another entry.
func TestOffsets(t *testing.T) {
	for id, want := range map[string]uint64{
		"7-0": 7<<32 + 1, "7-9": 7<<32 + 10, "7-4294967295": 8 << 32, "7-4294967296": 8<<32 + 1, // as after 2^32 messages
		"2097151-4294967294": broadcast.MaxOffset,
		"2097151-4294967295": 0, "2097152-0": 0, "4294967295-9": 0, "4294967296-0": 0, "1-9007199254740991": 0, "7-18446744073709551615": 0,
		"": 0, "7": 0, "-": 0, "7-": 0, "-7": 0, "7-x": 0,
	} {
		if got, err := offsetOf(id); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v instead of %d", id, got, err, want)
		}
	}
}

// TestInfoHasTheClockOfTheServer, by which messages are dated: the node's own may be off.
func TestInfoHasTheClockOfTheServer(t *testing.T) {
	s := startServer(t)
	n := node(t, Options{URL: s.url()})
	got := n.AwaitOffset(publishNumbers(n, 0, 1))
	info := n.AwaitEpochOtherThan(0)
	if d := got[0].Time.Sub(info.Now); d < 0 || d > time.Minute {
		t.Errorf("the message comes %v after Begin", d)
	}
}

// TestAnEpochOverflows: after 2^32 messages of an epoch the offsets go on, into what would be the next
// one, and the store may lose its end there too.
func TestAnEpochOverflows(t *testing.T) {
	s := startServer(t)
	n := node(t, Options{URL: s.url(), Retain: true})
	epoch := n.AwaitEpochOtherThan(0).Epoch
	c := s.client(t)
	id := fmt.Sprintf("%d-%d", epoch>>32, uint64(1)<<32-3)
	if err := c.Do(t.Context(), c.B().Arbitrary("XADD", "{mangusta}:log", id, "t", "a", "d", "", "i", "", "w", "0", "x", "").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	at := epoch + 1<<32 - 2
	n.AwaitOffset(at)
	last := publishNumbers(n, 0, 5)
	late := node(t, Options{URL: s.url(), Retain: true})
	for _, n := range []*enginetest.Node{n, late} {
		got := n.AwaitOffset(last)
		if len(got) != 6 || last != at+5 || got[5].Offset != last || string(got[5].Data) != "4" || got[5].Lost != 0 {
			t.Fatalf("%+v", got)
		}
	}
	if err := c.Do(t.Context(), c.B().Arbitrary("SAVE").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	s.kill()
	s.start(t)
	info := n.AwaitEpochOtherThan(epoch)
	n.AwaitLast(info.Last)
	if got := n.AwaitOffset(0)[6:]; len(got) != 6 || string(got[5].Data) != "4" || info.Last != info.Epoch+6 {
		t.Errorf("%+v after %+v", got, info)
	}
}

// TestAForeignEntry: another program has added to the stream what is none of ours, with an id that is
// the time, as XADD gives it by default. No offset can follow that, so the store counts as down, and
// says why, until somebody empties it.
func TestAForeignEntry(t *testing.T) {
	s := startServer(t)
	n := node(t, Options{URL: s.url()})
	last := publishNumbers(n, 0, 3)
	c := s.client(t)
	if err := c.Do(t.Context(), c.B().Arbitrary("XADD", "{mangusta}:log", "*", "x", "y").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if err := n.AwaitDown(); !strings.Contains(err.Error(), "is no entry's id") {
		t.Errorf("Down(%v)", err)
	}
	if _, err := n.Publish(broadcast.Entry{Topic: "t", ID: "x"}); !errors.Is(err, broadcast.ErrDown) {
		t.Errorf("Publish: %v", err)
	}
	if err := c.Do(t.Context(), c.B().Arbitrary("DEL", "{mangusta}:log").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	info := n.AwaitEpochOtherThan(last >> 32 << 32)
	n.AwaitLast(n.Insist(broadcast.Entry{Topic: "t", ID: "x"}))
	if info.Last != info.Epoch {
		t.Errorf("%+v", info)
	}
}

// TestAKeyIsEvicted: a server with maxmemory may drop any of the keys. The offsets that the log had
// given must not be given again.
func TestAKeyIsEvicted(t *testing.T) {
	for _, keys := range [][]string{{"log"}, {"meta"}, {"log", "last"}, {"log", "order"}, {"last"}, {"order"}} {
		t.Run(strings.Join(keys, " "), func(t *testing.T) {
			s := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
			o := Options{URL: s.url(), Retain: true}
			a, b := node(t, o), node(t, o)
			last := publishNumbers(a, 0, 20)
			b.AwaitOffset(last)
			c := s.client(t)
			for _, key := range keys {
				if err := c.Do(t.Context(), c.B().Arbitrary("DEL", "{mangusta}:"+key).Build()).Error(); err != nil {
					t.Fatal(err)
				}
			}
			after := a.Insist(broadcast.Entry{Topic: "t", ID: "x"})
			if after>>32 == last>>32 && after <= last {
				t.Errorf("the offset is %d after %d", after, last)
			}
			late := node(t, o)
			for _, n := range []*enginetest.Node{a, b, late} {
				n.AwaitLast(after)
			}
			if got := late.AwaitOffset(0); len(keys) == 1 && keys[0] != "meta" && len(got) != 21 {
				t.Errorf("%d entries of 21 are left", len(got))
			}
			s.kill()
			s.start(t)
			after = a.Insist(broadcast.Entry{Topic: "t", ID: "y"})
			b.AwaitLast(after)
		})
	}
}
