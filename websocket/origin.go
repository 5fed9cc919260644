package websocket

import "github.com/seed4930a636/mangusta/internal/origin"

// originAllowed reports whether the page that sends h may connect.
func (h *handshake) originAllowed(patterns []string) bool {
	if origin.Same(h.origin, h.host, h.secure) {
		return true
	}
	for _, p := range patterns {
		if origin.Match(p, h.origin) {
			return true
		}
	}
	return false
}
