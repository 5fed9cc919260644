package websocket_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/internal/racetest"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// openDeflate is open with an offer. It returns the codec for what was agreed on.
func (s *server) openDeflate(offer, reply string) (*peer, *codec) {
	s.t.Helper()
	p := s.dial()
	io.WriteString(p, request+"Sec-WebSocket-Extensions: "+offer+"\r\n\r\n")
	got := p.wantReply(101).Header.Get("Sec-Websocket-Extensions")
	if got != reply {
		s.t.Fatalf("the reply to %q is %q, want %q", offer, got, reply)
	}
	return p, &codec{
		outKeeps: !strings.Contains(got, "client_no_context_takeover"),
		inKeeps:  !strings.Contains(got, "server_no_context_takeover"),
	}
}

// wantDeflated wants a compressed message, or one that is too small to become smaller.
func (p *peer) wantDeflated(z *codec, first byte, text string) {
	p.t.Helper()
	got, data, err := p.frame()
	if got == first&^0x40 && len(text) < 128 && string(data) == text {
		return
	}
	if err != nil || got != first {
		p.t.Fatalf("frame %#x, %v; want %#x", got, err, first)
	}
	if out, err := z.inflate(data); err != nil || out != text {
		p.t.Fatalf("%s, %v; want %s", short([]byte(out)), err, short([]byte(text)))
	}
}

// Autobahn's sections 12 and 13: echoes of JSON of all sizes under all combinations of parameters,
// whole and in fragments.
func TestDeflatedEchoUnderAllParameters(t *testing.T) {
	const bare = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	none, both := deflate.New(deflate.Options{Threshold: -1}), deflate.New(deflate.Options{Threshold: -1, ServerTakeover: true, ClientTakeover: true, Level: 6})
	repeats := 100
	if racetest.Enabled {
		repeats = 3
	} else if !exhaustive.On() {
		repeats = 10
	}
	for _, tc := range []struct {
		d            *deflate.Compressor
		offer, reply string
	}{
		{none, "permessage-deflate", bare}, // 12, 13.1
		{none, "permessage-deflate; server_no_context_takeover", bare},
		{both, "permessage-deflate", "permessage-deflate"},
		{both, "permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover"},
		{both, "permessage-deflate; client_no_context_takeover", "permessage-deflate; client_no_context_takeover"},
		{none, "permessage-deflate; server_max_window_bits=9", bare + "; server_max_window_bits=9"}, // 13.3
		{both, "permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_max_window_bits=9"},
		{both, "permessage-deflate; server_max_window_bits=15", "permessage-deflate; server_max_window_bits=15"}, // 13.4
		{both, "permessage-deflate; server_no_context_takeover; server_max_window_bits=9", // 13.5
			"permessage-deflate; server_no_context_takeover; server_max_window_bits=9"},
		{both, "permessage-deflate; server_no_context_takeover; server_max_window_bits=15", // 13.6
			"permessage-deflate; server_no_context_takeover; server_max_window_bits=15"},
		{both, "permessage-deflate; server_no_context_takeover; server_max_window_bits=9, " + // 13.7
			"permessage-deflate; server_no_context_takeover, permessage-deflate",
			"permessage-deflate; server_no_context_takeover; server_max_window_bits=9"},
		{none, "permessage-deflate; server_max_window_bits=77, permessage-deflate; client_max_window_bits", bare},
	} {
		t.Run(tc.offer+" "+fmt.Sprint(tc.d == both), func(t *testing.T) {
			underBoth(t, &websocket.Options{Compress: tc.d}, nil, func(t *testing.T, s *server) {
				p, z := s.openDeflate(tc.offer, tc.reply)
				unit := `{"name":"κόσμε","list":[1,2,3,5,8,13,21,34,55],"nested":{"a":"b","n":`
				for n := 16; n <= 128<<10; n *= 2 {
					text := strings.ToValidUTF8(strings.Repeat(unit, n/len(unit)+1)[:n], "")
					for i := range min(repeats, 2<<20/n) {
						text := fmt.Sprint(i, text)
						first := byte(0xc1 + i%2)
						payload := z.deflate(text)
						if size := 256 << (i % 8); i%3 == 2 { // 12.3 to 12.5: automatic fragmentation
							go p.Write(fragmented(first, payload, size))
						} else {
							go p.Write(masked(first, payload))
						}
						p.wantDeflated(z, first, text)
					}
				}
				p.finish()
			})
		})
	}
}

func TestDeclinedOffers(t *testing.T) {
	underBoth(t, &websocket.Options{Compress: deflate.New()}, nil, func(t *testing.T, s *server) {
		for _, offer := range []string{"permessage-deflate; server_max_window_bits=7", "permessage-deflate; unknown", "x-webkit-deflate-frame", "mux; a=b"} {
			p, _ := s.openDeflate(offer, "")
			long := strings.Repeat("not compressed ", 100)
			p.send(masked(0x81, long))
			p.want(0x81, long)
			p.send(masked(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00"))
			p.wantClose(1002)
		}
		p := s.dial() // RFC 6455 §9.1
		io.WriteString(p, request+"Sec-WebSocket-Extensions: permessage-deflate; =\r\n\r\n")
		p.wantReply(400)
	})
}

// Without Options.Compress nothing is negotiated.
func TestDeflateIsOffByDefault(t *testing.T) {
	for _, opts := range []*websocket.Options{nil, {}} {
		underBoth(t, opts, nil, func(t *testing.T, s *server) {
			p, _ := s.openDeflate("permessage-deflate", "")
			p.send(masked(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00"))
			p.wantClose(1002)
		})
	}
}

// RFC 6455 §4.1 item 5: a client without Compress offers nothing, and fails the connection when the
// server agrees to it all the same.
func TestClientDoesNotTakeDeflateByDefault(t *testing.T) {
	r, req := newClientRig(t, nil)
	if offer, ok := req.Header["Sec-Websocket-Extensions"]; ok {
		t.Errorf("it offers %q", offer)
	}
	r.receive(switching(req, "Sec-WebSocket-Extensions: permessage-deflate"))
	r.want("events", r.events, "error protocol error: the server chose an extension that was not offered", "closed")
}

// Both ends are ours, one compresses for the other, under all options of both.
func TestDeflateBetweenOurOwnEnds(t *testing.T) {
	var opts []*deflate.Compressor
	for i := range 4 {
		for _, bits := range []int{0, 8, 12} {
			opts = append(opts, deflate.New(deflate.Options{ServerTakeover: i&1 != 0, ClientTakeover: i&2 != 0, MaxWindowBits: bits, Level: i * 3, Threshold: -1}))
		}
	}
	text := strings.Repeat(`{"name":"κόσμε","list":[1,2,3]},`, 60)
	for _, poller := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		for i, ours := range opts {
			for _, theirs := range []*deflate.Compressor{opts[(i+5)%len(opts)], ours} {
				s := serve(t, poller, &websocket.Options{Compress: theirs}, nil)
				got := make(chan string, 100)
				deflated := make(chan bool, 1)
				err := s.Do(func() {
					_, err := websocket.Connect(s.Manager, "ws://"+s.addr, func(c *conn.Conn, ev conn.Event) {
						switch ev := ev.(type) {
						case *websocket.Open:
							deflated <- websocket.Agreed(c) != nil
							m := websocket.Prepare(websocket.Text, []byte(text))
							for range 3 {
								websocket.Send(c, websocket.Text, []byte(text))
								websocket.SendPrepared(c, m)
							}
							websocket.CloseWith(c, websocket.CloseNormal, "")
						case *websocket.Message:
							got <- string(ev.Data)
						case *conn.Error:
							t.Error(ev.Err)
						case *conn.Close:
							close(got)
						}
					}, &websocket.ClientOptions{Options: websocket.Options{Compress: ours}})
					if err != nil {
						t.Error(err)
						close(got)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				for m := range got {
					if n++; m != text {
						t.Fatalf("%s", short([]byte(m)))
					}
				}
				if d := <-deflated; !d || n > 6 {
					t.Errorf("client %+v, server %+v: deflated %v, %d echoes", ours, theirs, d, n)
				}
			}
		}
	}
}
