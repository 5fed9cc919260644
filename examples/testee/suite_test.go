package main

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// The cases below follow the sections of the Autobahn suite
// (https://github.com/crossbario/autobahn-testsuite), from the text of RFC
// 6455. Both sides of the program have to pass them: suite_run_test.go plays the client, and the server.

// A frame is what one side sends to the other.
type frame struct {
	first   byte // opcode, and the bits above it
	payload string
}

// A suiteCase is what is sent and what has to come back.
type suiteCase struct {
	name string
	send []frame
	chop int     // bytes of each write; 0 is all at once
	want []frame // before the Close frame
	code int     // of the Close frame
	// fails is said of a peer that has to find the fault itself, in what was sent up to then,
	// before anything more comes. Otherwise the suite begins the closing handshake after the last
	// frame, unless one of them is a Close frame.
	fails bool
	rest  int // bytes at the end that are never sent: the fault is before them
}

const (
	text   = 0x81
	bin    = 0x82
	closed = 0x88
	ping   = 0x89
	pong   = 0x8a
	more   = 0x80 // taken away from the first byte: more fragments follow
)

// status is the body of a Close frame.
func status(code int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

// suite collects cases.
type suite struct{ cases []suiteCase }

// good is a case that ends well.
func (s *suite) good(name string, chop int, want []frame, send ...frame) {
	s.cases = append(s.cases, suiteCase{name: name, send: send, chop: chop, want: want, code: 1000})
}

// bad is a case that has to fail with code.
func (s *suite) bad(name string, chop, code int, want []frame, send ...frame) {
	s.cases = append(s.cases, suiteCase{name: name, send: send, chop: chop, want: want, code: code, fails: true})
}

// pieces is a message in fragments of n bytes.
func pieces(first byte, p string, n int) (list []frame) {
	for len(p) > n {
		list = append(list, frame{first - more, p[:n]})
		first, p = more, p[n:]
	}
	return append(list, frame{first, p})
}

// framing has section 1: frames of all lengths.
func (s *suite) framing() {
	for _, first := range []byte{text, bin} {
		for _, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
			f := frame{first, strings.Repeat("*", n)}
			s.good(fmt.Sprintf("1 %#x of %d", first, n), 0, []frame{f}, f)
		}
		f := frame{first, strings.Repeat("*", 65536)}
		s.good(fmt.Sprintf("1 %#x chopped", first), 997, []frame{f}, f)
	}
}

// pings has section 2.
func (s *suite) pings() {
	long := strings.Repeat("\xfe", 125)
	for _, chop := range []int{0, 1} {
		for i, p := range []string{"", "Hello, world!", "\x00\xff\xfe\xfd\xfc\xfb\x00\xff", long} {
			s.good(fmt.Sprintf("2 ping %d, %d", i, chop), chop, []frame{{pong, p}}, frame{ping, p})
		}
		s.bad(fmt.Sprint("2.5, ", chop), chop, 1002, nil, frame{ping, long + "x"})
		s.good(fmt.Sprint("2.7, ", chop), chop, nil, frame{pong, ""}, frame{pong, "unsolicited"})
		s.good(fmt.Sprint("2.9, ", chop), chop, []frame{{pong, "ping"}}, frame{pong, "unsolicited"}, frame{ping, "ping"})
		var send, want []frame
		for i := range 10 {
			send, want = append(send, frame{ping, fmt.Sprint("payload-", i)}), append(want, frame{pong, fmt.Sprint("payload-", i)})
		}
		s.good(fmt.Sprint("2.10, ", chop), chop, want, send...)
	}
}

// reserved has sections 3 and 4: reserved bits and opcodes.
func (s *suite) reserved() {
	hello := frame{text, "Hello, world!"}
	for _, chop := range []int{0, 1} {
		for rsv := byte(0x10); rsv <= 0x70; rsv += 0x10 {
			for _, f := range []frame{{text | rsv, "x"}, {bin | rsv, "x"}, {ping | rsv, ""}, {closed | rsv, status(1000, "")}} {
				s.bad(fmt.Sprintf("3 %#x, %d", f.first, chop), chop, 1002, []frame{hello}, hello, f, frame{ping, "late"})
			}
		}
		for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
			s.bad(fmt.Sprintf("4 opcode %d, %d", op, chop), chop, 1002, nil, frame{0x80 | op, ""})
			s.bad(fmt.Sprintf("4 opcode %d with data, %d", op, chop), chop, 1002, nil, frame{0x80 | op, "reserved"})
			s.bad(fmt.Sprintf("4 opcode %d later, %d", op, chop), chop, 1002, []frame{hello}, hello, frame{0x80 | op, "x"}, frame{ping, ""})
		}
	}
}

// fragmentation has section 5.
func (s *suite) fragmentation() {
	one, two := frame{text - more, "fragment1"}, frame{more, "fragment2"}
	both := frame{text, "fragment1fragment2"}
	mid := frame{0, "fragment2"}
	for _, chop := range []int{0, 1} {
		n := func(name string) string { return fmt.Sprintf("5.%s, %d", name, chop) }
		s.bad(n("1"), chop, 1002, nil, frame{ping - more, "fragment1"}, two)
		s.bad(n("2"), chop, 1002, nil, frame{pong - more, "fragment1"}, two)
		s.good(n("3"), chop, []frame{both}, one, two)
		s.good(n("6"), chop, []frame{{pong, "p"}, both}, one, frame{ping, "p"}, two)
		s.good(n("6 empty"), chop, []frame{{text, ""}}, frame{text - more, ""}, frame{0, ""}, frame{more, ""})
		s.bad(n("9"), chop, 1002, nil, frame{more, "x"}, frame{text, "Hello"})
		s.bad(n("12"), chop, 1002, nil, frame{0, "x"}, frame{text, "Hello"})
		s.bad(n("15"), chop, 1002, []frame{both}, one, two, frame{0, "x"}, frame{text, "Hello"})
		s.bad(n("16"), chop, 1002, nil, frame{0, "x"}, frame{text, "Hello"}, frame{0, "y"}, frame{text, "Hello"})
		s.bad(n("18"), chop, 1002, nil, one, frame{text, "fragment2"})
		s.good(n("19"), chop, []frame{{pong, "1"}, {pong, "2"}, {text, "fragment1fragment2fragment2fragment2fragment2"}},
			one, mid, frame{ping, "1"}, mid, mid, frame{ping, "2"}, two)
		s.good(n("two messages"), chop, []frame{both, {bin, "ab"}}, one, two, frame{bin - more, "a"}, frame{more, "b"})
	}
}

var (
	validTexts = []string{"κόσμε", "Hello-µ@ßöäüàá-UTF-8!!", "\x00", "\u0080", "\u0800", "\U00010000", "\x7f", "\u07ff", "\uffff", "\U0010ffff",
		"\ud7ff", "\ue000", "\ufffd", "\U0008fffe", "\ufeff", "\U0001f600"}
	// Each is bad at its last byte, not before.
	badTexts = []string{"\x80", "\xbf", "\xc0", "\xc1", "κόσμε\xed\xa0", "κόσμε\xf4\x90", "\xc2 ", "\xe0\x80", "\xe0\x9f", "\xe1 ", "\xe1\x80 ", "\xed\xaf",
		"\xed\xb0", "\xed\xbf", "\xf0\x80", "\xf0\x8f", "\xf0\x90 ", "\xf0\x90\x80\xc0", "\xf4\xbf", "\xf5", "\xf8", "\xfc", "\xfe", "\xff", "Hello-\xc2\xc2"}
	cutTexts = []string{"\xc2", "\xe0\xa0", "\xe1\x80", "κόσμε\xf0\x9f\x98", "\xf0\x90", "\xf4"}
)

// utf8 has section 6. A bad byte fails the connection at once: nothing after it is sent, neither
// the rest of the frame nor of the message.
func (s *suite) utf8() {
	for _, p := range validTexts {
		for _, chop := range []int{0, 1} {
			s.good(fmt.Sprintf("6 %+q, %d", p, chop), chop, []frame{{text, p}}, frame{text, p})
			s.good(fmt.Sprintf("6 %+q in fragments, %d", p, chop), chop, []frame{{text, p}}, pieces(text, p, 1)...)
		}
	}
	for _, p := range badTexts {
		for _, chop := range []int{0, 1} {
			s.bad(fmt.Sprintf("6 %+q, %d", p, chop), chop, 1007, nil, frame{text, p})
			all := append(pieces(text, p, 1), frame{more, "late"})
			all[len(all)-2].first &^= more
			s.bad(fmt.Sprintf("6 %+q in fragments, %d", p, chop), chop, 1007, nil, all[:len(all)-1]...)
			s.bad(fmt.Sprintf("6 %+q behind a ping, %d", p, chop), chop, 1007, []frame{{pong, "alive"}},
				frame{text - more, p[:len(p)-1]}, frame{ping, "alive"}, frame{0, p[len(p)-1:]})
			s.bad(fmt.Sprintf("6.4 %+q, the frame goes on, %d", p, chop), chop, 1007, nil, frame{text, p + strings.Repeat("e", 300)})
			s.cases[len(s.cases)-1].rest = 300
		}
	}
	for _, p := range cutTexts { // bad only when the message ends
		s.bad(fmt.Sprintf("6 %+q cut off", p), 0, 1007, nil, frame{text, p})
		s.bad(fmt.Sprintf("6 %+q cut off in fragments", p), 0, 1007, []frame{{pong, "alive"}}, frame{text - more, p}, frame{ping, "alive"}, frame{more, ""})
	}
}

// closes has section 7.
func (s *suite) closes() {
	hello := frame{text, "Hello, world!"}
	add := func(name string, code int, want []frame, send ...frame) {
		s.cases = append(s.cases, suiteCase{name: name, send: send, want: want, code: code})
	}
	bye := frame{closed, status(1000, "")}
	add("7.1.1", 1000, []frame{hello}, hello, bye)
	add("7.1.2", 1000, nil, bye, bye)
	add("7.1.3", 1000, nil, bye, frame{ping, ""})
	add("7.1.4", 1000, nil, bye, hello)
	add("7.1.5", 1000, nil, frame{text - more, "fragment1"}, bye, frame{more, "fragment2"})
	big := frame{text, strings.Repeat("BAsd7&jh23", 26214)}
	add("7.1.6", 1000, []frame{big}, big, bye, frame{ping, ""})
	add("7.3.1", 0, nil, frame{closed, ""})
	s.bad("7.3.2", 0, 1002, nil, frame{closed, "a"})
	add("7.3.3", 1000, nil, bye)
	add("7.3.4", 1000, nil, frame{closed, status(1000, "Hello World!")})
	add("7.3.5", 1000, nil, frame{closed, status(1000, strings.Repeat("*", 123))})
	s.bad("7.3.6", 0, 1002, nil, frame{closed, status(1000, strings.Repeat("*", 124))})
	for _, p := range badTexts {
		s.bad(fmt.Sprintf("7.5.1 %+q", p), 0, 1007, nil, frame{closed, status(1000, p)})
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		add(fmt.Sprint("7.7 ", code), code, nil, frame{closed, status(code, "")})
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		s.bad(fmt.Sprint("7.9 ", code), 0, 1002, nil, frame{closed, status(code, "")})
		s.bad(fmt.Sprintf("7.9 %d with a reason", code), 0, 1002, nil, frame{closed, status(code, "reason")})
	}
}

// large has sections 9 and 10: up to n bytes.
func (s *suite) large(n int) {
	p := strings.Repeat("BAsd7&jh23κόσμε ", n/21+1)
	p = strings.ToValidUTF8(p[:n], "")
	for _, first := range []byte{text, bin} {
		for k := 64 << 10; k <= n; k *= 4 {
			f := frame{first, strings.ToValidUTF8(p[:min(k, len(p))], "")}
			s.good(fmt.Sprintf("9.1, 9.2 %#x of %d", first, k), 0, []frame{f}, f)
		}
		quarter := strings.ToValidUTF8(p[:n/4], "")
		for k := 64; k <= n/4; k *= 4 {
			s.good(fmt.Sprintf("9.3, 9.4 %#x in fragments of %d", first, k), 0, []frame{{first, quarter}}, pieces(first, quarter, k)...)
		}
		f := frame{first, strings.ToValidUTF8(p[:n/16], "")}
		for k := 64; k <= 2048; k *= 2 {
			s.good(fmt.Sprintf("9.5, 9.6 %#x in writes of %d", first, k), k, []frame{f}, f)
		}
		s.good(fmt.Sprintf("10.1.1 %#x", first), 0, []frame{{first, p[:65536]}}, pieces(first, p[:65536], 1300)...)
	}
}

func suiteCases() []suiteCase {
	var s suite
	s.framing()
	s.pings()
	s.reserved()
	s.fragmentation()
	s.utf8()
	s.closes()
	if !exhaustive.On() {
		s.large(1 << 20)
	} else {
		s.large(16 << 20)
	}
	return s.cases
}
