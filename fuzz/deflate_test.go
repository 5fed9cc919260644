package fuzz

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

const deflateTail = "\x00\x00\xff\xff"

// newDeflateRig is a server on which a client has made an offer. It returns what came back.
func newDeflateRig(opts *websocket.Options, offer string, echo bool) (*wsRig, string) {
	var chunks []byte
	r := handshakeRig(func(r *wsRig, c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			websocket.Upgrade(c, ev, opts)
		case *websocket.Chunk:
			if ev.First {
				chunks = nil
			}
			if chunks = append(chunks, ev.Data...); ev.Last {
				r.events = append(r.events, fmt.Sprintf("%d %q", ev.Op, chunks))
			}
		case *websocket.Message:
			r.handle(c, ev)
			if echo {
				websocket.Send(c, ev.Op, ev.Data)
			}
		default:
			r.handle(c, ev)
		}
	})
	http.Attach(r.c, wsServer)
	r.receive([]byte(strings.Replace(wsRequest, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: "+offer+"\r\n\r\n", 1)))
	reply := string(r.wire.Sent)
	r.wire.Sent = nil
	return r, reply
}

// inflated returns what compress/flate makes of a message, up to more than a message may have, and
// whether it ends as it should: between two blocks when the tail is behind it, which blocks that do
// end the stream, put behind that, show; or with the end of a stream.
func inflated(payload, window []byte) (out []byte, whole bool) {
	first := true
	for _, end := range []string{"\x01\x00\x00\xff\xff", "\x00\x00\x00\xff\xff\x01\x00\x00\xff\xff"} {
		in := bytes.NewReader(slices.Concat(payload, []byte(deflateTail+end)))
		got := bytes.Clone(window)
		for in.Len() > 0 {
			z := flate.NewReaderDict(in, got)
			p, err := io.ReadAll(io.LimitReader(z, int64(wsMaxMessage+1+len(window)-len(got))))
			got = append(got, p...)
			if err != nil || len(got)-len(window) > wsMaxMessage {
				return got[len(window):], false
			}
			if in.Len() == len(deflateTail+end) {
				break
			}
		}
		if !first && !bytes.Equal(got[len(window):], out) {
			return out, false // it is the end that was inflated
		}
		out, first = got[len(window):], false
	}
	return out, true
}

// FuzzDeflate sends any bytes as a compressed message, with takeover and without, as *Message and
// as *Chunk: what compress/flate inflates is what is delivered, and what is not right ends the
// WebSocket with 1007 or 1009. Of what is sent back compress/flate makes the same.
func FuzzDeflate(f *testing.F) {
	for _, s := range []string{"\x00", "", "\xf2\x48\xcd\xc9\xc9\x07\x00", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "\xf2\x00\x11\x00\x00",
		"\x00\x05\x00\xfa\xffHello\x00", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "\x4a\x4c\x1c\x05\xa3\x00\x00", "\x06", "\x00\x01\x00\xfe\xff\xff\x00"} {
		f.Add([]byte(s), 3, false, 9)
		f.Add([]byte(s), 1, true, 20)
	}
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9)
	for i := range 40 {
		fmt.Fprint(w, i*i, "κόσμε")
	}
	w.Flush()
	f.Add(bytes.TrimSuffix(b.Bytes(), []byte(deflateTail)), 30, true, 50)
	f.Fuzz(func(t *testing.T, payload []byte, frame int, text bool, cut int) {
		if len(payload) > 4096 {
			return
		}
		frame = int(uint(frame) % uint(len(payload)+1))
		first := byte(0x42)
		if text {
			first = 0x41
		}
		const hello = "\xf2\x48\xcd\xc9\xc9\x07\x00"
		stream := slices.Concat(clientFrame(0xc1, hello), clientFrame(first, string(payload[:frame])), clientFrame(0x89, "p"),
			clientFrame(0x80, string(payload[frame:])), clientFrame(0xc1, hello), clientFrame(0x88, ""))
		cut = int(uint(cut) % uint(len(stream)+1))
		for i := range 4 {
			takeover, chunks := i&1 != 0, i&2 != 0
			var window []byte
			if takeover {
				window = []byte("Hello")
			}
			out, whole := inflated(payload, window)
			ok := whole && len(out) <= wsMaxMessage && (!text || utf8.Valid(out))
			run := func(pieces ...[]byte) []string {
				opts := &websocket.Options{MaxMessage: wsMaxMessage, Stream: chunks,
					Compress: deflate.New(deflate.Options{ServerTakeover: takeover, ClientTakeover: takeover, Threshold: -1})}
				echo := ok && !chunks
				offer, reach := "permessage-deflate", 1<<15
				if cut%2 == 0 { // less than a message may have
					offer, reach = offer+"; server_max_window_bits=8", 1<<8
				}
				r, _ := newDeflateRig(opts, offer, echo)
				for _, p := range pieces {
					r.receive(p)
				}
				if !takeover {
					reach = 0
				}
				if echo {
					checkEchoes(t, r, reach, "Hello", string(out), "Hello")
				}
				r.hangUp()
				return r.events
			}
			got := run(stream)
			want := []string{`1 "Hello"`, `9 "p"`, fmt.Sprintf("%d %q", first&15, out), `1 "Hello"`, "end 1005 true", "closed"}
			if ok && !slices.Equal(got, want) {
				t.Fatalf("% x, %v %v: got %q, want %q", payload, takeover, chunks, got, want)
			}
			end := got[len(got)-2]
			if !ok && end != "end 1007 false" && end != "end 1009 false" {
				t.Fatalf("% x, %v %v: got %q, although it is not right", payload, takeover, chunks, got)
			}
			if again := run(stream[:cut], stream[cut:]); !slices.Equal(got, again) {
				t.Fatalf("% x, %v %v: %q, and cut at %d %q", payload, takeover, chunks, got, cut, again)
			}
			each := make([][]byte, len(stream))
			for i := range stream {
				each[i] = stream[i : i+1]
			}
			if again := run(each...); !slices.Equal(got, again) {
				t.Fatalf("% x, %v %v: %q, and byte by byte %q", payload, takeover, chunks, got, again)
			}
		}
	})
}

// checkEchoes inflates what was sent back, where each message may refer to the reach bytes before
// it.
func checkEchoes(t *testing.T, r *wsRig, reach int, want ...string) {
	var window []byte
	for b := r.wire.Sent; len(b) > 0 && len(want) > 0; {
		n, head := int(b[1]), 2
		if n == 126 {
			n, head = int(b[2])<<8|int(b[3]), 4
		}
		first, p := b[0], b[head:head+n]
		b = b[head+n:]
		if first&8 != 0 {
			continue
		}
		if first&0x40 != 0 {
			var whole bool
			if p, whole = inflated(p, window); !whole {
				t.Fatalf("what was sent back is not whole")
			}
			window = append(window, p...)
			window = window[max(0, len(window)-reach):]
		}
		if string(p) != want[0] {
			t.Fatalf("%q was sent back for %q", p, want[0])
		}
		want = want[1:]
	}
	if len(want) > 0 {
		t.Fatalf("no echo of %q", want)
	}
}

const (
	reToken = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	reValue = `(?:` + reToken + `|"(?:[!#$%&'*+.^_` + "`" + `|~0-9A-Za-z-]|\\[!#$%&'*+.^_` + "`" + `|~0-9A-Za-z-])+")`
	reParam = `[ \t]*;[ \t]*(` + reToken + `)(?:[ \t]*=[ \t]*(` + reValue + `))?`
)

var (
	extensionList  = regexp.MustCompile(`^[ \t,]*(?:E(?:[ \t]*,[ \t,]*E)*)?[ \t,]*$`)
	extensionParam = regexp.MustCompile(reParam)
	extensionOne   = regexp.MustCompile(`(` + reToken + `)((?:` + reParam + `)*)`)
)

// expectedAnswer is what a server that allows takeover both ways answers, by the grammar of RFC 6455 §9.1 as an expression.
func expectedAnswer(list string) (answer string, err error) {
	parts := extensionOne.FindAllStringSubmatch(list, -1)
	if !extensionList.MatchString(extensionOne.ReplaceAllString(list, "E")) {
		return "", errors.New("malformed")
	}
	for _, part := range parts {
		if !strings.EqualFold(part[1], "permessage-deflate") {
			continue
		}
		params := map[string]string{}
		valid := true
		for _, m := range extensionParam.FindAllStringSubmatch(part[2], -1) {
			name, value := strings.ToLower(m[1]), strings.ReplaceAll(strings.Trim(m[2], `"`), `\`, "")
			if _, twice := params[name]; twice {
				valid = false
			}
			params[name] = value
			bits := regexp.MustCompile(`^([89]|1[0-5])$`).MatchString(value)
			switch name {
			case "server_no_context_takeover", "client_no_context_takeover":
				valid = valid && value == ""
			case "server_max_window_bits":
				valid = valid && bits
			case "client_max_window_bits":
				valid = valid && (bits || value == "")
			default:
				valid = false
			}
		}
		if !valid {
			continue
		}
		answer = "permessage-deflate"
		_, serverNo := params["server_no_context_takeover"]
		_, clientNo := params["client_no_context_takeover"]
		if serverNo {
			answer += "; server_no_context_takeover"
		}
		if clientNo {
			answer += "; client_no_context_takeover"
		}
		if bits := params["server_max_window_bits"]; bits != "" {
			answer += "; server_max_window_bits=" + bits
		}
		if bits := params["client_max_window_bits"]; bits != "" && bits != "15" && !clientNo {
			answer += "; client_max_window_bits=" + bits
		}
		return answer, nil
	}
	return "", nil
}

// FuzzExtensions offers any extensions: what is malformed is refused, and else the answer is the expected one.
func FuzzExtensions(f *testing.F) {
	for _, s := range []string{"permessage-deflate", "permessage-deflate; server_no_context_takeover; client_max_window_bits=9", "a, b; c=d",
		`permessage-deflate; server_max_window_bits="1\0"`, "permessage-deflate; server_max_window_bits=7, permessage-deflate",
		"permessage-deflate; x", "permessage-deflate;", ", ,", "permessage-deflate; client_max_window_bits; client_max_window_bits", `a; b=""`, "a b"} {
		f.Add(s)
	}
	opts := &websocket.Options{Compress: deflate.New(deflate.Options{ServerTakeover: true, ClientTakeover: true})}
	field := regexp.MustCompile(`\r\nSec-WebSocket-Extensions: (.*)\r\n`)
	f.Fuzz(func(t *testing.T, list string) {
		if len(list) > 1000 || strings.ContainsFunc(list, func(c rune) bool { return c < ' ' && c != '\t' || c >= 0x7f }) {
			return // not a field's value
		}
		want, err := expectedAnswer(list)
		r, reply := newDeflateRig(opts, list, false)
		switch {
		case err != nil:
			if !strings.HasPrefix(reply, "HTTP/1.1 400 ") {
				t.Fatalf("%q is malformed, and answered with %q", list, reply)
			}
		case !strings.HasPrefix(reply, "HTTP/1.1 101 "):
			t.Fatalf("%q is answered with %q", list, reply)
		default:
			got := ""
			if m := field.FindStringSubmatch(reply); m != nil {
				got = m[1]
			}
			if got != want {
				t.Fatalf("%q is answered with %q, want %q", list, got, want)
			}
		}
		r.hangUp() // gives back what takeover has reserved
	})
}
