package conn

import (
	"fmt"
	"strconv"
	"strings"
)

// SplitName splits a URL tcp://name:port or udp://name:port whose host is a name to be resolved. It
// returns "" and no error for every other URL, which is ParseAddr's; and an error if the host is
// neither an address nor a name: letters, digits, - and _ in labels of up to 63 bytes, 253 bytes in
// all (RFC 1123 §2.1). A name in another script is given in its ASCII form, xn--.
func SplitName(url string) (name string, port uint16, err error) {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok || !strings.EqualFold(scheme, "tcp") && !strings.EqualFold(scheme, "udp") {
		return "", 0, nil
	}
	host, digits, problem := splitHostPort(rest)
	if problem != "" || host == "" || host[0] == '[' || strings.Trim(host, "0123456789.") == "" {
		return "", 0, nil
	}
	n, numErr := strconv.ParseUint(digits, 10, 16)
	if numErr != nil {
		return "", 0, nil
	}
	if !IsHostName(host) {
		return "", 0, fmt.Errorf("conn: address %q: %q is neither an IP address nor a host name", url, host)
	}
	return host, uint16(n), nil
}

// IsHostName reports whether s can be the name of a host, with a dot at its end or without. A name
// whose last label is a number is none: it would be taken for an address elsewhere.
func IsHostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if len(s) > 253 {
		return false
	}
	label := ""
	for more := true; more; {
		label, s, more = strings.Cut(s, ".")
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			b := label[i]
			if b|0x20 < 'a' || b|0x20 > 'z' {
				if (b < '0' || b > '9') && b != '-' && b != '_' {
					return false
				}
			}
		}
	}
	return strings.Trim(label, "0123456789") != ""
}
