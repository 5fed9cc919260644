package websocket

import (
	"strings"
	"testing"
)

// RFC 6455 §9.1 and RFC 7692 §5, §7.1: what is read from Sec-WebSocket-Extensions. Lines are separated by '|'.
func TestExtensionsAreParsed(t *testing.T) {
	const none, declined, malformed = "-", "declined", "malformed"
	for _, tc := range []struct{ lines, want string }{
		{"", none},
		{" , ,", none},
		{"permessage-deflate", "permessage-deflate"},
		{"Permessage-Deflate", "permessage-deflate"},
		{"  permessage-deflate  ", "permessage-deflate"},
		{"permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover"},
		{"permessage-deflate;client_no_context_takeover", "permessage-deflate; client_no_context_takeover"},
		{"permessage-deflate ; server_max_window_bits = 10", "permessage-deflate; server_max_window_bits=10"},
		{`permessage-deflate; server_max_window_bits="10"`, "permessage-deflate; server_max_window_bits=10"},
		{`permessage-deflate; server_max_window_bits="1\0"`, "permessage-deflate; server_max_window_bits=10"},
		{"permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits"},
		{"permessage-deflate; client_max_window_bits=8", "permessage-deflate; client_max_window_bits=8"},
		{"permessage-deflate; client_max_window_bits=15; server_max_window_bits=9; client_no_context_takeover; server_no_context_takeover",
			"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=15"},

		// Several offers: the first that is valid.
		{"permessage-deflate; server_max_window_bits=10, permessage-deflate", "permessage-deflate; server_max_window_bits=10"},
		{"permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_max_window_bits=9"},
		{"permessage-deflate; x|permessage-deflate; y|permessage-deflate; client_max_window_bits|permessage-deflate",
			"permessage-deflate; client_max_window_bits"},
		{"x-webkit-deflate-frame, permessage-bzip2; a=b; c, permessage-deflate", "permessage-deflate"},
		{`mux; max-channels=4; flow-control="a,b"`, malformed}, // a quoted value has to be a token
		{`mux; max-channels="4", permessage-deflate`, "permessage-deflate"},
		{"permessage-deflate-x", none},

		// §7.1: what makes an offer one to decline.
		{"permessage-deflate; unknown", declined},
		{"permessage-deflate; unknown=1", declined},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", declined},
		{"permessage-deflate; client_no_context_takeover; client_no_context_takeover", declined},
		{"permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", declined},
		{"permessage-deflate; client_max_window_bits=10; client_max_window_bits=10", declined},
		{"permessage-deflate; client_max_window_bits; client_max_window_bits", declined},
		{"permessage-deflate; client_max_window_bits; client_max_window_bits=9", declined},
		{"permessage-deflate; client_max_window_bits=9; client_max_window_bits", declined},
		{"permessage-deflate; server_no_context_takeover=true", declined},
		{"permessage-deflate; client_no_context_takeover=1", declined},
		{"permessage-deflate; server_max_window_bits", declined},
		{"permessage-deflate; server_max_window_bits=7", declined},
		{"permessage-deflate; server_max_window_bits=16", declined},
		{"permessage-deflate; server_max_window_bits=08", declined},
		{"permessage-deflate; server_max_window_bits=+9", declined},
		{"permessage-deflate; server_max_window_bits=100", declined},
		{"permessage-deflate; server_max_window_bits=x", declined},
		{"permessage-deflate; client_max_window_bits=7", declined},
		{"permessage-deflate; client_max_window_bits=16", declined},
		{"permessage-deflate; client_max_window_bits=015", declined},

		// RFC 6455 §9.1: what does not conform to the grammar fails the handshake.
		{"permessage-deflate;", malformed},
		{"permessage-deflate; ,", malformed},
		{"permessage-deflate; ; server_no_context_takeover", malformed},
		{"permessage-deflate; server_max_window_bits=", malformed},
		{`permessage-deflate; server_max_window_bits=""`, malformed},
		{`permessage-deflate; server_max_window_bits="10`, malformed},
		{`permessage-deflate; server_max_window_bits="1 0"`, malformed},
		{"permessage-deflate; =10", malformed},
		{"permessage-deflate server_no_context_takeover", malformed},
		{"permessage-deflate=1", malformed},
		{"; permessage-deflate", malformed},
		{"permessage-deflate, a/b", malformed},
		{"permessage-deflate|@", malformed},
	} {
		var x extensions
		for line := range strings.SplitSeq(tc.lines, "|") {
			x.line([]byte(line))
		}
		got := none
		switch {
		case x.malformed:
			got = malformed
		case x.found:
			got = string(x.deflate.append(nil))
		case x.declined:
			got = declined
		}
		if got != tc.want {
			t.Errorf("%s:\n got  %s\n want %s", tc.lines, got, tc.want)
		}
	}
}

// RFC 7692 §7.1: what a server answers to an offer, by its options, and what holds then.
func TestAnswerToAnOffer(t *testing.T) {
	const bare = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	none, both := Deflate{}, Deflate{ServerTakeover: true, ClientTakeover: true}
	small := Deflate{ServerTakeover: true, ClientTakeover: true, MaxWindowBits: 10}
	poor := Deflate{ServerTakeover: true, ClientTakeover: true, MaxTakeover: -1}
	half := Deflate{ServerTakeover: true, ClientTakeover: true, MaxTakeover: 32_768} // enough for what is sent
	for _, tc := range []struct {
		name          string
		d             *Deflate
		offer, answer string
		out, in       int // windows
		outKeeps      bool
		inKeeps       bool
	}{
		{"nothing asked", &none, "", bare, 1 << 15, 1 << 15, false, false},
		{"§7.1.1.1", &both, "; server_no_context_takeover", "permessage-deflate; server_no_context_takeover", 1 << 15, 1 << 15, false, true},
		{"§7.1.1.2", &both, "; client_no_context_takeover", "permessage-deflate; client_no_context_takeover", 1 << 15, 1 << 15, true, false},
		{"takeover both ways", &both, "", "permessage-deflate", 1 << 15, 1 << 15, true, true},
		{"§7.1.2.1", &none, "; server_max_window_bits=9", bare + "; server_max_window_bits=9", 1 << 9, 1 << 15, false, false},
		{"§7.1.2.1 the smallest", &both, "; server_max_window_bits=8", "permessage-deflate; server_max_window_bits=8", 1 << 8, 1 << 15, true, true},
		{"§7.1.2.1 the largest", &none, "; server_max_window_bits=15", bare + "; server_max_window_bits=15", 1 << 15, 1 << 15, false, false},
		{"§7.1.2.1 larger than ours", &small, "; server_max_window_bits=12", "permessage-deflate; server_max_window_bits=10", 1 << 10, 1 << 15, true, true},
		{"§7.1.2.2 without takeover it does not matter", &none, "; client_max_window_bits=9", bare, 1 << 15, 1 << 9, false, false},
		{"§7.1.2.2 the client's hint", &both, "; client_max_window_bits=9", "permessage-deflate; client_max_window_bits=9", 1 << 15, 1 << 9, true, true},
		{"§7.1.2.2 zlib's 8 is 9", &both, "; client_max_window_bits=8", "permessage-deflate; client_max_window_bits=8", 1 << 15, 1 << 9, true, true},
		{"§7.1.2.2 ours, as the client allows", &small, "; client_max_window_bits", "permessage-deflate; client_max_window_bits=10", 1 << 10, 1 << 10, true, true},
		{"§7.1.2.2 not without the client's leave", &small, "", "permessage-deflate", 1 << 10, 1 << 15, true, true},
		{"all four", &both, "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11; client_max_window_bits=12",
			bare + "; server_max_window_bits=11", 1 << 11, 1 << 12, false, false},
		{"MaxTakeover is spent", &poor, "; client_max_window_bits", bare, 1 << 15, 1 << 15, false, false},
		{"MaxTakeover is enough for one direction", &half, "", "permessage-deflate; client_no_context_takeover", 1 << 15, 1 << 15, true, false},
	} {
		var x extensions
		x.line([]byte("permessage-deflate" + tc.offer))
		answer, agreed := tc.d.accept(x.deflate)
		if got := string(answer.append(nil)); got != tc.answer {
			t.Errorf("%s: answer\n got  %s\n want %s", tc.name, got, tc.answer)
		}
		if agreed.outWindow != tc.out || agreed.outKeeps != tc.outKeeps || agreed.inKeeps != tc.inKeeps || tc.inKeeps && agreed.inWindow != tc.in {
			t.Errorf("%s: agreed on %+v", tc.name, agreed)
		}
		agreed.drop()
		if n := tc.d.held.Load(); n != 0 {
			t.Errorf("%s: %d bytes are held behind the end", tc.name, n)
		}
		// A client that made this offer finds nothing wrong with the answer.
		x = extensions{}
		x.line([]byte(tc.answer))
		if !x.found || x.declined || x.others || x.malformed {
			t.Errorf("%s: the answer is not valid", tc.name)
		}
	}
}

// RFC 7692 §7.1: a client fails the connection when the answer does not fit the offer.
func TestAnswerIsCheckedByTheClient(t *testing.T) {
	const plain = "permessage-deflate"
	none, both := &Deflate{}, &Deflate{ServerTakeover: true, ClientTakeover: true}
	small := &Deflate{ServerTakeover: true, ClientTakeover: true, MaxWindowBits: 10}
	for _, tc := range []struct {
		d             *Deflate
		offer, answer string
		wrong         string
		out, in       int
		outKeeps      bool
		inKeeps       bool
	}{
		{none, plain + "; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
			plain + "; server_no_context_takeover; client_no_context_takeover", "", 1 << 15, 1 << 15, false, false},
		{none, "", plain + "; server_no_context_takeover", "", 1 << 15, 1 << 15, false, false}, // the client's is a hint
		{none, "", plain, "the server did not answer server_no_context_takeover", 0, 0, false, false},
		{both, plain + "; client_max_window_bits", plain, "", 1 << 15, 1 << 15, true, true},
		{both, "", plain + "; client_no_context_takeover", "", 1 << 15, 1 << 15, false, true},
		{both, "", plain + "; server_no_context_takeover", "", 1 << 15, 1 << 15, true, false},
		{both, "", plain + "; client_max_window_bits=9; server_max_window_bits=11", "", 1 << 9, 1 << 11, true, true},
		{both, "", plain + "; client_max_window_bits", "the server answered client_max_window_bits without a value", 0, 0, false, false},
		{small, plain + "; server_max_window_bits=10; client_max_window_bits", plain + "; server_max_window_bits=9", "", 1 << 10, 1 << 9, true, true},
		{small, "", plain + "; server_max_window_bits=11", "the server did not answer server_max_window_bits", 0, 0, false, false},
		{small, "", plain, "the server did not answer server_max_window_bits", 0, 0, false, false},
		{nil, "", plain, "the server chose an extension that was not offered", 0, 0, false, false},
	} {
		if tc.d != nil && tc.offer != "" {
			if offer := tc.d.offer(); string(offer.append(nil)) != tc.offer {
				t.Errorf("offer\n got  %s\n want %s", offer.append(nil), tc.offer)
			}
		}
		var x extensions
		x.line([]byte(tc.answer))
		agreed, wrong := tc.d.answered(x.deflate)
		if wrong != tc.wrong {
			t.Errorf("%s: %q, want %q", tc.answer, wrong, tc.wrong)
		}
		if agreed == nil {
			continue
		}
		if agreed.outWindow != tc.out || agreed.inWindow != tc.in || agreed.outKeeps != tc.outKeeps || agreed.inKeeps != tc.inKeeps {
			t.Errorf("%s: agreed on %+v", tc.answer, agreed)
		}
		agreed.drop()
		if n := tc.d.held.Load(); n != 0 {
			t.Errorf("%s: %d bytes are held behind the end", tc.answer, n)
		}
	}
}
