package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
)

// searchSSDP is the question for everything (UPnP Device Architecture 2.0 §1.3.2): HTTP in a datagram.
func searchSSDP(group netip.AddrPort) []byte {
	return fmt.Appendf(nil, "M-SEARCH * HTTP/1.1\r\nHOST: %s\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n", group)
}

// readSSDP returns what an answer says: the kind of the thing, its server, and where its description
// is. It returns nil for what is no answer.
func readSSDP(b []byte) []string {
	line, rest, ok := bytes.Cut(b, []byte("\r\n"))
	if !ok || !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) && !bytes.Equal(line, []byte("HTTP/1.1 200")) {
		return nil
	}
	fields := map[string]string{}
	for len(rest) > 0 && len(fields) < 64 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(bytes.TrimSpace(name)) != len(name) || len(name) == 0 {
			return nil
		}
		fields[strings.ToUpper(string(name))] = visible(strings.TrimSpace(string(value)))
	}
	if fields["ST"] == "" || fields["USN"] == "" { // both must be there
		return nil
	}
	text := fields["ST"]
	for _, name := range []string{"SERVER", "LOCATION"} {
		if v := fields[name]; v != "" && v != "-" {
			text += "  " + v
		}
	}
	return []string{text}
}
