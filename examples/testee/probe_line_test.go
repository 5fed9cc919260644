package main

import (
	"fmt"
	"strings"
)

const rest = "\nHost: h\n\n"

// lineProbes are about RFC 9112 2.2, 2.3 and 3.
func lineProbes() []probe {
	ps := []probe{
		{"plain", "GET /plaintext HTTP/1.1" + rest, "200", []string{"Content-Type: text/plain", "Content-Length: 13", "=Hello, World!"}},
		{"one empty line before", "\nGET /plaintext HTTP/1.1" + rest, "200", nil},
		{"HTTP/1.0", "GET /plaintext HTTP/1.0\n\n", "200!", []string{"=Hello, World!"}},
		{"HTTP/1.0 with Host", "GET /plaintext HTTP/1.0" + rest, "200!", nil},
		{"HTTP/0.9", "GET /plaintext\n", "400!", nil},
		{"HTTP/0.9 with a space", "GET /plaintext \n", "400!", nil},
		{"empty version", "GET /plaintext " + rest, "400!", nil},
		{"preface of HTTP/2", "PRI * HTTP/2.0\n\nSM\n\n", "505!", nil},
		{"LF alone behind the line", "GET /plaintext HTTP/1.1␊Host: h\n\n", "400!", nil},
		{"LF alone everywhere", "GET /plaintext HTTP/1.1␊Host: h␊␊", "400!", nil},
		{"CR alone behind the line", "GET /plaintext HTTP/1.1\rHost: h\n\n", "400!", nil},
		{"CR CR LF", "GET /plaintext HTTP/1.1\r" + rest, "400!", nil},
		{"CR in the target", "GET /plain\rtext HTTP/1.1" + rest, "400!", nil},
		{"LF in the target", "GET /plain␊text HTTP/1.1" + rest, "400!", nil},
		{"two empty lines before", "\n\nGET /plaintext HTTP/1.1" + rest, "400!", nil},
		{"LF before", "␊GET /plaintext HTTP/1.1" + rest, "400!", nil},
		{"CR before", "\rGET /plaintext HTTP/1.1" + rest, "400!", nil},
		{"empty method", " /plaintext HTTP/1.1" + rest, "400!", nil},
		{"target missing", "GET HTTP/1.1" + rest, "400!", nil},
		{"method only", "GET" + rest, "400!", nil},
		{"fields without a line", "Host: h\n\n", "400!", nil},
		{"reply instead of a request", "HTTP/1.1 200 OK" + rest, "400!", nil},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400!", nil},
		{"byte order mark", "\xef\xbb\xbfGET /plaintext HTTP/1.1" + rest, "400!", nil},
		{"words behind the version", "GET /plaintext HTTP/1.1 x" + rest, "400!", nil},
		{"version twice", "GET /plaintext HTTP/1.1 HTTP/1.1" + rest, "400!", nil},
	}
	for _, v := range []string{"http/1.1", "Http/1.1", "HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/11", "HTTP/1.10", "HTTP/1.01", "HTTP/01.1", "HTTP/1.1.1", "HTTP/1,1", "HTTP/ 1.1",
		"HTTP /1.1", "HTTP/1 .1", "HTTP/1. 1", "HTTP/+1.1", "HTTP/-1.1", "HTTP/1.x", "HTTP/x.1", "HTTP/1.1a", "HTTP/1.1\x00", "HTTP/1.1\t", "HTTP/1.1 ", "HTTP\\1.1", "HTTPS/1.1", "ICE/1.0",
		"HTP/1.1", "HTTP1.1", "HTTP//1.1", "HTTP/١.1", "\"HTTP/1.1\"", "HTTP/1.1;", "HTTP/10.1"} {
		ps = append(ps, probe{fmt.Sprintf("version %q", v), "GET /plaintext " + v + rest, "400!", nil})
	}
	for _, v := range []string{"0.9", "0.0", "1.2", "1.9", "2.0", "2.1", "3.0", "9.9"} {
		ps = append(ps, probe{"version " + v, "GET /plaintext HTTP/" + v + rest, "505!", nil})
	}
	for _, gap := range []string{"  ", "\t", " \t", "\x0b", "\x0c", "\xa0", "\x00", "", "\r", "+"} {
		ps = append(ps,
			probe{fmt.Sprintf("%q behind the method", gap), "GET" + gap + "/plaintext HTTP/1.1" + rest, "400!", nil},
			probe{fmt.Sprintf("%q behind the target", gap), "GET /plaintext" + gap + "HTTP/1.1" + rest, "400!", nil})
	}
	for _, before := range []string{" ", "\t", "\x00", "\x0b", "\n ", "\r\r\n"} {
		ps = append(ps, probe{fmt.Sprintf("%q before the line", before), before + "GET /plaintext HTTP/1.1" + rest, "400!", nil})
	}
	return ps
}

// methodProbes are about RFC 9110 9 and 5.6.2.
func methodProbes() []probe {
	var ps []probe
	for _, m := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "PROPFIND", "get", "M-SEARCH", "X", "!#$%&'*+-.^_`|~", "0", "QUERY", "PRI"} {
		ps = append(ps,
			probe{m + " with a body", m + " /echo HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello", "200", []string{"=hello", "Content-Length: 5"}},
			probe{m + " without a body", m + " /echo HTTP/1.1" + rest, "200", []string{"=", "Content-Length: 0"}})
	}
	for b := range 256 {
		if b > ' ' && b < 0x7f && !strings.ContainsRune("\"(),/:;<=>?@[\\]{}", rune(b)) || b == ' ' {
			continue
		}
		ps = append(ps, probe{fmt.Sprintf("byte %#x in the method", b), "GE" + string([]byte{byte(b)}) + "T /echo HTTP/1.1" + rest, "400!", nil})
	}
	return append(ps,
		probe{"lower case is another method", "get /plaintext HTTP/1.1" + rest, "405", []string{"Allow: GET, HEAD, OPTIONS"}},
		probe{"POST where there is only GET", "POST /plaintext HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello", "405", []string{"Allow: GET, HEAD, OPTIONS"}},
		probe{"PUT to a file", "PUT /static/a.txt HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello", "405", []string{"Allow: GET, HEAD, OPTIONS"}},
		probe{"DELETE of a file", "DELETE /static/a.txt HTTP/1.1" + rest, "405", []string{"Allow: GET, HEAD, OPTIONS"}},
		probe{"POST to nothing", "POST /nothing HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello", "404", nil},
		probe{"HEAD", "HEAD /plaintext HTTP/1.1" + rest, "200", []string{"Content-Length: 13"}},
		probe{"HEAD of nothing", "HEAD /nothing HTTP/1.1" + rest, "404", nil},
		probe{"HEAD of an echo", "HEAD /echo HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello", "200", []string{"Content-Length: 5"}},
		probe{"HEAD of the fields", "HEAD /headers HTTP/1.1" + rest, "200", []string{"Content-Length: 8"}},
		probe{"HEAD of a 204", "HEAD /status/204 HTTP/1.1" + rest, "204", nil},
		probe{"HEAD without Host", "HEAD /plaintext HTTP/1.1\n\n", "400!", nil},
		probe{"HEAD with HTTP/1.0", "HEAD /plaintext HTTP/1.0\n\n", "200!", []string{"Content-Length: 13"}},
		probe{"TRACE (9.3.8)", "TRACE /plaintext HTTP/1.1" + rest, "405", []string{"Allow: GET, HEAD, OPTIONS"}},
		probe{"TRACE of an echo is no echo", "TRACE /echo HTTP/1.1\nHost: h\nCookie: secret\n\n", "405", nil},
		probe{"CONNECT (9.3.6)", "CONNECT h:80 HTTP/1.1\nHost: h:80\n\n", "501!", nil},
		probe{"CONNECT to a path", "CONNECT /plaintext HTTP/1.1" + rest, "400!", nil},
		probe{"CONNECT without a port", "CONNECT h HTTP/1.1" + rest, "400!", nil},
		probe{"OPTIONS * (9.3.7)", "OPTIONS * HTTP/1.1" + rest, "200", []string{"Content-Length: 0", "Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"}},
		probe{"OPTIONS of a path", "OPTIONS /plaintext HTTP/1.1" + rest, "200", []string{"Content-Length: 0", "Allow: GET, HEAD, OPTIONS"}},
		probe{"OPTIONS of nothing", "OPTIONS /nothing HTTP/1.1" + rest, "404", nil},
		probe{"longest method", strings.Repeat("M", 64) + " /echo HTTP/1.1" + rest, "200", nil},
		probe{"too long a method (RFC 9112 3)", strings.Repeat("M", 65) + " /echo HTTP/1.1" + rest, "501!", nil})
}

// targetProbes are about RFC 9112 3.2 and RFC 3986.
func targetProbes() []probe {
	get := func(target string) string { return "GET " + target + " HTTP/1.1" + rest }
	ps := []probe{
		{"query", get("/plaintext?a=b&c=%20;/?"), "200", nil},
		{"empty query", get("/plaintext?"), "200", nil},
		{"encoded letters", get("/%70lain%74ext"), "200", nil},
		{"everything that may stand in a path", get("/-._~!$&'()*+,;=:@az09%20"), "404", nil},
		{"everything that may stand in a query", get("/plaintext?-._~!$&'()*+,;=:@az09%20/?"), "200", nil},
		{"slash at the end", get("/plaintext/"), "404", nil},
		{"two slashes are not one", get("//plaintext"), "404", nil},
		{"path parameters belong to the path", get("/plaintext;a=b"), "404", nil},
		{"case counts", get("/PLAINTEXT"), "404", nil},
		{"plus is a plus", get("/plain+text"), "404", nil},
		{"absolute form", get("http://h/plaintext"), "200", nil},
		{"absolute form, scheme in capitals", get("HTTP://h/plaintext"), "200", nil},
		{"absolute form of another host", get("http://other:8080/plaintext"), "200", nil},
		{"absolute form with a query", get("http://h/plaintext?a"), "200", nil},
		{"absolute form without a path", get("http://h"), "404", nil},
		{"absolute form of a query", get("http://h?a"), "404", nil},
		{"absolute form, IPv6", get("http://[::1]:80/plaintext"), "200", nil},
		{"absolute form, empty port", get("http://h:/plaintext"), "200", nil},
		{"absolute form with HTTP/1.0", "GET http://h/plaintext HTTP/1.0\n\n", "200!", nil},
		{"absolute form without Host", "GET http://h/plaintext HTTP/1.1\n\n", "400!", nil},
		{"absolute form with a bad Host", "GET http://h/plaintext HTTP/1.1\nHost: a b\n\n", "400!", nil},
		{"absolute form with two Hosts", "GET http://h/plaintext HTTP/1.1\nHost: h\nHost: h\n\n", "400!", nil},
		// RFC 9110 7.4
		{"https without TLS", get("https://h/plaintext"), "421!", nil},
		{"OPTIONS in the absolute form", "OPTIONS http://h HTTP/1.1" + rest, "200", []string{"Content-Length: 0"}},
		{"asterisk and more", "OPTIONS *a HTTP/1.1" + rest, "400!", nil},
		{"asterisk with a query", "OPTIONS *?a HTTP/1.1" + rest, "400!", nil},
	}
	for _, target := range []string{"*", "plaintext", "?a", "h", "h:80", "h/plaintext", "./plaintext", "../plaintext", "ftp://h/plaintext", "file:///etc/passwd", "urn:a", "mailto:a@h", "data:,a",
		"javascript:alert(1)", "http:", "http:/", "http://", "http:///plaintext", "http:plaintext", "http:/h/plaintext", "http://:80/plaintext", "http://h:x/", "http://h:65536/", "http://h:-1/",
		"http://u@h/plaintext", "http://u:p@h/plaintext", "http://@h/plaintext", "http://h:80:80/", "http://[::1/", "http://::1/", "http://a b/", "http://h#a", "http://h\\plaintext", "://h/plaintext",
		"ws://h/plaintext", "http ://h/", "http://h/%", "http://h/%zz", "http://h/a\\b", "http://a..b/", "http://256.1.1.1/", "http://h%zz/"} {
		ps = append(ps, probe{"target " + target, get(target), "400!", nil})
	}
	for _, path := range []string{"/%", "/%a", "/%zz", "/%2", "/%%41", "/%u0041", "/%-1", "/% 41", "/a%", "/%g1", "/%1g", "/plaintext#a", "/plaintext?a#b", "/plain%text"} {
		ps = append(ps, probe{"path " + path, get(path), "400!", nil})
	}
	for _, query := range []string{"%", "%a", "%zz", "a=%", "a=%2", "100%&b=c"} {
		ps = append(ps, probe{"query " + query, get("/plaintext?" + query), "400!", nil})
	}
	// RFC 3986 3.3 and 3.4: all other bytes have to be encoded.
	const allowed = "-._~!$&'()*+,;=:@%/?"
	for b := range 256 {
		if strings.ContainsRune(allowed, rune(b)) || b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z' {
			continue
		}
		x := string([]byte{byte(b)})
		ps = append(ps,
			probe{fmt.Sprintf("byte %#x in the path", b), get("/plain" + x + "text"), "400!", nil},
			probe{fmt.Sprintf("byte %#x in the query", b), get("/plaintext?a" + x + "b"), "400!", nil})
	}
	return ps
}
