package broadcast

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// mergePatch is RFC 7396 §2 as it stands there: what a client does.
func mergePatch(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for name, value := range p {
		if value == nil {
			delete(t, name)
		} else {
			t[name] = mergePatch(t[name], value)
		}
	}
	return t
}

func parseJSON(t testing.TB, text []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%.200q: %v", text, err)
	}
	return v
}

func TestMergePatches(t *testing.T) {
	for _, tc := range []struct{ from, to, want string }{
		// RFC 7396, Appendix A, as far as a patch is what gets from one document to the other.
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"a":"b","b":"c"}`, `{"b":"c"}`},
		{`{"a":"b"}`, `{}`, `{"a":null}`},
		{`{"a":"b","b":"c"}`, `{"b":"c"}`, `{"a":null}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d"}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"e":null,"a":1}`, `{"a":1}`},
		{`{}`, `{"a":{"bb":{}}}`, `{"a":{"bb":{}}}`},
		// Nothing has changed, or white space and the order.
		{`{"a":1}`, `{"a":1}`, `{}`},
		{`{"a":1,"b":{"c":2}}`, ` { "b" : { "c" : 2 } , "a" : 1 } `, `{}`},
		{`{"a":{"b":1,"c":[1, 2]},"d":1}`, `{"a":{"b":1,"c":[1,2]},"d":1}`, `{"a":{"c":[1,2]}}`},
		// null
		{`{"a":1}`, `{"a":null}`, ``},
		{`{}`, `{"a":null}`, ``},
		{`{}`, `{"a":{"b":null}}`, ``},
		{`{"a":{"b":1}}`, `{"a":{"b":null}}`, ``},
		{`{"a":null,"b":1}`, `{"b":1}`, `{"a":null}`},
		{`{"a":null}`, `{"a":{"b":1}}`, `{"a":{"b":1}}`},
		{`{"a":{"x":null}}`, `{"a":{"x":null,"y":1}}`, `{"a":{"y":1}}`},
		{`{}`, `{"a":[null,{"b":null}]}`, `{"a":[null,{"b":null}]}`},
		// A value that is no object is not patched.
		{`[1]`, `{"a":1}`, ``},
		{`{"a":1}`, `[1]`, ``},
		{`1`, `2`, ``},
		// Names
		{`{"a":1,"a":2}`, `{"a":2}`, ``},
		{`{"a":2}`, `{"a":1,"a":2}`, ``},
		{`{}`, `{"b":{"a":1,"a":2}}`, ``},
		{`{"\u0061":1}`, `{"a":1}`, `{}`},
		{`{"\"\n\u00e9":1}`, `{"b":1}`, `{"b":1,"\"\né":null}`},
		{`{"\ud800":1}`, `{"\ud801":1}`, ``},
	} {
		got, ok := appendMergePatch(nil, []byte(tc.from), []byte(tc.to), maxDeltaDepth)
		if ok != (tc.want != "") || ok && string(got) != tc.want {
			t.Errorf("%s to %s: %s, %v; want %s", tc.from, tc.to, got, ok, tc.want)
		}
		if ok && !reflect.DeepEqual(mergePatch(parseJSON(t, []byte(tc.from)), parseJSON(t, got)), parseJSON(t, []byte(tc.to))) {
			t.Errorf("%s and %s do not make %s", tc.from, got, tc.to)
		}
	}
}

// FuzzMergePatch applies the patch between two documents, which must make the second of the first.
func FuzzMergePatch(f *testing.F) {
	for _, s := range []string{`{"a":{"b":1,"c":[1,null]},"d":"\u00e9"}`, `{"a":{"b":null},"x":{"y":{}}}`, `{"d":1,"a":[{"a":1}]}`, `{}`} {
		for _, to := range []string{`{"a":{"c":[1, null]},"e":{"f":{"g":1}}}`, `{"a":1}`, s} {
			f.Add([]byte(s), []byte(to))
		}
	}
	f.Fuzz(func(t *testing.T, from, to []byte) {
		if len(from)+len(to) > 1<<16 || !validJSON(from) || !validJSON(to) {
			return
		}
		patch, ok := appendMergePatch(nil, from, to, maxDeltaDepth)
		if !ok {
			return
		}
		if !validJSON(patch) {
			t.Fatalf("%q is no JSON", patch)
		}
		want := parseJSON(t, to)
		if got := mergePatch(parseJSON(t, from), parseJSON(t, patch)); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q and %q make %v, not %v", from, patch, got, want)
		}
	})
}

// follower is a client that takes patches.
type follower struct {
	t       testing.TB
	docs    map[string]any
	offsets map[string]uint64
	patches int
	whole   int
}

func newFollower(t testing.TB) *follower {
	return &follower{t: t, docs: make(map[string]any), offsets: make(map[string]uint64)}
}

func (f *follower) take(text string) {
	f.t.Helper()
	var m struct {
		Topic   string
		Offset  uint64
		From    uint64
		Data    json.RawMessage
		Patch   json.RawMessage
		Deleted bool
	}
	if !strings.HasPrefix(text, `{"topic":`) { // what was missed, or a piece of a test's own message
		return
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		f.t.Fatalf("%.200q: %v", text, err)
	}
	switch {
	case m.Deleted:
		delete(f.docs, m.Topic)
	case m.Patch != nil:
		if m.From == 0 || m.From != f.offsets[m.Topic] {
			f.t.Fatalf("a patch against %d for one who has %d: %.200s", m.From, f.offsets[m.Topic], text)
		}
		f.docs[m.Topic] = mergePatch(f.docs[m.Topic], parseJSON(f.t, m.Patch))
		f.patches++
	default:
		f.docs[m.Topic] = parseJSON(f.t, m.Data)
		f.whole++
	}
	f.offsets[m.Topic] = m.Offset
}

func TestASubscriberGetsPatches(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newRig(t, p, Options{Retain: true, Encode: JSON, EncodeEvent: func(b []byte, m *Message) (string, []byte) { return "x", appendJSON(b, m) }},
			func(r *rig) { r.sub.Delta = true })
		text := strings.Repeat("x", 100)
		doc := func(n int) string { return fmt.Sprintf(`{"text":%q,"n":%d}`, text, n) }
		at := []uint64{r.publish("a", doc(0)).Offset}
		c, e := r.ws("topic=%23"), r.sse("topic=a", "")
		whole := func(i int) string { return fmt.Sprintf(`{"topic":"a","offset":%d,"data":%s}`, at[i], doc(i)) }
		c.want(whole(0))
		e.want(whole(0)) // else a later one could be the last that is kept, by the time that it is read
		for i := range 2 {
			at = append(at, r.publish("a", doc(i+1)).Offset)
		}
		patch := func(i int) string {
			return fmt.Sprintf(`{"topic":"a","offset":%d,"from":%d,"patch":{"n":%d}}`, at[i], at[i-1], i)
		}
		c.want(patch(1), patch(2))
		e.want(patch(1), patch(2))
		// A client that comes back begins with a whole document.
		r.ws(fmt.Sprint("topic=a&since=", at[1])).want(whole(2))
		del := r.delete("a")
		c.want(deleted("a", del))
		at = append(at, r.publish("a", doc(3)).Offset)
		c.want(whole(3))
		// Other data comes as it is.
		x := r.publish("a", "no JSON").Offset
		c.want(fmt.Sprintf(`{"topic":"a","offset":%d,"data":"no JSON"}`, x))
		y := r.publish("a", `{"text":null}`).Offset
		z := r.publish("a", `{"text":null,"n":"`+text+`"}`).Offset
		c.want(fmt.Sprintf(`{"topic":"a","offset":%d,"data":{"text":null}}`, y),
			fmt.Sprintf(`{"topic":"a","offset":%d,"from":%d,"patch":{"n":%q}}`, z, y, text))
	})
}

// A patch that comes with a document is for those that have the message which it names, and for nobody
// else.
func TestAGivenPatchIsForTheMessageThatItNames(t *testing.T) {
	f := newFakes(t, Options{Retain: true, Encode: JSON})
	text := strings.Repeat("x", 200)
	doc := func(n int) []byte { return fmt.Appendf(nil, `{"text":%q,"n":%d}`, text, n) }
	publish := func(n int, patch string, from uint64) uint64 {
		t.Helper()
		given := []byte(patch)
		r, err := f.hub.PublishPatch("a", doc(n), given, from)
		if err != nil {
			t.Fatal(err)
		}
		clear(given) // it was copied
		f.turn(func() {})
		return r.Offset
	}
	_, w := f.subscriber("#", SubscribeOptions{Delta: true})
	_, plain := f.subscriber("#", SubscribeOptions{})
	first := publish(1, "", 0)
	second := publish(2, `{"n":2,"given":true}`, first)
	third := publish(3, `{"n":3,"given":true}`, first) // nobody has only the first
	fourth := publish(4, `{"n":4,"given":true}`, 0)
	fifth := publish(5, `{"n":5,"given":"`+text+text+`"}`, fourth) // the document is shorter
	want := []string{
		fmt.Sprintf(`{"topic":"a","offset":%d,"data":%s}`, first, doc(1)),
		fmt.Sprintf(`{"topic":"a","offset":%d,"from":%d,"patch":{"n":2,"given":true}}`, second, first),
		fmt.Sprintf(`{"topic":"a","offset":%d,"from":%d,"patch":{"n":3}}`, third, second),
		fmt.Sprintf(`{"topic":"a","offset":%d,"from":%d,"patch":{"n":4}}`, fourth, third),
		fmt.Sprintf(`{"topic":"a","offset":%d,"data":%s}`, fifth, doc(5)),
	}
	if got := w.messages(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for i, m := range plain.messages() {
		if want := fmt.Sprintf(`"data":%s}`, doc(i+1)); !strings.HasSuffix(m, want) {
			t.Errorf("%s, want %s", m, want)
		}
	}
	held := func(from uint64) int {
		f := newFakes(t, Options{Retain: true, Encode: JSON})
		if _, err := f.hub.PublishPatch("a", doc(1), []byte(`{"n":1}`), from); err != nil {
			t.Fatal(err)
		}
		return f.hub.Stats().Held
	}
	if with, without := held(1), held(0); with != without+len(`{"n":1}`) {
		t.Errorf("%d bytes held with the patch, %d without", with, without)
	}
}

func TestDeltaNeedsAHubThatKeepsAndMarks(t *testing.T) {
	for _, tc := range []struct {
		opts Options
		want error
	}{
		{Options{}, ErrDelta},
		{Options{Retain: true}, ErrDelta},
		{Options{Encode: JSON}, ErrDelta},
		{Options{Encode: JSON, Retain: true}, nil},
		{Options{Encode: Framed, History: History{Count: 1}}, nil},
	} {
		f := newFakes(t, tc.opts)
		c, _ := f.open()
		f.turn(func() {
			if err := f.hub.Subscribe(c, "a", SubscribeOptions{Delta: true}); err != tc.want {
				t.Error(err)
			}
		})
	}
}

// A patch is made once for all that have the same, and the memory of all comes back.
func TestPatchesAreSharedAndFreed(t *testing.T) {
	f := newFakes(t, Options{Retain: true, Encode: JSON})
	var all []*wire
	for range 3 {
		_, w := f.subscriber("#", SubscribeOptions{Delta: true})
		all = append(all, w)
	}
	doc := func(n int) string { return fmt.Sprintf(`{"text":%q,"n":%d}`, strings.Repeat("x", 200), n) }
	f.publish("a", doc(1))
	f.turn(func() {})
	first := f.hub.history.topics["a"].latest()
	f.publish("a", doc(2))
	f.turn(func() {})
	l := f.hub.loops[0]
	m := f.hub.history.topics["a"].latest()
	if n := len(m.deltas.Load().list); n != 1 {
		t.Errorf("%d patches", n)
	}
	if held := f.hub.Stats().Held; held < len(doc(2))+messageCost+len(`{"n":2}`) {
		t.Errorf("%d bytes held", held)
	}
	for _, w := range all {
		fo := newFollower(t)
		for _, text := range w.messages() {
			fo.take(text)
		}
		if fo.patches != 1 || fo.whole != 1 {
			t.Errorf("%d patches, %d whole", fo.patches, fo.whole)
		}
	}
	for _, s := range l.subscriptions() {
		if len(s.to.extra.has) != 1 {
			t.Error(len(s.to.extra.has))
		}
		s.to.dropAll()
	}
	if n, old := m.places.Load(), first.places.Load(); n != 1 || old != 0 {
		t.Error(n, old, "places")
	}
}

// A client of many topics gets whole documents of some.
func TestPatchesAreForSoManyTopics(t *testing.T) {
	f := newFakes(t, Options{Retain: true, Encode: JSON})
	c, w := f.subscriber("#", SubscribeOptions{Delta: true})
	fo := newFollower(t)
	for range 2 {
		for i := range maxDeltaTopics + 50 {
			f.publish(fmt.Sprint(i), fmt.Sprintf(`{"text":%q}`, fmt.Sprint(i)))
			f.turn(func() {})
		}
	}
	for _, text := range w.messages() {
		fo.take(text)
	}
	if n := len(f.hub.loops[0].subscriber(c).extra.has); n != maxDeltaTopics || len(fo.docs) != maxDeltaTopics+50 {
		t.Error(n, len(fo.docs))
	}
}

// A subscriber that has skipped or merged messages still has the newest document of each of its
// topics, and each patch is against a document that it has.
func TestPatchesMakeTheNewestDocument(t *testing.T) {
	for seed := range uint64(60) {
		d := rand.New(rand.NewPCG(seed, 1))
		p := newPacer(t, Options{Retain: true, Encode: Framed, History: History{Count: 1 + int(seed%3)}})
		newest := make(map[string]any)
		var followers []*follower
		var wires []*wire
		var busy []io.WriteCloser
		for i := range 4 {
			o := SubscribeOptions{Delta: true, TellMissed: true, Policy: KeepLatest}
			o.Limit.Messages = 100
			if i == 1 {
				o.MinInterval = time.Millisecond
			}
			c, w := p.subscriber("#", o)
			followers, wires = append(followers, newFollower(t)), append(wires, w)
			if i > 1 {
				p.turn(func() {
					b := websocket.Writer(c, websocket.Text)
					b.Write([]byte("a message"))
					busy = append(busy, b)
				})
			}
		}
		for range 100 {
			topic := string(rune('a' + d.IntN(3)))
			switch d.IntN(12) {
			case 0:
				p.hub.Delete(topic)
				delete(newest, topic)
			case 1:
				p.pass(time.Millisecond)
			case 2:
				if len(busy) > 0 {
					b := busy[0]
					busy = busy[1:]
					p.turn(func() { b.Close() })
				}
			default:
				text := randomJSON(d, 3)
				p.publish(topic, text)
				newest[topic] = parseJSON(t, []byte(text))
				p.turn(func() {})
			}
		}
		for _, b := range busy {
			p.turn(func() { b.Close() })
		}
		p.pass(time.Millisecond)
		p.settle()
		patches := 0
		for i, fo := range followers {
			for _, text := range wires[i].messages() {
				fo.take(text)
			}
			if !reflect.DeepEqual(fo.docs, newest) {
				t.Fatalf("seed %d, follower %d has %v, not %v", seed, i, fo.docs, newest)
			}
			patches += fo.patches
		}
		if patches == 0 {
			t.Error("no patches")
		}
	}
}

// randomJSON makes an object whose members are those of others, mostly.
func randomJSON(d *rand.Rand, depth int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range d.Perm(6)[:3+d.IntN(3)] {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:", strings.Repeat("name", 1+name))
		switch k := d.IntN(12); {
		case k == 0:
			b.WriteString("null")
		case k == 1:
			b.WriteString(`[null,{"a":null}]`)
		case k < 5 && depth > 0:
			b.WriteString(randomJSON(d, depth-1))
		default:
			fmt.Fprintf(&b, "%d", name)
		}
	}
	b.WriteByte('}')
	return b.String()
}
