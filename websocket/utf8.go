package websocket

import "unicode/utf8"

// utf8Check validates UTF-8 that comes in pieces, which may end inside a character. The zero value
// is the start of a text.
type utf8Check struct {
	need   uint8 // continuation bytes that the character at the end still lacks
	lo, hi uint8 // what the next of them must lie between
}

// complete reports whether the text ends between two characters.
func (u *utf8Check) complete() bool { return u.need == 0 }

// push adds p to the text. It returns false if a byte of p cannot follow the bytes before it.
// Surrogates, overlong forms and code points beyond U+10FFFF are refused at the first byte that
// shows them (RFC 3629 §4). unicode/utf8, which is fastest, checks the characters that are whole in
// p; step checks those that are cut off at either end.
func (u *utf8Check) push(p []byte) bool {
	for len(p) > 0 && u.need > 0 {
		if !u.step(p[0]) {
			return false
		}
		p = p[1:]
	}
	n := len(p) - cutOff(p)
	if !utf8.Valid(p[:n]) {
		return false
	}
	for _, b := range p[n:] {
		if !u.step(b) {
			return false
		}
	}
	return true
}

// cutOff returns how many bytes at the end of p begin a character that goes on after p.
func cutOff(p []byte) int {
	for k := 1; k <= 3 && k <= len(p); k++ {
		switch b := p[len(p)-k]; {
		case b < 0x80:
			return 0
		case b >= 0xf0 || b >= 0xe0 && k < 3 || b >= 0xc0 && k < 2:
			return k
		case b >= 0xc0:
			return 0
		}
	}
	return 0
}

// step adds one byte.
func (u *utf8Check) step(b byte) bool {
	if u.need == 0 {
		return b < 0x80 || u.lead(b)
	}
	ok := u.lo <= b && b <= u.hi
	u.need, u.lo, u.hi = u.need-1, 0x80, 0xbf
	return ok
}

// lead takes the first byte of a character of two to four bytes.
func (u *utf8Check) lead(b byte) bool {
	u.lo, u.hi = 0x80, 0xbf
	switch {
	case b < 0xc2: // a continuation byte, or an overlong form of ASCII
		return false
	case b < 0xe0:
		u.need = 1
	case b < 0xf0:
		u.need = 2
		switch b {
		case 0xe0:
			u.lo = 0xa0 // less would be overlong
		case 0xed:
			u.hi = 0x9f // more would be a surrogate
		}
	case b < 0xf5:
		u.need = 3
		switch b {
		case 0xf0:
			u.lo = 0x90 // less would be overlong
		case 0xf4:
			u.hi = 0x8f // more would be past U+10FFFF
		}
	default:
		return false
	}
	return true
}
