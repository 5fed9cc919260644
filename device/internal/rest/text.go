package rest

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// These are the errors of Check. The client is told them.
var (
	errNoJSON = Coded("malformed", "this is no JSON")
	errNoUTF8 = Coded("malformed", "the JSON is not UTF-8 (RFC 8259 §8.1)")
)

// Check returns an error for the client if text is not one JSON value in UTF-8, or has half of a
// surrogate pair in it, such as "\ud800" (RFC 8259 §8.2). encoding/json takes those, and puts U+FFFD
// in the place of what it cannot read: a name or a password would silently become another one.
func Check(text []byte) error {
	switch {
	case !utf8.Valid(text):
		return errNoUTF8
	case !json.Valid(text):
		return errNoJSON
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++ // a valid escape has a character more, at least
		if text[i] != 'u' {
			continue
		}
		unit := codeUnit(text[i+1:])
		i += 4
		switch {
		case unit < 0xd800 || unit > 0xdfff:
		case unit < 0xdc00 && i+6 < len(text) && text[i+1] == '\\' && text[i+2] == 'u' && codeUnit(text[i+3:])>>10 == 0xdc00>>10:
			i += 6
		default:
			return Coded("malformed", "the JSON has half of a surrogate pair: \\u%04x (RFC 8259 §8.2)", unit)
		}
	}
	return nil
}

// codeUnit returns the number of the four hexadecimal digits at the beginning of text.
func codeUnit(text []byte) uint64 {
	unit, _ := strconv.ParseUint(string(text[:4]), 16, 16) // of valid JSON
	return unit
}

// Read reads a body into v. The error is for the client, with status 400: that of Check, or form,
// which says how the body should look.
func Read(body []byte, v any, form string) error {
	if err := Check(body); err != nil {
		return err
	}
	if json.Unmarshal(body, v) != nil {
		return Coded("malformed", "%s", form)
	}
	return nil
}

// Load reads a file into v. A text that Check refuses is damaged.
func Load(text []byte, v any) error {
	if err := Check(text); err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}
