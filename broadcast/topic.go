package broadcast

import (
	"errors"
	"strings"
	"unicode/utf8"
)

var (
	// ErrBadTopic is returned for a topic that is empty, too long, not UTF-8, or has a wildcard or
	// a control character in it.
	ErrBadTopic = errors.New("broadcast: malformed topic")
	// ErrBadPattern is returned for a pattern that is malformed.
	ErrBadPattern = errors.New("broadcast: malformed pattern")
)

const (
	maxTopic  = 1024 // bytes
	maxLevels = 64

	// Of a pattern with "+" in it. They bound what one match may cost: at the level d of the tree
	// as many nodes match a topic as there are ways to choose up to maxPlus of d levels, in all
	// 2379, whatever the subscribers ask for.
	maxPlus       = 4
	maxPlusLevels = 12
)

// ValidTopic reports whether Publish takes topic: 1 to 1024 bytes of UTF-8 without control
// characters, "+" and "#", in 64 levels at most, which are separated by "/" and may be empty.
func ValidTopic(topic string) bool {
	if topic == "" || len(topic) > maxTopic {
		return false
	}
	levels, ascii := 1, true
	for i := range len(topic) {
		switch b := topic[i]; {
		case b < ' ', b == 0x7f, b == '+', b == '#':
			return false
		case b == '/':
			levels++
		case b >= utf8.RuneSelf:
			ascii = false
		}
	}
	return levels <= maxLevels && (ascii || utf8.ValidString(topic))
}

// ValidPattern reports whether Subscribe takes pattern: a topic in which levels may be "+", which
// stands for any one level, and the last one "#", which stands for any number of levels, none too
// (MQTT 5.0 §4.7.1). A pattern with "+" may have 12 levels, and 4 of them may be "+".
func ValidPattern(pattern string) bool {
	plus, levels := 0, 0
	for rest, more := pattern, true; more; levels++ {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if level == "+" {
			plus++
		}
		if strings.ContainsAny(level, "+#") && (len(level) > 1 || level == "#" && more) {
			return false
		}
	}
	if plus > maxPlus || plus > 0 && levels > maxPlusLevels {
		return false
	}
	return ValidTopic(wildcards.Replace(pattern))
}

// wildcards makes ordinary characters of them.
var wildcards = strings.NewReplacer("+", "x", "#", "x")

// Match reports whether pattern matches topic, both of which must be valid.
func Match(pattern, topic string) bool {
	if topic[0] == '$' && (pattern[0] == '+' || pattern[0] == '#') {
		return false
	}
	for {
		p, prest, pmore := strings.Cut(pattern, "/")
		if p == "#" {
			return true
		}
		t, trest, tmore := strings.Cut(topic, "/")
		if p != "+" && p != t {
			return false
		}
		if !pmore || !tmore {
			return pmore == tmore || pmore && prest == "#"
		}
		pattern, topic = prest, trest
	}
}

// Covers reports whether pattern matches every topic that other matches, a pattern too. Both must
// be valid. ("+/#" does not cover "#", although there is no topic that only "#" matches.)
func Covers(pattern, other string) bool {
	if other[0] == '$' && (pattern[0] == '+' || pattern[0] == '#') {
		return false
	}
	for {
		p, prest, pmore := strings.Cut(pattern, "/")
		if p == "#" {
			return true
		}
		o, orest, omore := strings.Cut(other, "/")
		if o == "#" || p != "+" && p != o {
			return false
		}
		if !pmore || !omore {
			return pmore == omore || pmore && prest == "#"
		}
		pattern, other = prest, orest
	}
}

// isExact reports whether pattern is a topic: it has no wildcard.
func isExact(pattern string) bool {
	return strings.IndexByte(pattern, '+') < 0 && strings.IndexByte(pattern, '#') < 0
}
