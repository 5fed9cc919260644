package broadcast

import (
	"bytes"
	"encoding/base64"
	"iter"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/websocket"
)

// This file reads and writes the messages between a Door and its clients. docs/browser.md describes
// them.

// Framed is an Options.Encode, JSON for data that is JSON or at least text. Other data comes as a
// Binary message: the line {"topic":"a/b","offset":12}, and after it the data as it is, which takes
// a quarter less than JSON's base64. mangusta.js and Dial understand both. Safe for concurrent use.
func Framed(b []byte, m *Message) (websocket.Op, []byte) {
	if utf8.Valid(m.Data) {
		return websocket.Text, appendJSON(b, m)
	}
	b = appendQuoted(append(b, `{"topic":`...), m.Topic)
	b = strconv.AppendUint(append(b, `,"offset":`...), m.Offset, 10)
	return websocket.Binary, append(append(b, "}\n"...), m.Data...)
}

// splitFramed cuts a Binary message into its first line and its data.
func splitFramed(b []byte) (head, data []byte) {
	head, data, _ = bytes.Cut(b, []byte("\n"))
	return head, data
}

// members returns the names and the values, as they stand there, of a JSON object. It ends early
// where b is none; validJSON tells that before.
func members(b []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		if b = skipSpace(b); len(b) == 0 || b[0] != '{' {
			return
		}
		for b = skipSpace(b[1:]); len(b) > 0 && b[0] == '"'; b = skipSpace(b[1:]) {
			rest, ok := skipString(b)
			if !ok {
				return
			}
			name, _ := unquote(b[:len(b)-len(rest)])
			if b = skipSpace(rest); len(b) == 0 || b[0] != ':' {
				return
			}
			b = skipSpace(b[1:])
			if rest, ok = skipValue(b, maxDepth); !ok || !yield(name, b[:len(b)-len(rest)]) {
				return
			}
			if b = skipSpace(rest); len(b) == 0 || b[0] != ',' {
				return
			}
		}
	}
}

// elements returns the values of a JSON array, like members.
func elements(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if b = skipSpace(b); len(b) == 0 || b[0] != '[' {
			return
		}
		for b = skipSpace(b[1:]); len(b) > 0 && b[0] != ']'; b = skipSpace(b[1:]) {
			rest, ok := skipValue(b, maxDepth)
			if !ok || !yield(b[:len(b)-len(rest)]) {
				return
			}
			if b = skipSpace(rest); len(b) == 0 || b[0] != ',' {
				return
			}
		}
	}
}

// unquote returns what a JSON string says (RFC 8259 §7); false where b is none. Half of a surrogate
// pair becomes U+FFFD.
func unquote(b []byte) (string, bool) {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return "", false
	}
	b = b[1 : len(b)-1]
	if bytes.IndexByte(b, '\\') < 0 {
		return string(b), true
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		if i++; i == len(b) {
			return "", false
		}
		switch x := b[i]; x {
		case '"', '\\', '/':
			out = append(out, x)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := codeUnit(b[i+1:])
			if r < 0 {
				return "", false
			}
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if bytes.HasPrefix(b[i+1:], []byte(`\u`)) {
					low = codeUnit(b[i+3:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			return "", false
		}
	}
	return string(out), true
}

// codeUnit reads four hexadecimal digits; it returns -1 where there are none.
func codeUnit(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// parseNumber reads a whole number that is not negative.
func parseNumber(b []byte) (uint64, bool) {
	n, err := strconv.ParseUint(string(b), 10, 64)
	return n, err == nil
}

// decodeBase64 reads a JSON string of base64.
func decodeBase64(b []byte) ([]byte, bool) {
	text, ok := unquote(b)
	if !ok {
		return nil, false
	}
	data, err := base64.StdEncoding.DecodeString(text)
	return data, err == nil
}
