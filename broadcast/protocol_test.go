package broadcast

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/seed4930a636/mangusta/mgr"
)

var publishers = DoorOptions{Rights: Rights{Publish: func(string) bool { return true }}}

// orders are what a client sends in the dialogue of the tests below. The last frame is a Close.
func orders() []byte {
	var b bytes.Buffer
	frame := func(f ws.Frame) { ws.WriteFrame(&b, ws.MaskFrameInPlaceWith(f, [4]byte{1, 2, 3, 4})) }
	for _, text := range []string{
		`{"subscribe":{"c/+":null,"c":null},"interval":0}`, // nothing that comes in a later turn
		`{"publish":"a/ü","data":{"x":[1,"\u00fc"]},"id":7}`,
		`{"publish":"b","base64":"/wA=","id":"s"}`,
		`{"latest":["c"],"unsubscribe":["c/+","no"],"token":"t","ping":true}`,
	} {
		frame(ws.NewTextFrame([]byte(text)))
	}
	frame(ws.NewBinaryFrame([]byte("{\"publish\":\"b\",\"id\":8}\n\xff\n")))
	frame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")))
	return b.Bytes()
}

var offsets = regexp.MustCompile(`\d{10,}`)

// converse sends what a client has to say, in parts, and returns what the Door says, up to its
// Close frame or the end. Offsets are written as distances from the hub's before it.
func (r *rig) converse(parts ...[]byte) (all []string) {
	r.t.Helper()
	base := r.hub.Offset()
	c := r.enter("")
	defer c.Close()
	for _, p := range parts {
		c.Write(p)
		r.do(func() {}) // it is read: by the turn after this one at the latest
		r.do(func() {})
	}
	for {
		text, err := c.read()
		if err != nil {
			return append(all, err.Error())
		}
		all = append(all, offsets.ReplaceAllStringFunc(text, func(s string) string {
			n, _ := strconv.ParseUint(s, 10, 64)
			return fmt.Sprintf("+%d", n-base)
		}))
	}
}

// However the bytes of a client come apart, the Door does the same.
func TestTheDoorReadsOrdersSplitAtEachByte(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newDoorRig(t, p, Options{}, publishers)
		b := orders()
		want := strings.Join(r.converse(b), "\n")
		if n := strings.Count(want, "\n"); n != 7 || !strings.HasSuffix(want, "close 1000") {
			t.Fatalf("%d lines:\n%s", n, want)
		}
		for i := range len(b) {
			if got := strings.Join(r.converse(b[:i], b[i:]), "\n"); got != want {
				t.Fatalf("split at %d:\n%s\ninstead of\n%s", i, got, want)
			}
		}
		parts := make([][]byte, len(b))
		for i := range b {
			parts[i] = b[i : i+1]
		}
		if got := strings.Join(r.converse(parts...), "\n"); got != want {
			t.Fatalf("byte by byte:\n%s\ninstead of\n%s", got, want)
		}
	})
}

// Whatever a client says, it gets messages that are valid, and its link ends as links do; nobody
// else is touched.
func TestTheDoorStandsMutatedOrders(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		var log panics
		r := newDoorRig(t, p, Options{History: History{Count: 2}}, publishers)
		r.do(func() { r.log = &log })
		other := r.enter("")
		b := orders()
		closing := ws.MaskFrameInPlaceWith(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")), [4]byte{1, 2, 3, 4})
		var end bytes.Buffer
		ws.WriteFrame(&end, closing)
		for i := range b {
			for _, x := range []byte{b[i] ^ 1, b[i] ^ 0x80, 0, 0xff, '"'} {
				m := bytes.Clone(b)
				m[i] = x
				c := r.enter("")
				c.Write(m)
				c.Write(end.Bytes())
				c.Conn.(interface{ CloseWrite() error }).CloseWrite() // a length that has grown waits for no more
				for {
					text, err := c.read()
					if err != nil {
						if s := err.Error(); err != io.EOF && !strings.HasPrefix(s, "close 1") && !strings.HasPrefix(s, "close 4401") && !strings.Contains(s, "reset by peer") {
							t.Fatalf("byte %d is %#x: %v", i, x, err)
						}
						break
					}
					if head, _, _ := strings.Cut(text, "\n"); !json.Valid([]byte(head)) {
						t.Fatalf("byte %d is %#x: %q", i, x, text)
					}
				}
				c.Close()
			}
		}
		other.say(`{"ping":true}`)
		other.want(`{"pong":0}`)
		r.do(func() {
			for _, text := range log.list {
				t.Error(text)
			}
		})
		r.until("the end of all", func(s Stats) bool { return s.Subscriptions == 0 })
	})
}

// Numbers that no client should send, patterns by the thousand, and names twice: each has a reply
// or a Close frame.
func TestTheDoorTakesOddValues(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newDoorRig(t, p, Options{History: History{Count: 2}, Retain: true}, publishers)
		r.publish("a", "1")
		at := r.hub.Offset()
		const message = `{"topic":"a","offset":+1,"data":1}`
		reset := []string{`{"missed":0,"reset":true}`, message, `{"live":+1}`}
		all := []string{message, `{"live":+1}`}
		none := []string{`{"live":+1}`}
		for since, want := range map[string][]string{
			"0": all, "null": all, fmt.Sprint(at): none,
			"1": reset, "2": reset, "-1": reset, "9007199254740992": reset, "9223372036854775808": reset, "18446744073709551615": reset,
			"18446744073709551616": reset, "1e400": reset, "-0": reset, "0.5": reset, fmt.Sprint(at) + ".0": reset, `"12"`: reset, `{}`: reset,
			`[[1]]`: reset, "true": reset, `""`: reset, fmt.Sprint(at + 1): reset, "1E+2": reset,
		} {
			c := r.enter("")
			c.say(`{"subscribe":{"a":` + since + `}}`)
			for _, want := range want {
				if got, err := c.read(); r.relative(got) != want {
					t.Errorf("since %s: %q, %v instead of %q", since, got, err, want)
				}
			}
			c.Close()
			// The same as an offset of an EventSource, which is never refused.
			if since == "null" || strings.ContainsAny(since, `"{[`) {
				continue
			}
			s := r.open("GET /hub?topic=a HTTP/1.1\r\nHost: x\r\nLast-Event-ID: "+since+"\r\n\r\n", true)
			for _, want := range want {
				if got, err := s.readAny(); r.relative(got) != want {
					t.Errorf("Last-Event-ID %s: %q, %v instead of %q", since, got, err, want)
				}
			}
			s.Close()
		}
		for _, id := range []string{"\xff\xfe", "NaN", "%00", strings.Repeat("9", 4000)} {
			s := r.open("GET /hub?topic=a HTTP/1.1\r\nHost: x\r\nLast-Event-ID: "+id+"\r\n\r\n", true)
			for _, want := range reset {
				if got, err := s.readAny(); r.relative(got) != want {
					t.Errorf("Last-Event-ID %.20q: %q, %v instead of %q", id, got, err, want)
				}
			}
			s.Close()
		}
		for _, query := range []string{"topic=a&since=-1", "topic=a&since=1e400", "topic=a&since=NaN", "topic=a&since=18446744073709551616",
			"topic=a&interval=-1", "topic=a&interval=NaN", "topic=a&interval=1e400", "topic=", "topic=a%23", "topic=%ff", "topic=a%00", "latest=a",
			"topic=" + strings.Repeat("a/", 200), "topic=%zz"} {
			r.wantStatus("GET /hub?"+query, 400)
		}

		// Intervals, and messages that are no orders. NaN is no JSON.
		c := r.enter("")
		c.say(`{"subscribe":{"a":null}}`)
		c.wantRelative(r, message, `{"live":+1}`)
		for _, ms := range []string{"-1", "1e400", "9223372036854775808", "18446744073709551616", "1.5", `"x"`, "null", "[]", "18446744073709551615", "0"} {
			c.say(`{"interval":` + ms + `,"ping":true}`)
			c.wantRelative(r, `{"pong":+1}`)
		}
		for _, text := range []string{`{"interval":NaN}`, `[]`, ``, ` `, `{"a":1}{}`, strings.Repeat(`{"a":`, 5000), `{"subscribe":{"a":01}}`} {
			x := r.enter("")
			x.say(text)
			if got := x.end(); got != "close 1003" {
				t.Errorf("%.20q: %s", text, got)
			}
		}

		// Ids come back as they are, and one may be there twice.
		for _, id := range []string{"7", "7", "1e400", "-1", "18446744073709551616", `"x\u0000"`, `[1,{"a":null}]`, "null", `""`} {
			c.say(`{"publish":"z/+","data":1,"id":` + id + `}`)
			c.want(`{"reply":` + id + `,"error":"broadcast: malformed topic"}`)
		}

		// Thousands of patterns, deep ones, and names twice.
		c = r.enter("")
		c.say(`{"subscribe":{"a":null,"a":null,"a":0},"latest":["a","a"]}`)
		c.wantRelative(r, message, `{"live":+1}`)
		deep := strings.Repeat("a/", 2000) + "a"
		c.say(`{"subscribe":{"` + deep + `":null},"unsubscribe":["` + deep + `"],"latest":["` + deep + `",1,null]}`)
		c.want(`{"refused":"` + deep + `","error":"broadcast: malformed pattern"}`)
		c.wantRelative(r, `{"live":+1}`)
		for kind, list := range map[string]string{"subscribe": `{"b":null`, "latest": `["a"`, "unsubscribe": `["a"`} {
			var text strings.Builder
			text.WriteString(`{"ping":true,"` + kind + `":` + list)
			for i := range 5_000 {
				switch kind {
				case "subscribe":
					fmt.Fprintf(&text, `,"%d":0`, i)
				default:
					text.WriteString(`,"a"`)
				}
			}
			text.WriteString(map[bool]string{true: "}}", false: "]}"}[kind == "subscribe"])
			x := r.enter("")
			x.say(`{"subscribe":{"a":0}}`)
			x.wantRelative(r, message, `{"live":+1}`)
			x.say(text.String())
			if kind == "unsubscribe" {
				x.wantRelative(r, `{"pong":0}`)
			} else if got := x.end(); got != "close 1008" {
				t.Errorf("%s: %s", kind, got)
			}
			x.Close()
		}
		r.wantStatus("GET /hub?"+strings.Repeat("topic=a&", 500)+"latest=a", 200)
	})
}

// FuzzDoor has a client say anything, as a text and as a binary message: what it is told is valid,
// its link ends, no handler panics, and nothing is left.
func FuzzDoor(f *testing.F) {
	for _, text := range []string{`{"subscribe":{"a/+":null,"b":0},"interval":0,"delta":true}`, `{"publish":"a/ü","data":{"x":[1,"\u00fc"]},"id":7}`,
		`{"publish":"b","base64":"/wA=","id":"s"}`, `{"latest":["b"],"unsubscribe":["a/+","no"],"token":"t","ping":true}`,
		"{\"publish\":\"b\",\"id\":8}\n\xff\n", `{"subscribe":{"a":1e400,"a":-1},"latest":{"a":1}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var log panics
		r := newDoorRig(t, mgr.Auto, Options{History: History{Count: 2}, Retain: true}, publishers)
		r.do(func() { r.log = &log })
		c := r.enter("")
		c.say(`{"subscribe":{"a/+":null}}`)
		for _, frame := range []ws.Frame{ws.NewTextFrame(data), ws.NewBinaryFrame(data), ws.NewCloseFrame(ws.NewCloseFrameBody(1000, ""))} {
			ws.WriteFrame(c.Conn, ws.MaskFrame(frame))
		}
		for {
			text, err := c.read()
			if err != nil {
				break
			}
			if head, _, _ := strings.Cut(text, "\n"); !json.Valid([]byte(head)) && !json.Valid([]byte(text)) {
				t.Fatalf("%q", text)
			}
		}
		c.Close()
		r.until("the end", func(s Stats) bool { return s.Subscriptions == 0 })
		r.do(func() {
			for _, text := range log.list {
				t.Error(text)
			}
		})
	})
}
