package broadcast

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// MQTT 5.0 §4.7.1, §4.7.3.
func TestValidTopicAndPattern(t *testing.T) {
	deep := strings.Repeat("/", maxLevels-1)
	for _, tc := range []struct {
		s              string
		topic, pattern bool
	}{
		{"", false, false},
		{"a", true, true},
		{"/", true, true},
		{"a//b/", true, true},
		{"a b/ü/日本", true, true},
		{"$SYS/x", true, true},
		{"a\xff", false, false},
		{"a\x00", false, false},
		{"a\nb", false, false},
		{"a\x7f", false, false},
		{"a\xc3", false, false},
		{strings.Repeat("a", maxTopic), true, true},
		{strings.Repeat("a", maxTopic+1), false, false},
		{deep, true, true},
		{deep + "/", false, false},
		{"+", false, true},
		{"#", false, true},
		{"a/#", false, true},
		{"a/+/b", false, true},
		{"+/+/#", false, true},
		{"a#", false, false},
		{"a+/b", false, false},
		{"#/a", false, false},
		{"a/#/b", false, false},
		{"##", false, false},
		{"+#", false, false},
		{"+\n", false, false},
		{deep + "#", false, true},
		{"+/+/+/+/" + strings.Repeat("a/", 7) + "#", false, true},
		{"+/+/+/+/+", false, false},
		{"+/" + strings.Repeat("a/", 11) + "a", false, false},
	} {
		if got := ValidTopic(tc.s); got != tc.topic {
			t.Errorf("ValidTopic(%.40q) = %v", tc.s, got)
		}
		if got := ValidPattern(tc.s); got != tc.pattern {
			t.Errorf("ValidPattern(%.40q) = %v", tc.s, got)
		}
	}
}

// MQTT 5.0 §4.7.1.2, §4.7.1.3, §4.7.2.
func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, topic string
		want           bool
	}{
		{"a", "a", true},
		{"a", "A", false},
		{"a", "a/b", false},
		{"a/b", "a", false},
		{"/a", "a", false},
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/tennis/player1/#", "sport/tennis/player2", false},
		{"sport/#", "sport", true},
		{"#", "a/b/c", true},
		{"#", "/", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		{"+/+/#", "a/b", true},
		{"+/#", "a", true},
		{"#", "$SYS", false},
		{"+/monitor/Clients", "$SYS/monitor/Clients", false},
		{"$SYS/#", "$SYS", true},
		{"$SYS/monitor/+", "$SYS/monitor/Clients", true},
		{"a/#", "a/$SYS", true},
		{"a/+", "a/$SYS", true},
	} {
		if got := Match(tc.pattern, tc.topic); got != tc.want {
			t.Errorf("Match(%q, %q) = %v", tc.pattern, tc.topic, got)
		}
	}
}

// words are what random topics and patterns are made of.
var words = []string{"a", "b", "", "$s", "+", "+"}

func randomLevels(d *rand.Rand, words []string) string {
	levels := make([]string, 1+d.IntN(4))
	for i := range levels {
		levels[i] = words[d.IntN(len(words))]
	}
	return strings.Join(levels, "/")
}

func TestTheTreeFindsWhatMatches(t *testing.T) {
	d := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		root, all := &node{}, map[string]*node{}
		for range d.IntN(40) {
			p := randomLevels(d, words)
			if d.IntN(3) == 0 {
				p += "/#"
			}
			if d.IntN(20) == 0 {
				p = "#"
			}
			if !ValidPattern(p) {
				continue
			}
			x := root.find(p)
			x.count++
			if all[p] != nil && all[p] != x {
				t.Fatalf("two nodes for %q", p)
			}
			all[p] = x
		}
		for p, x := range all { // some leave
			if d.IntN(3) == 0 {
				x.count = 0
				x.prune()
				delete(all, p)
			}
		}
		for range 100 {
			topic := randomLevels(d, words[:4])
			if !ValidTopic(topic) {
				continue
			}
			found := map[*node]bool{}
			for _, x := range root.match(nil, topic) {
				if found[x] {
					t.Fatalf("a node was found twice for %q", topic)
				}
				found[x] = true
			}
			for p, x := range all {
				if found[x] != Match(p, topic) {
					t.Fatalf("%q and %q: the tree says %v", p, topic, found[x])
				}
				delete(found, x)
			}
			if len(found) > 0 {
				t.Fatalf("%q: nodes were found that have left", topic)
			}
		}
		for _, x := range all {
			x.count = 0
			x.prune()
		}
		if len(root.kids) > 0 || root.plus != nil || root.hash != nil {
			t.Fatal("the tree keeps nodes that nobody needs")
		}
	}
}

// nodes counts those of a tree.
func (n *node) nodes() int {
	sum := 1
	for _, kid := range n.kids {
		sum += kid.nodes()
	}
	if n.plus != nil {
		sum += n.plus.nodes()
	}
	if n.hash != nil {
		sum++
	}
	return sum
}

// A match visits the nodes that match the first levels of its topic. Patterns of "a" and "+" alone
// make as many of them as there can be for "a/a/a/…": all in the tree.
func TestAMatchIsBoundedWhateverThePatterns(t *testing.T) {
	d := rand.New(rand.NewPCG(9, 9))
	root, taken := &node{}, 0
	for range 12_000 {
		levels := make([]string, 1+d.IntN(maxLevels))
		share := d.IntN(10) // of "+"
		for i := range levels {
			levels[i] = "a"
			if d.IntN(10) < share {
				levels[i] = "+"
			}
		}
		levels[len(levels)-1] = "z"
		if p := strings.Join(levels, "/"); ValidPattern(p) {
			root.find(p).count++
			taken++
		}
	}
	if n := root.nodes(); taken < 1000 || n > 2*2379+maxLevels {
		t.Errorf("%d patterns make %d nodes", taken, n)
	}
}

// A walk finds the topics that patterns match, each once, also while others come and go between its
// steps: those that are new it may miss.
func TestAWalkFindsWhatMatches(t *testing.T) {
	d := rand.New(rand.NewPCG(5, 5))
	for range 2000 {
		var names name
		topics := map[string]*topic{}
		add := func() *topic {
			n := randomLevels(d, words[:4])
			if d.IntN(3) == 0 { // more kids than fewKids
				n = string(rune('a'+d.IntN(20))) + "/" + n
			}
			if !ValidTopic(n) || topics[n] != nil {
				return nil
			}
			x := &topic{name: n}
			names.insert(x)
			topics[n] = x
			return x
		}
		remove := func() *topic {
			for n, x := range topics {
				x.at.remove()
				delete(topics, n)
				return x
			}
			return nil
		}
		for range d.IntN(60) {
			add()
		}
		var root node
		var patterns []string
		for range 1 + d.IntN(4) {
			p := randomLevels(d, words)
			if d.IntN(3) == 0 {
				p += "/#"
			}
			if d.IntN(10) == 0 {
				p = "#"
			}
			if ValidPattern(p) {
				root.find(p).count++
				patterns = append(patterns, p)
			}
		}
		if len(patterns) == 0 {
			continue
		}
		must := maps.Clone(topics)
		found := map[*topic]bool{}
		changes := d.IntN(2) == 0
		var w walk
		w.begin(&root, &names)
		for {
			x, more := w.step()
			if !more {
				break
			}
			if x != nil && found[x] {
				t.Fatalf("%q: %q was found twice", patterns, x.name)
			}
			if x != nil {
				found[x] = true
			}
			if changes {
				if add(); d.IntN(2) == 0 {
					if gone := remove(); gone != nil {
						delete(must, gone.name)
					}
				}
			}
		}
		matches := func(n string) bool {
			return slices.ContainsFunc(patterns, func(p string) bool { return Match(p, n) })
		}
		for x := range found {
			if !matches(x.name) {
				t.Fatalf("%q: %q was found", patterns, x.name)
			}
		}
		for n, x := range must {
			if topics[n] == x && matches(n) && !found[x] {
				t.Fatalf("%q: %q was not found", patterns, n)
			}
		}
		for remove() != nil {
		}
		if names.first != nil || names.n != 0 || names.kids != nil {
			t.Fatal("names are left")
		}
	}
}
