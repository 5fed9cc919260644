package broadcast

import (
	"errors"
	"strings"
	"unicode/utf8"
)

var (
	// ErrBadTopic is returned for a topic that is empty, too long, not UTF-8, or has a wildcard or a control character in it.
	ErrBadTopic = errors.New("broadcast: malformed topic")
	// ErrBadPattern is returned for a pattern that is malformed.
	ErrBadPattern = errors.New("broadcast: malformed pattern")
)

const (
	maxTopic  = 1024 // bytes
	maxLevels = 64
)

// ValidTopic reports whether Publish takes topic: 1 to 1024 bytes of UTF-8 without control characters, "+" and "#", in 64
// levels at most, which are separated by "/" and may be empty.
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

// ValidPattern reports whether Subscribe takes pattern: a topic in which levels may be "+", which stands for any one
// level, and the last one "#", which stands for any number of levels, none too (MQTT 5.0 §4.7.1).
func ValidPattern(pattern string) bool {
	for rest, more := pattern, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if strings.ContainsAny(level, "+#") && (len(level) > 1 || level == "#" && more) {
			return false
		}
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

// isExact reports whether pattern is a topic: it has no wildcard.
func isExact(pattern string) bool {
	return strings.IndexByte(pattern, '+') < 0 && strings.IndexByte(pattern, '#') < 0
}
