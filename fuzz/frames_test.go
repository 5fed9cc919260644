package fuzz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
)

const (
	wsMaxMessage = 300
	wsRequest    = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

var (
	wsServer = http.NewServer(http.Options{})
	wsOpts   = &websocket.Options{MaxMessage: wsMaxMessage}
)

// wsRig is a WebSocket over a conntest.Wire, upgraded through package http.
type wsRig struct {
	c      *conn.Conn
	wire   *conntest.Wire
	loop   *conntest.Loop
	events []string
}

func newWSRig() *wsRig {
	r := &wsRig{wire: conntest.NewWire(), loop: conntest.NewLoop()}
	limits := conn.Limits{}.WithDefaults()
	r.c = r.loop.Add(r.wire, &limits, r.handle)
	http.Attach(r.c, wsServer)
	r.receive([]byte(wsRequest))
	if !websocket.Is(r.c) {
		panic("the upgrade failed: " + string(r.wire.Sent))
	}
	r.wire.Sent = nil
	return r
}

func (r *wsRig) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Message:
		if err := websocket.Upgrade(c, ev, wsOpts); err != nil {
			panic(err)
		}
	case *websocket.Message:
		r.events = append(r.events, fmt.Sprintf("%d %q", ev.Op, ev.Data))
	case *websocket.Control:
		if ev.Op == websocket.Close {
			r.events = append(r.events, fmt.Sprintf("end %d %v", ev.Code, ev.Clean))
		} else {
			r.events = append(r.events, fmt.Sprintf("%d %q", ev.Op, ev.Data))
		}
	case *conn.Error:
		r.events = append(r.events, "error "+ev.Reason.String())
	case *conn.Close:
		r.events = append(r.events, "closed")
	}
}

// receive delivers p and runs the loop until nothing is left to do.
func (r *wsRig) receive(p []byte) {
	if len(p) > 0 {
		r.wire.Arrive(p, nil)
	}
	r.turn()
}

func (r *wsRig) hangUp() {
	r.wire.Arrive(nil, nil)
	r.turn()
}

func (r *wsRig) turn() {
	if err := r.loop.Turn(); err != nil {
		panic(err)
	}
}

// runFrames gives the pieces to a new WebSocket, ends the stream, and returns what was seen and
// sent.
func runFrames(pieces ...[]byte) (events []string, sent []byte) {
	r := newWSRig()
	for _, p := range pieces {
		r.receive(p)
	}
	r.hangUp()
	return r.events, r.wire.Sent
}

// oracle reads the stream as RFC 6455 asks of a side, with gobwas/ws's reader, checks, and cipher,
// and says what must be seen.
func oracle(stream []byte, side ws.State) (events []string, sent []byte) {
	var message []byte
	var op ws.OpCode
	end := func(code ws.StatusCode, clean bool) ([]string, []byte) {
		return append(events, fmt.Sprintf("end %d %v", code, clean), "closed"), sent
	}
	fail := func(code ws.StatusCode) ([]string, []byte) {
		sent = append(sent, fmt.Sprintf("close %d;", code)...)
		return end(code, false)
	}
	for r := bytes.NewReader(stream); ; {
		at := len(stream) - r.Len()
		h, err := ws.ReadHeader(r)
		switch {
		case errors.Is(err, ws.ErrHeaderLengthMSB):
			return fail(ws.StatusProtocolError)
		case err != nil: // io.EOF, io.ErrUnexpectedEOF: the header is cut off, but its first bytes may tell enough
			if brokenStart(stream[at:], side) {
				return fail(ws.StatusProtocolError)
			}
			return end(ws.StatusAbnormalClosure, false)
		}
		state := side
		if op != 0 {
			state |= ws.StateFragmented
		}
		minimal := ws.HeaderSize(h) == len(stream)-r.Len()-at
		if ws.CheckHeader(h, state) != nil || !minimal {
			return fail(ws.StatusProtocolError)
		}
		if !h.OpCode.IsControl() && h.Length > int64(wsMaxMessage-len(message)) {
			return fail(ws.StatusMessageTooBig)
		}
		p := make([]byte, min(h.Length, int64(r.Len())))
		io.ReadFull(r, p)
		if h.Masked {
			ws.Cipher(p, h.Mask, 0)
		}
		whole := int64(len(p)) == h.Length
		if h.OpCode.IsControl() {
			if !whole {
				return end(ws.StatusAbnormalClosure, false)
			}
			if h.OpCode == ws.OpClose {
				return oracleClose(p, end, fail, &sent)
			}
			if h.OpCode == ws.OpPing {
				sent = append(sent, fmt.Sprintf("pong %q;", p)...)
			}
			events = append(events, fmt.Sprintf("%d %q", h.OpCode, p))
			continue
		}
		if op == 0 {
			op = h.OpCode
		}
		message = append(message, p...)
		if op == ws.OpText && !textSoFar(message, whole && h.Fin) {
			return fail(ws.StatusInvalidFramePayloadData)
		}
		if !whole {
			return end(ws.StatusAbnormalClosure, false)
		}
		if h.Fin {
			events = append(events, fmt.Sprintf("%d %q", op, message))
			message, op = nil, 0
		}
	}
}

func oracleClose(p []byte, end func(ws.StatusCode, bool) ([]string, []byte), fail func(ws.StatusCode) ([]string, []byte),
	sent *[]byte) ([]string, []byte) {
	code, reason := ws.ParseCloseFrameData(p)
	err := ws.CheckCloseFrameData(code, reason)
	switch {
	case len(p) == 0:
		*sent = append(*sent, "close;"...)
		return end(ws.StatusNoStatusRcvd, true)
	case len(p) == 1 || code >= 5000:
		return fail(ws.StatusProtocolError)
	case code >= 1012 && code <= 1014 && utf8.ValidString(reason): // registered since, and refused by gobwas/ws
	case errors.Is(err, ws.ErrProtocolInvalidUTF8), code >= 1012 && code <= 1014:
		return fail(ws.StatusInvalidFramePayloadData)
	case err != nil:
		return fail(ws.StatusProtocolError)
	}
	*sent = append(*sent, fmt.Sprintf("close %d;", code)...)
	return end(code, true)
}

// brokenStart reports whether a header that is cut off is refused for what there is of it.
func brokenStart(b []byte, side ws.State) bool {
	if len(b) < 2 {
		return false
	}
	whole := append(bytes.Clone(b), make([]byte, ws.MaxHeaderSize)...)
	short := b[1] & 0x7f
	full := 2
	switch short {
	case 126:
		full = 4
	case 127:
		full = 10
	}
	if len(b) < full {
		whole = []byte{b[0], b[1]&0x80 | min(short, 126), 1, 0, 0, 0, 0, 0} // any length that is well-formed
	}
	h, err := ws.ReadHeader(bytes.NewReader(whole))
	if err != nil {
		return true
	}
	// Checks that need the frames before, or the whole message, wait for the whole header.
	state := side
	if h.OpCode == ws.OpContinuation {
		state |= ws.StateFragmented
	}
	size := full
	if h.Masked {
		size += 4
	}
	return ws.CheckHeader(h, state) != nil || len(b) >= full && ws.HeaderSize(h) != size
}

// textSoFar reports whether p is UTF-8, or, unless it is complete, the beginning of UTF-8.
func textSoFar(p []byte, complete bool) bool {
	for len(p) > 0 {
		c, n := utf8.DecodeRune(p)
		if c == utf8.RuneError && n == 1 {
			break
		}
		p = p[n:]
	}
	if complete || len(p) == 0 || len(p) > 3 {
		return len(p) == 0
	}
	for _, rest := range []string{"\x80", "\x80\x80", "\x80\x80\x80", "\xa0\x80", "\x90\x80\x80"} {
		if utf8.Valid(append(bytes.Clone(p), rest...)) {
			return true
		}
	}
	return false
}

// sentWords puts the frames that a side has sent in the words of the oracle.
func sentWords(b []byte, side ws.State) (words []byte) {
	for len(b) > 0 {
		//lint:ignore SA1019 the bytes are here already: no peer can make it read more
		f, err := ws.ReadFrame(bytes.NewReader(b))
		if err != nil {
			return append(words, err.Error()...)
		}
		b = b[ws.HeaderSize(f.Header)+len(f.Payload):]
		masked := f.Header.Masked
		if masked {
			f = ws.UnmaskFrame(f)
		}
		switch {
		case masked != side.ClientSide():
			words = append(words, "masked or not;"...)
		case f.Header.OpCode == ws.OpClose && len(f.Payload) == 0:
			words = append(words, "close;"...)
		case f.Header.OpCode == ws.OpClose:
			words = append(words, fmt.Sprintf("close %d;", binary.BigEndian.Uint16(f.Payload))...)
		case f.Header.OpCode == ws.OpPong:
			words = append(words, fmt.Sprintf("pong %q;", f.Payload)...)
		default:
			words = append(words, fmt.Sprintf("frame %d;", f.Header.OpCode)...)
		}
	}
	return words
}

func clientFrame(first byte, payload string) []byte {
	f := ws.MaskFrameWith(ws.Frame{Header: ws.Header{
		Fin: first&0x80 != 0, Rsv: first >> 4 & 7, OpCode: ws.OpCode(first & 15), Length: int64(len(payload)),
	}, Payload: []byte(payload)}, [4]byte{0x11, 0x22, 0x33, 0x44})
	b, _ := ws.CompileFrame(f)
	return b
}

// FuzzFrames sends any bytes to a WebSocket: what it sees and answers is what gobwas/ws's reader
// says, and is the same whether they come whole, in two pieces, or one by one.
func FuzzFrames(f *testing.F) {
	close1000 := clientFrame(0x88, "\x03\xe8")
	for _, seed := range [][]byte{
		slices.Concat(clientFrame(0x81, "hello"), clientFrame(0x82, "\xff"), close1000),
		slices.Concat(clientFrame(0x01, "κό"), clientFrame(0x89, "p"), clientFrame(0x80, "σμε"), close1000),
		slices.Concat(clientFrame(0x01, "\xce"), clientFrame(0x00, "\xba"), clientFrame(0x80, "\xed\xa0\x80")),
		slices.Concat(clientFrame(0x02, string(make([]byte, 200))), clientFrame(0x80, string(make([]byte, 101)))),
		clientFrame(0x82, string(make([]byte, 300))), clientFrame(0x82, string(make([]byte, 301))), clientFrame(0x8a, "x"),
		clientFrame(0xc1, "x"), clientFrame(0x83, "x"), clientFrame(0x80, "x"), clientFrame(0x09, "x"), clientFrame(0x88, "\x03"),
		clientFrame(0x88, ""), clientFrame(0x88, "\x03\xf4r"), clientFrame(0x88, "\x03\xf4\xff"), clientFrame(0x88, "\x13\x88"),
		clientFrame(0x88, "\x03\xed"), clientFrame(0x89, string(make([]byte, 126))), []byte("\x81\x05Hello"),
		[]byte("\x81\xfe\x00\x05\x01\x02\x03\x04Hello"), []byte("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04"),
		[]byte("\x82\xff\x00\x00\x00\x00\x7f\xff\xff\xff\x01\x02\x03\x04x"), []byte("\x89\xfe"), []byte("\x81"),
	} {
		f.Add(seed, 3)
		f.Add(seed, 9)
	}
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		if len(stream) > 4096 {
			return
		}
		events, sent := oracle(stream, ws.StateServerSide)
		check := func(how string, pieces ...[]byte) {
			gotEvents, gotSent := runFrames(pieces...)
			if !slices.Equal(gotEvents, events) || string(sentWords(gotSent, ws.StateServerSide)) != string(sent) {
				t.Fatalf("%s: % x\n got  %q %s\n want %q %s", how, stream, gotEvents, sentWords(gotSent, ws.StateServerSide), events, sent)
			}
		}
		cut = int(uint(cut) % uint(len(stream)+1))
		var each [][]byte
		for i := range stream {
			each = append(each, stream[i:i+1])
		}
		check("whole", stream)
		check(fmt.Sprintf("split at %d", cut), stream[:cut], stream[cut:])
		check("byte by byte", each...)
	})
}

// FuzzUTF8 sends any bytes as a text in two fragments, cut anywhere: unicode/utf8 says what must
// become of it, and, when the last byte is withheld, whether it must have failed already.
func FuzzUTF8(f *testing.F) {
	for _, s := range []string{"", "ascii only, and long enough", "κόσμε", "日本語", "😀", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "a\x80"} {
		f.Add([]byte(s), 1, 2)
	}
	f.Fuzz(func(t *testing.T, text []byte, frame, cut int) {
		if len(text) > wsMaxMessage {
			return
		}
		frame = int(uint(frame) % uint(len(text)+1))
		in := slices.Concat(clientFrame(0x01, string(text[:frame])), clientFrame(0x80, string(text[frame:])))
		cut = int(uint(cut) % uint(len(in)+1))
		events, _ := runFrames(in[:cut], in[cut:], clientFrame(0x88, ""))
		want := []string{fmt.Sprintf("1 %q", text), "end 1005 true", "closed"}
		if !utf8.Valid(text) {
			want = []string{"end 1007 false", "closed"}
		}
		if !slices.Equal(events, want) {
			t.Fatalf("% x: got %q, want %q", text, events, want)
		}

		// Without the end of the stream the first bad byte must do.
		if n := len(in) - 1; frame < len(text) && cut <= n {
			events, _ = runFrames(in[:cut], in[cut:n])
			bad := !textSoFar(text[:len(text)-1], false)
			if bad != (events[0] == "end 1007 false") {
				t.Fatalf("% x without its last byte: %q", text, events)
			}
		}
	})
}
