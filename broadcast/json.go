package broadcast

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/websocket"
)

// JSON is an Options.Encode. It appends {"topic":"a/b","offset":12,"data":…}, in which data is
// m.Data itself if that is JSON (RFC 8259), and else a string of it. For data that is not UTF-8
// there is {"topic":"a/b","offset":12,"base64":"…"} instead, and for a patch
// {"topic":"a/b","offset":12,"from":11,"patch":{…}}. Streams of events get this when
// Options.EncodeEvent says nothing else. Safe for concurrent use.
func JSON(b []byte, m *Message) (websocket.Op, []byte) { return websocket.Text, appendJSON(b, m) }

func appendJSON(b []byte, m *Message) []byte {
	b = appendQuoted(append(b, `{"topic":`...), m.Topic)
	b = strconv.AppendUint(append(b, `,"offset":`...), m.Offset, 10)
	switch {
	case m.From != 0:
		b = strconv.AppendUint(append(b, `,"from":`...), m.From, 10)
		b = append(append(b, `,"patch":`...), m.Data...)
	case validJSON(m.Data):
		b = append(append(b, `,"data":`...), m.Data...)
	case utf8.Valid(m.Data):
		b = appendQuoted(append(b, `,"data":`...), m.Data)
	default:
		b = base64.StdEncoding.AppendEncode(append(b, `,"base64":"`...), m.Data)
		b = append(b, '"')
	}
	return append(b, '}')
}

// defaultDeleted is {"topic":"a/b","offset":12,"deleted":true}.
func defaultDeleted(b []byte, m *Message) (websocket.Op, []byte) {
	b = appendQuoted(append(b, `{"topic":`...), m.Topic)
	b = strconv.AppendUint(append(b, `,"offset":`...), m.Offset, 10)
	return websocket.Text, append(b, `,"deleted":true}`...)
}

// appendQuoted appends a JSON string of s, which is UTF-8 (RFC 8259 §7).
func appendQuoted[T string | []byte](b []byte, s T) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	done := 0
	for i := range len(s) {
		x := s[i]
		if x >= ' ' && x != '"' && x != '\\' {
			continue
		}
		b = append(b, s[done:i]...)
		done = i + 1
		switch x {
		case '"', '\\':
			b = append(b, '\\', x)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, '\\', 'u', '0', '0', hex[x>>4], hex[x&15])
		}
	}
	return append(append(b, s[done:]...), '"')
}

// maxDepth bounds the nesting of arrays and objects that validJSON follows.
const maxDepth = 500

// validJSON reports whether b is one JSON value in UTF-8 (RFC 8259), nested maxDepth deep at most.
// It is here because encoding/json would be a tenth of many a program that needs nothing else of
// it.
func validJSON(b []byte) bool {
	rest, ok := skipValue(skipSpace(b), maxDepth)
	return ok && len(skipSpace(rest)) == 0 && utf8.Valid(b)
}

func skipSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\r' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

// skipValue returns what follows the value at the beginning of b.
func skipValue(b []byte, depth int) ([]byte, bool) {
	if len(b) == 0 || depth == 0 {
		return nil, false
	}
	switch b[0] {
	case '"':
		return skipString(b)
	case '{':
		return skipList(b[1:], '}', depth)
	case '[':
		return skipList(b[1:], ']', depth)
	case 't':
		return skipWord(b, "true")
	case 'f':
		return skipWord(b, "false")
	case 'n':
		return skipWord(b, "null")
	}
	return skipNumber(b)
}

func skipWord(b []byte, word string) ([]byte, bool) {
	if len(b) < len(word) || string(b[:len(word)]) != word {
		return nil, false
	}
	return b[len(word):], true
}

// skipList skips the values of an array, or the members of an object, up to end.
func skipList(b []byte, end byte, depth int) ([]byte, bool) {
	b = skipSpace(b)
	if len(b) > 0 && b[0] == end {
		return b[1:], true
	}
	for ok := true; ; {
		if end == '}' {
			if b, ok = skipString(b); !ok {
				return nil, false
			}
			if b = skipSpace(b); len(b) == 0 || b[0] != ':' {
				return nil, false
			}
			b = skipSpace(b[1:])
		}
		if b, ok = skipValue(b, depth-1); !ok {
			return nil, false
		}
		switch b = skipSpace(b); {
		case len(b) == 0:
			return nil, false
		case b[0] == end:
			return b[1:], true
		case b[0] != ',':
			return nil, false
		}
		b = skipSpace(b[1:])
	}
}

func skipString(b []byte) ([]byte, bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, false
	}
	for i := 1; i < len(b); i++ {
		switch x := b[i]; {
		case x == '"':
			return b[i+1:], true
		case x < ' ':
			return nil, false
		case x != '\\':
			continue
		}
		if i++; i == len(b) {
			return nil, false
		}
		switch b[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		case 'u':
			if len(b) < i+5 {
				return nil, false
			}
			for _, x := range b[i+1 : i+5] {
				if !isDigit(x) && (x|0x20 < 'a' || x|0x20 > 'f') {
					return nil, false
				}
			}
			i += 4
		default:
			return nil, false
		}
	}
	return nil, false
}

func isDigit(x byte) bool { return '0' <= x && x <= '9' }

// skipNumber skips [ "-" ] int [ frac ] [ exp ] (RFC 8259 §6).
func skipNumber(b []byte) ([]byte, bool) {
	if b[0] == '-' {
		b = b[1:]
	}
	switch {
	case len(b) == 0 || !isDigit(b[0]):
		return nil, false
	case b[0] == '0':
		b = b[1:]
	default:
		b = skipDigits(b)
	}
	if len(b) > 0 && b[0] == '.' {
		if len(b) < 2 || !isDigit(b[1]) {
			return nil, false
		}
		b = skipDigits(b[1:])
	}
	if len(b) > 0 && b[0]|0x20 == 'e' {
		if b = b[1:]; len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		if len(b) == 0 || !isDigit(b[0]) {
			return nil, false
		}
		b = skipDigits(b)
	}
	return b, true
}

func skipDigits(b []byte) []byte {
	for len(b) > 0 && isDigit(b[0]) {
		b = b[1:]
	}
	return b
}
