package websocket_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/websocket"
)

// A conformance case: what a client sends, what the user's handler gets, what goes out. Lines are
// those of rig.
type frameCase struct {
	name   string
	in     []byte
	events []string
	sent   []string
}

func cat(frames ...[]byte) []byte { return slices.Concat(frames...) }

// closing is the body of a Close frame.
func closing(code int, reason string) string {
	return string([]byte{byte(code >> 8), byte(code)}) + reason
}

const fin = 0x80

// failed is the case of a stream that breaks a rule: events and frames before it, then the end with
// code.
func failed(name string, in []byte, code int, why string, before ...string) frameCase {
	return frameCase{
		name:   name,
		in:     in,
		events: append(before, fmt.Sprintf("end %d %q clean=false", code, why)),
		sent:   []string{fmt.Sprintf("close %d %q", code, why)},
	}
}

const (
	whyRSV   = "a reserved bit is set"
	whyOp    = "reserved opcode"
	whyMask  = "a client's frame must be masked"
	whyLong  = "control frame of more than 125 bytes"
	whyFrag  = "fragmented control frame"
	whyLen   = "length not in its shortest form"
	whyMSB   = "length with its highest bit set"
	whyCont  = "continuation of nothing"
	whyNew   = "new message inside a fragmented one"
	whyText  = "text is not UTF-8"
	whyBig   = "message too big"
	whyByte  = "close frame of one byte"
	whyCode  = "close code that must not be sent"
	whyReas  = "close reason is not UTF-8"
	caseSize = 200 // Options.MaxMessage of the cases
)

func frameCases() []frameCase {
	bye := masked(0x88, closing(1000, ""))
	end := `end 1000 "" clean=true`
	closed := `close 1000 ""`
	x125, x126, x200 := strings.Repeat("x", 125), strings.Repeat("x", 126), strings.Repeat("x", 200)

	var list []frameCase
	add := func(c frameCase) { list = append(list, c) }
	// good adds a case that goes on well and then ends with the closing handshake.
	good := func(name string, in []byte, events, sent []string) {
		add(frameCase{name, cat(in, bye), append(events, end), append(sent, closed)})
	}
	msg := func(op websocket.Op, p string) []string { return []string{op.String() + " " + short([]byte(p))} }

	// §5.6 data frames.
	for _, op := range []websocket.Op{websocket.Text, websocket.Binary} {
		for _, p := range []string{"", "a", x125, x126, x200} {
			good(fmt.Sprintf("%s of %d bytes", op, len(p)), masked(fin|byte(op), p), msg(op, p), nil)
		}
	}
	good("binary need not be UTF-8", masked(0x82, "\xff\xfe\xc0"), msg(websocket.Binary, "\xff\xfe\xc0"), nil)
	good("three messages", cat(masked(0x81, "one"), masked(0x82, "two"), masked(0x81, "three")),
		[]string{`text "one"`, `binary "two"`, `text "three"`}, nil)

	// §5.5.2, §5.5.3 ping and pong.
	good("ping", masked(0x89, ""), []string{`ping ""`}, []string{`pong ""`})
	good("ping with data", masked(0x89, "\x00\xff\xfe"), []string{`ping "\x00\xff\xfe"`}, []string{`pong "\x00\xff\xfe"`})
	good("ping of 125", masked(0x89, x125), msg(websocket.Ping, x125), msg(websocket.Pong, x125))
	good("ten pings", bytes.Repeat(masked(0x89, "p"), 10), slices.Repeat([]string{`ping "p"`}, 10),
		slices.Repeat([]string{`pong "p"`}, 10))
	good("pong unasked", masked(0x8a, "hi"), []string{`pong "hi"`}, nil)
	add(failed("ping of 126", masked(0x89, x126), 1002, whyLong))
	add(failed("pong of 126", masked(0x8a, x126), 1002, whyLong))
	add(failed("fragmented ping", cat(masked(0x09, "a"), masked(0x80, "b")), 1002, whyFrag))

	// §5.2 reserved bits and opcodes.
	for _, rsv := range []byte{0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70} {
		add(failed(fmt.Sprintf("text with bits %#x", rsv), masked(0x81|rsv, "a"), 1002, whyRSV))
		add(failed(fmt.Sprintf("ping with bits %#x", rsv), cat(masked(0x81, "a"), masked(0x89|rsv, "")), 1002, whyRSV, `text "a"`))
		add(failed(fmt.Sprintf("close with bits %#x", rsv), masked(0x88|rsv, ""), 1002, whyRSV))
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		add(failed(fmt.Sprintf("opcode %d", op), masked(fin|op, ""), 1002, whyOp))
		add(failed(fmt.Sprintf("opcode %d with data after text", op), cat(masked(0x81, "a"), masked(fin|op, "data"), masked(0x89, "")),
			1002, whyOp, `text "a"`))
		add(failed(fmt.Sprintf("opcode %d not final", op), masked(op, "a"), 1002, whyOp))
	}

	// §5.1 masking.
	add(failed("unmasked text", []byte("\x81\x05Hello"), 1002, whyMask))
	add(failed("unmasked close", []byte("\x88\x00"), 1002, whyMask))
	add(failed("unmasked continuation", cat(masked(0x01, "a"), []byte("\x80\x01b")), 1002, whyMask))

	// §5.2 lengths.
	add(failed("16 bits for 5", []byte("\x81\xfe\x00\x05\x01\x02\x03\x04Hello"), 1002, whyLen))
	add(failed("64 bits for 126", []byte("\x81\xff\x00\x00\x00\x00\x00\x00\x00\x7e\x01\x02\x03\x04"), 1002, whyLen))
	add(failed("highest bit", []byte("\x81\xff\x80\x00\x00\x00\x00\x00\x00\x7e\x01\x02\x03\x04"), 1002, whyMSB))

	// §5.4 fragmentation.
	good("two fragments", cat(masked(0x01, "frag"), masked(0x80, "ment")), []string{`text "fragment"`}, nil)
	good("empty fragments", cat(masked(0x01, ""), masked(0x00, ""), masked(0x80, "")), []string{`text ""`}, nil)
	good("empty ends", cat(masked(0x02, ""), masked(0x00, "mid"), masked(0x80, "")), []string{`binary "mid"`}, nil)
	good("ping between fragments", cat(masked(0x01, "a"), masked(0x89, "p"), masked(0x80, "b")),
		[]string{`ping "p"`, `text "ab"`}, []string{`pong "p"`})
	good("many pings between fragments", cat(masked(0x02, "a"), masked(0x89, "p"), masked(0x00, "b"), masked(0x89, "q"), masked(0x8a, "r"),
		masked(0x80, "c")), []string{`ping "p"`, `ping "q"`, `pong "r"`, `binary "abc"`}, []string{`pong "p"`, `pong "q"`})
	good("two fragmented messages", cat(masked(0x01, "a"), masked(0x80, "b"), masked(0x02, "c"), masked(0x80, "d"), masked(0x81, "e")),
		[]string{`text "ab"`, `binary "cd"`, `text "e"`}, nil)
	good("a byte a fragment", cat(masked(0x01, "a"), bytes.Repeat(masked(0x00, "b"), 50), masked(0x80, "c")),
		msg(websocket.Text, "a"+strings.Repeat("b", 50)+"c"), nil)
	add(failed("continuation of nothing", masked(0x80, "a"), 1002, whyCont))
	add(failed("open continuation of nothing", masked(0x00, "a"), 1002, whyCont))
	add(failed("continuation after a whole message", cat(masked(0x81, "a"), masked(0x80, "b")), 1002, whyCont, `text "a"`))
	add(failed("continuation after a fragmented message", cat(masked(0x01, "a"), masked(0x80, "b"), masked(0x80, "c")), 1002, whyCont, `text "ab"`))
	add(failed("text inside text", cat(masked(0x01, "a"), masked(0x81, "b")), 1002, whyNew))
	add(failed("open binary inside text", cat(masked(0x01, "a"), masked(0x02, "b")), 1002, whyNew))

	// §8.1 UTF-8.
	for i, text := range websocket.UTF8Texts {
		if len(text) > caseSize {
			continue
		}
		p := []byte(text)
		name := fmt.Sprintf("utf8 %d %q", i, text)
		frag := cat(masked(0x01, ""), masked(0x00, string(p[:len(p)/2])), masked(0x80, string(p[len(p)/2:])))
		each := masked(0x01, "")
		for _, b := range p {
			each = append(each, masked(0x00, string([]byte{b}))...)
		}
		each = append(each, masked(0x80, "")...)
		if firstBad(p) == len(p) && strings.ToValidUTF8(text, "") == text {
			good(name, masked(0x81, text), msg(websocket.Text, text), nil)
			good(name+" in fragments", frag, msg(websocket.Text, text), nil)
			good(name+" in bytes", each, msg(websocket.Text, text), nil)
		} else {
			add(failed(name, masked(0x81, text), 1007, whyText))
			add(failed(name+" in fragments", frag, 1007, whyText))
			add(failed(name+" in bytes", each, 1007, whyText))
		}
	}
	good("texts do not run into each other", cat(masked(0x81, "é"), masked(0x82, "\xa9"), masked(0x81, "é")),
		[]string{`text "é"`, `binary "\xa9"`, `text "é"`}, nil)

	// §5.5.1, §7.4 closing.
	reply := func(name, body, event, sent string) {
		add(frameCase{name, cat(masked(0x88, body), masked(0x81, "late"), masked(0x89, "late")), []string{event}, []string{sent}})
	}
	reply("close without a body", "", `end 1005 "" clean=true`, `close ""`)
	reply("close with a reason", closing(1000, "bye ✓"), `end 1000 "bye ✓" clean=true`, closed)
	reply("close with the longest reason", closing(1000, strings.Repeat("x", 123)),
		`end 1000 "`+strings.Repeat("x", 123)+`" clean=true`, closed)
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		reply(fmt.Sprintf("close %d", code), closing(code, "r"), fmt.Sprintf(`end %d "r" clean=true`, code), fmt.Sprintf(`close %d ""`, code))
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		add(failed(fmt.Sprintf("close %d", code), masked(0x88, closing(code, "")), 1002, whyCode))
		add(failed(fmt.Sprintf("close %d with a reason", code), masked(0x88, closing(code, "r")), 1002, whyCode))
	}
	add(failed("close of one byte", masked(0x88, "\x03"), 1002, whyByte))
	add(failed("close of 126", masked(0x88, closing(1000, strings.Repeat("x", 124))), 1002, whyLong))
	add(failed("fragmented close", masked(0x08, closing(1000, "")), 1002, whyFrag))
	add(failed("close reason not UTF-8", masked(0x88, closing(1000, "\xce\xba\xed\xa0\x80")), 1007, whyReas))
	add(failed("close reason cut off", masked(0x88, closing(1000, "\xe2\x82")), 1007, whyReas))
	add(frameCase{"close inside a fragmented message", cat(masked(0x01, "a"), bye, masked(0x80, "b")), []string{end}, []string{closed}})
	add(frameCase{"ping after close", cat(bye, masked(0x89, "p")), []string{end}, []string{closed}})

	// The limit.
	good("largest message", masked(0x82, x200), msg(websocket.Binary, x200), nil)
	add(failed("one byte more", masked(0x82, x200+"x"), 1009, whyBig))
	good("largest message in fragments", cat(masked(0x01, x125), masked(0x80, x200[:75])), msg(websocket.Text, x200), nil)
	add(failed("fragments one byte more", cat(masked(0x01, x125), masked(0x80, x200[:76])), 1009, whyBig))
	add(failed("first fragment too big", masked(0x01, x200+"x"), 1009, whyBig))
	add(failed("8 EiB announced", []byte("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04"), 1009, whyBig))
	add(failed("8 EiB announced in a continuation", cat(masked(0x02, "a"), []byte("\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04")),
		1009, whyBig))
	good("the limit is per message", cat(masked(0x01, x200), masked(0x80, ""), masked(0x82, x200)), append(msg(websocket.Text, x200), msg(websocket.Binary, x200)...), nil)
	return list
}

// Each case of RFC 6455 §5 to §8 whole, split at every byte, and byte by byte: always the same
// events and the same frames sent.
func TestConformance(t *testing.T) {
	for _, tc := range frameCases() {
		t.Run(tc.name, func(t *testing.T) {
			run := func(how string, pieces ...[]byte) {
				t.Helper()
				r := newRig(t, &websocket.Options{MaxMessage: caseSize})
				for _, p := range pieces {
					r.receive(bytes.Clone(p))
				}
				r.want(how+": events", r.events, tc.events...)
				r.want(how+": sent", r.frames(), tc.sent...)
				if !r.Wire.Shut {
					t.Errorf("%s: the stream to the peer was not ended", how)
				}
				if r.c.Recv.Len() > 0 {
					t.Errorf("%s: %d bytes are still kept", how, r.c.Recv.Len())
				}
				r.SendEOF()
				r.want(how+": events at the end", r.events, append(slices.Clone(tc.events), "closed")...)
			}
			run("whole", tc.in)
			for i := 1; i < len(tc.in); i++ {
				run(fmt.Sprintf("split at %d", i), tc.in[:i], tc.in[i:])
				if t.Failed() {
					return
				}
			}
			var each [][]byte
			for i := range tc.in {
				each = append(each, tc.in[i:i+1])
			}
			run("byte by byte", each...)
		})
	}
}
