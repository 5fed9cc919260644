package websocket_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/racetest"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

const whyCorrupt = "compressed data is corrupt"

// RFC 7692 §6, §7.2: what is received, the examples of §7.2.3 byte for byte.
func TestInflatesFrames(t *testing.T) {
	type test struct {
		name string
		in   []byte
		want []string // "*" stands for the closing handshake
	}
	var z codec
	hello := "\xf2\x48\xcd\xc9\xc9\x07\x00"
	long := strings.Repeat("ab", caseSize/2)
	ok, bad := func(e ...string) []string { return append(e, `end 1000 "" clean=true`) }, func(code int, why string, e ...string) []string {
		return append(e, fmt.Sprintf("end %d %q clean=false", code, why))
	}
	const text = `text "Hello"`
	list := []test{
		{"§7.2.3.1 one frame", masked(0xc1, hello), ok(text)},
		{"§7.2.3.1 two frames", cat(masked(0x41, hello[:3]), masked(0x80, hello[3:])), ok(text)},
		{"§7.2.3.2 the window is empty again without takeover", cat(masked(0xc1, hello), masked(0xc1, "\xf2\x00\x11\x00\x00")),
			bad(1007, whyCorrupt, text)},
		{"§7.2.3.3 a block without compression", masked(0xc1, "\x00\x05\x00\xfa\xffHello\x00"), ok(text)},
		{"§7.2.3.4 a last block", masked(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), ok(text)},
		{"§7.2.3.4 a last block with nothing after it", masked(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00"), ok(text)},
		{"§7.2.3.4 last blocks inside", masked(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), ok(`text "HelloHello"`)},
		{"§7.2.3.5 two blocks", masked(0xc1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), ok(text)},
		{"§7.2.3.6 an empty message", masked(0xc1, "\x00"), ok(`text ""`)},
		{"§7.2.3.6 an empty message as compress/flate makes it", masked(0xc2, z.deflate("")), ok(`binary ""`)},
		{"an empty last fragment", cat(masked(0x41, hello), masked(0x80, "")), ok(text)},
		{"an empty first fragment", cat(masked(0x41, ""), masked(0x80, hello)), ok(text)},
		{"fragments of one byte", cat(masked(0x41, hello[:1]), masked(0, hello[1:2]), masked(0, hello[2:3]), masked(0, hello[3:4]), masked(0, hello[4:5]),
			masked(0, hello[5:6]), masked(0x80, hello[6:])), ok(text)},
		{"control frames between", cat(masked(0x41, hello[:2]), masked(0x89, "p"), masked(0x00, hello[2:5]), masked(0x8a, "q"), masked(0x80, hello[5:])),
			ok(`ping "p"`, `pong "q"`, text)},
		{"§6 plain messages between", cat(masked(0xc1, hello), masked(0x81, "plain"), masked(0x01, "a"), masked(0x80, "b"), masked(0xc1, hello)),
			ok(text, `text "plain"`, `text "ab"`, text)},
		{"binary", masked(0xc2, z.deflate("\xff\x00\xfe")), ok(`binary "\xff\x00\xfe"`)},
		{"UTF-8 across blocks and frames", cat(masked(0x41, "\x00\x01\x00\xfe\xff\xce"), masked(0x80, "\x00\x01\x00\xfe\xff\xba\x00")), ok(`text "κ"`)},
		{"the largest", masked(0xc1, z.deflate(long)), ok("text " + short([]byte(long)))},
		{"the largest, without compression", masked(0xc2, "\x00\xc8\x00\x37\xff"+long+"\x00"), ok("binary " + short([]byte(long)))},

		{"one byte more", masked(0xc1, z.deflate(long+"a")), bad(1009, whyBig)},
		{"much more", masked(0xc2, z.deflate(strings.Repeat("a", 10_000))), bad(1009, whyBig)},
		{"one byte more, without compression", masked(0xc2, "\x00\xc9\x00\x36\xff"+long+"a\x00"), bad(1009, whyBig)},
		{"§6.1 RSV1 in a continuation", cat(masked(0x41, hello[:2]), masked(0xc0, hello[2:])), bad(1002, whyRSV)},
		{"RSV1 in a continuation of a plain message", cat(masked(0x01, "a"), masked(0xc0, hello)), bad(1002, whyRSV)},
		{"RSV1 in a ping", masked(0xc9, hello), bad(1002, whyRSV)},
		{"RSV1 in a close", masked(0xc8, "\x03\xe8"), bad(1002, whyRSV)},
		{"RSV1 and RSV2", masked(0xe1, hello), bad(1002, whyRSV)},
		{"RSV2", masked(0xa1, hello), bad(1002, whyRSV)},
		{"RSV3", masked(0x91, hello), bad(1002, whyRSV)},
		{"a new message inside", cat(masked(0x41, hello[:2]), masked(0xc1, hello)), bad(1002, whyNew)},
		{"garbage", masked(0xc1, "\xff\xff\xff"), bad(1007, whyCorrupt)},
		{"a reserved block type", masked(0xc2, "\x06"), bad(1007, whyCorrupt)},
		{"cut off", masked(0xc1, hello[:4]), bad(1007, whyCorrupt)},
		{"no byte at all", masked(0xc1, ""), bad(1007, whyCorrupt)},
		{"the tail is not stripped off", masked(0xc2, "\x00\x05\x00\xfa\xffHello"), bad(1007, whyCorrupt)},
		{"not UTF-8", masked(0xc1, z.deflate("a\xed\xa0\x80")), bad(1007, whyText)},
		{"UTF-8 cut off", masked(0xc1, z.deflate("a\xe2\x82")), bad(1007, whyText)},
		{"UTF-8 cut off by the next frame", cat(masked(0x41, z.deflate("\xe2\x82")+tail), masked(0x80, "\x00")), bad(1007, whyText)},
	}
	for _, tc := range list {
		t.Run(tc.name, func(t *testing.T) {
			for i := range 4 {
				stream, fresh := i&1 != 0, i&2 != 0
				in := cat(tc.in, masked(0x88, closing(1000, "")))
				ways(in, func(how string, pieces ...[]byte) bool {
					r := newDeflateRig(t, &websocket.Options{MaxMessage: caseSize, Compress: deflate.New(), Stream: stream}, "")
					if fresh {
						websocket.FreshPart(r.c) // without the buffer of an earlier message
					}
					events := &r.events
					if stream {
						events = r.joinChunks()
					}
					for _, p := range pieces {
						r.receive(p)
					}
					r.want(fmt.Sprintf("stream %v, %s", stream, how), *events, tc.want...)
					if r.hasPart() || r.c.Recv.Len() > 0 {
						t.Errorf("%s: something is kept", how)
					}
					return !t.Failed()
				})
			}
		})
	}
}

// joinChunks notes the pieces of a message together when the last has come, as if it were one.
func (r *rig) joinChunks() *[]string {
	list := new([]string)
	var data []byte
	begun := false
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Message:
			r.t.Error("a *Message")
		case *websocket.Chunk:
			if ev.First == begun || len(ev.Data) == 0 && !ev.Last {
				r.t.Errorf("%+v after %d bytes", ev, len(data))
			}
			begun = !ev.Last
			data = append(data, ev.Data...)
			clear(ev.Data) // the handler may change it
			if ev.Last {
				*list = append(*list, ev.Op.String()+" "+short(data))
				data = data[:0]
			}
		case *websocket.Control:
			*list = append(*list, r.events[len(r.events)-1])
		}
	}
	return list
}

// RFC 7692 §6: without negotiation RSV1 is a reserved bit.
func TestRSV1WithoutNegotiation(t *testing.T) {
	r := newRig(t, &websocket.Options{Compress: deflate.New()})
	r.receive(masked(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00"))
	r.want("events", r.events, `end 1002 "a reserved bit is set" clean=false`)
}

// RFC 7692 §7.2.3.1 and §7.2.3.2: the second Hello refers to the first.
func TestClientTakeover(t *testing.T) {
	for _, stream := range []bool{false, true} {
		r := newDeflateRig(t, &websocket.Options{Compress: deflate.New(deflate.Options{ClientTakeover: true}), Stream: stream}, "")
		events := &r.events
		if stream {
			events = r.joinChunks()
		} else {
			r.onEvent = func(_ *conn.Conn, ev conn.Event) {
				if m, ok := ev.(*websocket.Message); ok {
					clear(m.Data) // which must not change what later messages refer to
				}
			}
		}
		var want []string
		in := cat(masked(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00"), masked(0xc1, "\xf2\x00\x11\x00\x00"))
		want = append(want, `text "Hello"`, `text "Hello"`)
		z := codec{outKeeps: true}
		r.receive(in)
		r.want("Hello", *events, want...)

		r = newDeflateRig(t, &websocket.Options{Compress: deflate.New(deflate.Options{ClientTakeover: true}), Stream: stream}, "")
		events = &r.events
		if stream {
			events = r.joinChunks()
		}
		want = nil
		for i := range 100 { // the window moves on
			p := strings.Repeat(fmt.Sprintf("message %d of many, ", i), 1+i*i%97)
			r.receive(masked(0xc1, z.deflate(p)))
			r.receive(masked(0x81, "plain ones do not count"))
			want = append(want, "text "+short([]byte(p)), `text "plain ones do not count"`)
		}
		r.want("many", *events, want...)
	}
}

// Every message that is sent is what compress/flate inflates, with takeover and without, whatever
// the window.
func TestSendsDeflated(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		for _, offer := range []string{"", "; server_max_window_bits=15", "; server_max_window_bits=9", "; server_max_window_bits=8"} {
			r := newDeflateRig(t, &websocket.Options{Compress: deflate.New(deflate.Options{ServerTakeover: keeps})}, offer)
			z := codec{inKeeps: keeps}
			var want []string
			for _, n := range []int{0, 1, 255, 256, 300, 1000, 65_000, 200_000} {
				p := []byte(strings.Repeat("all work and no play, ", n/22+1)[:n])
				for _, op := range []websocket.Op{websocket.Text, websocket.Binary} {
					name := op.String()
					if n >= 256 {
						name += "*"
					}
					want = append(want, name+" "+short(p), name+" "+short(p))
					if err := websocket.Send(r.c, op, p); err != nil {
						t.Fatal(err)
					}
					if err := websocket.SendPrepared(r.c, websocket.Prepare(op, p)); err != nil {
						t.Fatal(err)
					}
				}
			}
			websocket.Send(r.c, websocket.Ping, []byte(strings.Repeat("p", 100)))
			want = append(want, "ping "+short([]byte(strings.Repeat("p", 100))))
			r.Turn()
			r.want(fmt.Sprintf("takeover %v%s", keeps, offer), r.messages(&z), want...)
		}
	}
}

// RFC 7692 §7.2.3.1 and §7.2.3.2: with takeover the second time costs next to nothing.
func TestServerTakeoverSavesBytes(t *testing.T) {
	for _, p := range []string{
		`{"id":17,"name":"boiler","value":71.25,"unit":"C","ok":true,"since":"2024-05-01T10:11:12Z"}`, string(jsonOf(1000)),
	} {
		for _, offer := range []string{"", "; server_max_window_bits=8", "; server_no_context_takeover"} {
			r := newDeflateRig(t, &websocket.Options{Compress: deflate.New(deflate.Options{ServerTakeover: true, Threshold: -1})}, offer)
			websocket.Send(r.c, websocket.Text, []byte(p))
			r.Turn()
			n := len(r.Wire.Sent)
			websocket.Send(r.c, websocket.Text, []byte(p))
			r.Turn()
			n = len(r.Wire.Sent) - n
			if keeps := offer == "" || strings.HasSuffix(offer, "=8") && len(p) < 1<<8; keeps != (n < 30) {
				t.Errorf("%d bytes%s: the second time they take %d", len(p), offer, n)
			}
		}
	}
}

// A message that compression would not make smaller is sent as it is. With takeover it is
// compressed nevertheless: the peer's window has to know it.
func TestWhatDoesNotGetSmaller(t *testing.T) {
	noise := make([]byte, 1000)
	for i := range noise {
		noise[i] = byte(i * i * 7 >> 3 * i)
	}
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for _, keeps := range []bool{false, true} {
		r := newDeflateRig(t, &websocket.Options{Compress: deflate.New(deflate.Options{ServerTakeover: keeps})}, "")
		websocket.Send(r.c, websocket.Binary, noise)
		websocket.SendPrepared(r.c, websocket.Prepare(websocket.Binary, noise))
		websocket.Send(r.c, websocket.Binary, noise)
		r.Turn()
		name := "binary "
		if keeps {
			name = "binary* "
		}
		r.want(fmt.Sprint("takeover ", keeps), r.messages(&codec{inKeeps: keeps}), name+short(noise), name+short(noise), name+short(noise))
		if limit := 3 * (len(noise) + 20); len(r.Wire.Sent) > limit {
			t.Errorf("takeover %v: %d bytes were sent", keeps, len(r.Wire.Sent))
		}
	}
}

func TestThreshold(t *testing.T) {
	for threshold, first := range map[int]int{0: 256, 20: 20, -1: 0} {
		r := newDeflateRig(t, &websocket.Options{Compress: deflate.New(deflate.Options{Threshold: threshold})}, "")
		for _, n := range []int{first - 1, first} {
			if n < 0 {
				continue
			}
			r.Wire.Sent = nil
			websocket.Send(r.c, websocket.Binary, make([]byte, n))
			r.Turn()
			if got := r.Wire.Sent[0]&0x40 != 0; got != (n >= first && n > 1) {
				t.Errorf("threshold %d: %d bytes are compressed: %v", threshold, n, got)
			}
		}
	}
}

// RFC 7692 §7.2.1: each Write is a fragment that the peer can inflate when it comes.
func TestWriterDeflates(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		r := newDeflateRig(t, &websocket.Options{Compress: deflate.New(deflate.Options{ServerTakeover: keeps})}, "")
		var want []string
		for range 3 {
			w := websocket.Writer(r.c, websocket.Text)
			all := ""
			for i := range 4 {
				p := strings.Repeat(fmt.Sprint("fragment ", i, " "), 40/(i+1))
				fmt.Fprint(w, p)
				all += p
			}
			w.Close()
			want = append(want, "text* "+short([]byte(all)))
			w = websocket.Writer(r.c, websocket.Text) // which begins below the threshold
			fmt.Fprint(w, "small")
			fmt.Fprint(w, all)
			w.Close()
			want = append(want, "text "+short([]byte("small"+all)))
		}
		r.Turn()
		r.want(fmt.Sprint("takeover ", keeps), r.messages(&codec{inKeeps: keeps}), want...)
	}
}

// A message that the send limit refuses is not in the peer's window, and later ones must not refer
// to it.
func TestRefusedMessageIsForgotten(t *testing.T) {
	r := newDeflateRig(t, &websocket.Options{Compress: deflate.New(deflate.Options{ServerTakeover: true})}, "")
	r.limits.Send, r.limits.OnFull = 6000, conn.RefuseOnFull
	var want []string
	for i := range 50 {
		var p []byte
		for j := range 300 + i*5 {
			p = fmt.Appendf(p, "%x", (i*7+j)*(j+3)*0x1e3779b1>>7)
		}
		if websocket.Send(r.c, websocket.Text, p) == nil {
			want = append(want, "text* "+short(p))
		}
		if i%5 == 0 {
			r.Turn()
		}
	}
	r.Turn()
	if len(want) == 50 || len(want) < 10 {
		t.Fatalf("%d of 50 were taken", len(want))
	}
	r.want("sent", r.messages(&codec{inKeeps: true}), want...)
}

// The same bytes go to all that compress without takeover, and they are compressed once.
func TestPreparedIsDeflatedOnce(t *testing.T) {
	opts := &websocket.Options{Compress: deflate.New()}
	p := []byte(strings.Repeat("to all of you, ", 100))
	m := websocket.Prepare(websocket.Text, p)
	var first []byte
	for i := range 3 {
		r := newDeflateRig(t, opts, "")
		websocket.SendPrepared(r.c, m)
		if i == 0 {
			first = m.Deflated()
		}
		if &m.Deflated()[0] != &first[0] {
			t.Error("it was compressed again")
		}
		r.Turn()
		if string(r.Wire.Sent) != string(first) {
			t.Errorf("%q was sent", r.Wire.Sent)
		}
		plain := newRig(t, opts)
		websocket.SendPrepared(plain.c, m)
		plain.Turn()
		plain.want("a connection without compression", plain.frames(), "text "+short(p))
	}
}

// A text fails at its first bad byte, although the block that it is in has not ended.
func TestBadUTF8FailsInsideACompressedFrame(t *testing.T) {
	r := newDeflateRig(t, &websocket.Options{Compress: deflate.New()}, "")
	in := masked(0xc1, "\x00\xff\x00\x00\xff"+strings.Repeat("a", 100)+"\xff"+strings.Repeat("a", 155))
	bad := len(in) - 155
	r.receive(in[:bad-1])
	r.want("before", r.events)
	r.receive(in[bad-1 : bad])
	r.want("at the bad byte", r.events, `end 1007 "text is not UTF-8" clean=false`)
}

// A deflate bomb: 64 MiB in 64 KiB. MaxMessage bounds the memory that it costs.
func TestBombIsRefusedWithBoundedMemory(t *testing.T) {
	z := codec{}
	bomb := z.deflate(strings.Repeat("\x00", 64<<20))
	for _, stream := range []bool{false, true} {
		r := newDeflateRig(t, &websocket.Options{Compress: deflate.New(), MaxMessage: 100_000, Stream: stream}, "")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r.receive(masked(0xc2, bomb))
		runtime.ReadMemStats(&after)
		r.want("sent", r.frames(), `close 1009 "message too big"`)
		if n := after.TotalAlloc - before.TotalAlloc; n > 600_000 {
			t.Errorf("stream %v: %d bytes were allocated", stream, n)
		}
	}
}

// An idle connection without takeover owns nothing for compression, and with takeover MaxTakeover
// bounds what all own.
func TestMemoryOfAnIdleConnection(t *testing.T) {
	opts := &websocket.Options{Compress: deflate.New()}
	z := codec{}
	talk := func(r *rig) {
		p := strings.Repeat("memory ", 20_000)
		r.receive(masked(0xc1, z.deflate(p)))
		websocket.Send(r.c, websocket.Text, []byte(p))
		r.Turn()
	}
	one, two := newDeflateRig(t, opts, ""), newDeflateRig(t, opts, "")
	if talk(one); one.hasPart() || websocket.Agreed(one.c) != websocket.Agreed(two.c) {
		t.Error("an idle connection without takeover keeps something")
	}
	// 4096 bytes for what is sent and 32768 for what is received.
	opts = &websocket.Options{Compress: deflate.New(deflate.Options{ServerTakeover: true, ClientTakeover: true, MaxTakeover: 3*36_864 + 4096})}
	for range 2 { // the second round has what the first gave back
		var rigs []*rig
		var replies []string
		for range 5 {
			r, reply := upgradeRig(t, opts, "Sec-WebSocket-Extensions: permessage-deflate")
			_, reply, _ = strings.Cut(reply, "permessage-deflate")
			reply, _, _ = strings.Cut(reply, "\r\n")
			rigs, replies = append(rigs, r), append(replies, reply)
			talk(r)
		}
		none := "; server_no_context_takeover; client_no_context_takeover"
		if want := []string{"", "", "", "; client_no_context_takeover", none}; !slices.Equal(replies, want) {
			t.Errorf("replies %q, want %q", replies, want)
		}
		for _, r := range rigs {
			r.hangUp()
		}
	}
}

// RFC 7692 §5: the first offer with valid parameters is accepted, over all lines.
func TestFirstValidOfferIsAccepted(t *testing.T) {
	opts := &websocket.Options{Compress: deflate.New(deflate.Options{ServerTakeover: true, ClientTakeover: true})}
	const field = "Sec-WebSocket-Extensions: "
	for _, tc := range []struct {
		want  string
		lines []string
	}{
		{"permessage-deflate", []string{"permessage-deflate"}},
		{"permessage-deflate", []string{"Permessage-Deflate"}},
		{"", []string{" , ,"}},
		{"", []string{"permessage-deflate-x"}},
		{"", []string{"permessage-deflate; x", "permessage-deflate; server_max_window_bits=7"}},
		{"permessage-deflate; server_max_window_bits=10", []string{"permessage-deflate; server_max_window_bits=10, permessage-deflate"}},
		{"permessage-deflate; server_max_window_bits=9", []string{"permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=9"}},
		{"permessage-deflate; client_no_context_takeover",
			[]string{"permessage-deflate; x", "permessage-deflate; y", "permessage-deflate; client_no_context_takeover", "permessage-deflate"}},
		{"permessage-deflate", []string{"x-webkit-deflate-frame, permessage-bzip2; a=b; c, permessage-deflate"}},
	} {
		lines := slices.Clone(tc.lines)
		for i := range lines {
			lines[i] = field + lines[i]
		}
		_, reply := upgradeRig(t, opts, lines...)
		_, got, _ := strings.Cut(reply, field)
		got, _, _ = strings.Cut(got, "\r\n")
		if !strings.HasPrefix(reply, "HTTP/1.1 101 ") || got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.lines, got, tc.want)
		}
	}
	for _, line := range []string{"permessage-deflate; =", "permessage-deflate|@"} {
		if _, reply := upgradeRig(t, opts, field+strings.Replace(line, "|", "\r\n"+field, 1)); !strings.HasPrefix(reply, "HTTP/1.1 400 ") {
			t.Errorf("%s: %s", line, reply)
		}
	}
}

func TestDeflatedEchoAllocatesNothing(t *testing.T) {
	if racetest.Enabled {
		t.Skip("sync.Pool loses things on purpose")
	}
	for _, keeps := range []bool{false, true} {
		r := newDeflateRig(t, &websocket.Options{Compress: deflate.New(deflate.Options{ServerTakeover: keeps, ClientTakeover: keeps})}, "")
		r.hush()
		r.onEvent = func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*websocket.Message); ok {
				websocket.Send(c, m.Op, m.Data)
			}
		}
		z := codec{outKeeps: keeps}
		frames := make([][]byte, 300)
		for i := range frames {
			frames[i] = masked(0xc1, z.deflate(strings.Repeat(`{"id":1,"value":2.5},`, 50)))
		}
		i := 0
		if n := testing.AllocsPerRun(len(frames)-1, func() { r.receive(frames[i]); i++ }); n != 0 {
			t.Errorf("takeover %v: %v allocations", keeps, n)
		}
	}
}

// A message may be compressed as much as its first 64 KiB want, whole or in pieces; past that
// MaxRatio holds.
func TestMaxRatio(t *testing.T) {
	const refused = `close 1009 "compressed too much"`
	words := func(n int) string { // compresses by a factor of 20 or so
		var b strings.Builder
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, "%d%s", i*i, strings.Repeat(" sensor", 20))
		}
		return b.String()
	}
	for _, tc := range []struct {
		name    string
		message string
		ratio   int
		ok      bool
	}{
		{"zeros, no bound", strings.Repeat("\x00", 900_000), 0, true},
		{"zeros", strings.Repeat("\x00", 900_000), 100, false},
		{"small zeros", strings.Repeat("\x00", 64<<10), 100, true},
		{"zeros at the format's own bound", strings.Repeat("\x00", 900_000), 1032, true},
		{"text", words(900_000), 100, true},
		{"text and a low bound", words(900_000), 4, false},
	} {
		for _, stream := range []bool{false, true} {
			for _, piece := range []int{1 << 20, 1000, 7} {
				z := codec{}
				in := masked(0xc2, z.deflate(tc.message))
				r := newDeflateRig(t, &websocket.Options{Compress: deflate.New(), MaxRatio: tc.ratio, Stream: stream}, "")
				r.quiet = true
				for len(in) > 0 && r.c.IsOpen() && len(r.frames()) == 0 {
					n := min(piece, len(in))
					r.receive(in[:n])
					in = in[n:]
				}
				want := []string{refused}
				if tc.ok {
					want = nil
				}
				r.want(fmt.Sprintf("%s, stream %v, pieces of %d: sent", tc.name, stream, piece), r.frames(), want...)
			}
		}
	}
}
