package deflate

import (
	"testing"

	"github.com/seed4930a636/mangusta/websocket"
)

// RFC 7692 §7.1: the parameters, and what makes an offer one to decline.
func TestParametersAreParsed(t *testing.T) {
	const declined = "declined"
	for _, tc := range []struct{ in, want string }{
		{"", ""},
		{"; server_no_context_takeover", "; server_no_context_takeover"},
		{";client_no_context_takeover", "; client_no_context_takeover"},
		{"; server_max_window_bits = 10", "; server_max_window_bits=10"},
		{`; server_max_window_bits="10"`, "; server_max_window_bits=10"},
		{`; server_max_window_bits="1\0"`, "; server_max_window_bits=10"},
		{"; client_max_window_bits", "; client_max_window_bits"},
		{"; client_max_window_bits=8", "; client_max_window_bits=8"},
		{"; client_max_window_bits=15; server_max_window_bits=9; client_no_context_takeover; server_no_context_takeover",
			"; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=15"},
		{"; unknown", declined},
		{"; unknown=1", declined},
		{"; server_no_context_takeover; server_no_context_takeover", declined},
		{"; client_no_context_takeover; client_no_context_takeover", declined},
		{"; server_max_window_bits=10; server_max_window_bits=10", declined},
		{"; client_max_window_bits=10; client_max_window_bits=10", declined},
		{"; client_max_window_bits; client_max_window_bits", declined},
		{"; client_max_window_bits; client_max_window_bits=9", declined},
		{"; client_max_window_bits=9; client_max_window_bits", declined},
		{"; server_no_context_takeover=true", declined},
		{"; client_no_context_takeover=1", declined},
		{"; server_max_window_bits", declined},
		{"; server_max_window_bits=7", declined},
		{"; server_max_window_bits=16", declined},
		{"; server_max_window_bits=08", declined},
		{"; server_max_window_bits=+9", declined},
		{"; server_max_window_bits=100", declined},
		{"; server_max_window_bits=x", declined},
		{"; client_max_window_bits=7", declined},
		{"; client_max_window_bits=16", declined},
		{"; client_max_window_bits=015", declined},
	} {
		got := declined
		if p, ok := parse(websocket.Parameters(tc.in)); ok {
			got = string(p.append(nil))
		}
		if got != tc.want {
			t.Errorf("%s:\n got  %s\n want %s", tc.in, got, tc.want)
		}
	}
}
