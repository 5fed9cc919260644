package deflate

import (
	"testing"

	"github.com/seed4930a636/mangusta/websocket"
)

// RFC 7692 §7.1: a server's reply to an offer, by its options, and what holds then.
func TestReplyToAnOffer(t *testing.T) {
	const bare = "; server_no_context_takeover; client_no_context_takeover"
	none, both := Options{}, Options{ServerTakeover: true, ClientTakeover: true}
	small := Options{ServerTakeover: true, ClientTakeover: true, MaxWindowBits: 10}
	poor := Options{ServerTakeover: true, ClientTakeover: true, MaxTakeover: -1}
	half := Options{ServerTakeover: true, ClientTakeover: true, MaxTakeover: 32_768} // enough for what is sent
	for _, tc := range []struct {
		name         string
		o            Options
		offer, reply string
		out, in      int // windows
		outKeeps     bool
		inKeeps      bool
	}{
		{"nothing asked", none, "", bare, 1 << 15, 1 << 15, false, false},
		{"§7.1.1.1", both, "; server_no_context_takeover", "; server_no_context_takeover", 1 << 15, 1 << 15, false, true},
		{"§7.1.1.2", both, "; client_no_context_takeover", "; client_no_context_takeover", 1 << 15, 1 << 15, true, false},
		{"takeover both ways", both, "", "", 1 << 15, 1 << 15, true, true},
		{"§7.1.2.1", none, "; server_max_window_bits=9", bare + "; server_max_window_bits=9", 1 << 9, 1 << 15, false, false},
		{"§7.1.2.1 the smallest", both, "; server_max_window_bits=8", "; server_max_window_bits=8", 1 << 8, 1 << 15, true, true},
		{"§7.1.2.1 the largest", none, "; server_max_window_bits=15", bare + "; server_max_window_bits=15", 1 << 15, 1 << 15, false, false},
		{"§7.1.2.1 larger than ours", small, "; server_max_window_bits=12", "; server_max_window_bits=10", 1 << 10, 1 << 15, true, true},
		{"§7.1.2.2 without takeover it does not matter", none, "; client_max_window_bits=9", bare, 1 << 15, 1 << 9, false, false},
		{"§7.1.2.2 the client's hint", both, "; client_max_window_bits=9", "; client_max_window_bits=9", 1 << 15, 1 << 9, true, true},
		{"§7.1.2.2 zlib's 8 is 9", both, "; client_max_window_bits=8", "; client_max_window_bits=8", 1 << 15, 1 << 9, true, true},
		{"§7.1.2.2 ours, as the client allows", small, "; client_max_window_bits", "; client_max_window_bits=10", 1 << 10, 1 << 10, true, true},
		{"§7.1.2.2 not without the client's leave", small, "", "", 1 << 10, 1 << 15, true, true},
		{"all four", both, "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11; client_max_window_bits=12",
			bare + "; server_max_window_bits=11", 1 << 11, 1 << 12, false, false},
		{"MaxTakeover is spent", poor, "; client_max_window_bits", bare, 1 << 15, 1 << 15, false, false},
		{"MaxTakeover is enough for one direction", half, "", "; client_no_context_takeover", 1 << 15, 1 << 15, true, false},
	} {
		z := New(tc.o)
		reply, a := z.Accept(nil, websocket.Parameters(tc.offer))
		if string(reply) != tc.reply {
			t.Errorf("%s: reply\n got  %s\n want %s", tc.name, reply, tc.reply)
		}
		agreed := a.Codec.(*codec)
		if agreed.outWindow != tc.out || agreed.outKeeps != tc.outKeeps || agreed.inKeeps != tc.inKeeps || tc.inKeeps && agreed.inWindow != tc.in {
			t.Errorf("%s: agreed on %+v", tc.name, agreed)
		}
		agreed.Drop()
		if n := z.held.Load(); n != 0 {
			t.Errorf("%s: %d bytes are held after the end", tc.name, n)
		}
		if _, ok := parse(reply); !ok {
			t.Errorf("%s: the reply is not valid", tc.name)
		}
	}
}

// RFC 7692 §7.1: a client fails the connection when the response does not fit the offer.
func TestReplyIsCheckedByTheClient(t *testing.T) {
	const plain = ""
	none, both := New(), New(Options{ServerTakeover: true, ClientTakeover: true})
	small := New(Options{ServerTakeover: true, ClientTakeover: true, MaxWindowBits: 10})
	for _, tc := range []struct {
		z            *Compressor
		offer, reply string
		wrong        string
		out, in      int
		outKeeps     bool
		inKeeps      bool
	}{
		{none, plain + "; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
			plain + "; server_no_context_takeover; client_no_context_takeover", "", 1 << 15, 1 << 15, false, false},
		{none, "", plain + "; server_no_context_takeover", "", 1 << 15, 1 << 15, false, false}, // the client's is a hint
		{none, "", plain, "the response lacks server_no_context_takeover", 0, 0, false, false},
		{both, plain + "; client_max_window_bits", plain, "", 1 << 15, 1 << 15, true, true},
		{both, "", plain + "; client_no_context_takeover", "", 1 << 15, 1 << 15, false, true},
		{both, "", plain + "; server_no_context_takeover", "", 1 << 15, 1 << 15, true, false},
		{both, "", plain + "; client_max_window_bits=9; server_max_window_bits=11", "", 1 << 9, 1 << 11, true, true},
		{both, "", plain + "; client_max_window_bits", "the response has client_max_window_bits without a value", 0, 0, false, false},
		{small, plain + "; server_max_window_bits=10; client_max_window_bits", plain + "; server_max_window_bits=9", "", 1 << 10, 1 << 9, true, true},
		{small, "", plain + "; server_max_window_bits=11", "the response lacks server_max_window_bits, or its value is too large", 0, 0, false, false},
		{small, "", plain, "the response lacks server_max_window_bits, or its value is too large", 0, 0, false, false},
		{both, "", plain + "; x=y", "the server chose parameters of permessage-deflate that are not valid", 0, 0, false, false},
	} {
		if offer := tc.z.AppendOffer(nil); tc.offer != "" && string(offer) != tc.offer {
			t.Errorf("offer\n got  %s\n want %s", offer, tc.offer)
		}
		a, err := tc.z.Confirm(websocket.Parameters(tc.reply))
		if tc.wrong != "" {
			if err == nil || err.Error() != tc.wrong {
				t.Errorf("%s: %v, want %s", tc.reply, err, tc.wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.reply, err)
			continue
		}
		agreed := a.Codec.(*codec)
		if agreed.outWindow != tc.out || agreed.inWindow != tc.in || agreed.outKeeps != tc.outKeeps || agreed.inKeeps != tc.inKeeps {
			t.Errorf("%s: agreed on %+v", tc.reply, agreed)
		}
		agreed.Drop()
		if n := tc.z.held.Load(); n != 0 {
			t.Errorf("%s: %d bytes are held after the end", tc.reply, n)
		}
	}
}
