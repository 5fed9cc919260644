package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func makeFIFO(t *testing.T, path string) {
	t.Helper()
	if err := unix.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
}

// routeProbes are about what DESIGN.md says of the testee.
func routeProbes() []probe {
	get := func(path string) string { return "GET " + path + " HTTP/1.1" + rest }
	return []probe{
		{"plaintext", get("/plaintext"), "200", []string{"Content-Type: text/plain", "=Hello, World!"}},
		{"204", get("/status/204"), "204", []string{"!Content-Length", "!Transfer-Encoding", "="}},
		{"POST to 204", "POST /status/204 HTTP/1.1" + rest, "405", []string{"Allow: GET, HEAD, OPTIONS"}},
		{"nothing", get("/"), "404", nil},
		{"no WebSocket", get("/ws"), "426", []string{"Upgrade: websocket", "Connection: Upgrade"}},
		{"WebSocket with POST", "POST /ws HTTP/1.1" + rest, "405", []string{"Allow: GET, OPTIONS"}},
		{"WebSocket with HTTP/1.0 (RFC 9110 7.8)", "GET /ws HTTP/1.0\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\n\n", "400!", nil},
	}
}

// fileProbes are about what may be asked for, and how it is named.
func fileProbes() []probe {
	get := func(path string) string { return "GET /static/" + path + " HTTP/1.1" + rest }
	stamp := "Last-Modified: " + httpDate(probeTime)
	ps := []probe{
		{"file", get("a.txt"), "200", []string{"Content-Type: text/plain; charset=utf-8", "Content-Length: 26", stamp, "Accept-Ranges: bytes", "=" + alphabet}},
		{"HEAD", "HEAD /static/a.txt HTTP/1.1" + rest, "200", []string{"Content-Type: text/plain; charset=utf-8", "Content-Length: 26", stamp, "Accept-Ranges: bytes"}},
		{"empty file", get("empty.txt"), "200", []string{"Content-Length: 0", "="}},
		{"large file", get("big.bin"), "200", []string{"Content-Type: application/octet-stream", "=" + strings.Repeat("0123456789abcdef", 20_000)}},
		{"HEAD of a large file", "HEAD /static/big.bin HTTP/1.1" + rest, "200", []string{"Content-Length: 320000"}},
		{"HTTP/1.0", "GET /static/a.txt HTTP/1.0\n\n", "200!", []string{"=" + alphabet}},
		{"absolute form", "GET http://h/static/a.txt HTTP/1.1" + rest, "200", []string{"=" + alphabet}},
		{"query", get("a.txt?v=1"), "200", []string{"=" + alphabet}},
		{"query with dots", get("a.txt?../.."), "200", []string{"=" + alphabet}},
		{"page", get("page.html"), "200", []string{"Content-Type: text/html; charset=utf-8"}},
		{"unknown type", get("type.unknown"), "200", []string{"Content-Type: application/octet-stream"}},
		{"no extension", get("noext"), "200", []string{"Content-Type: application/octet-stream"}},
		{"encoded name", get("a%20b+c%2541.txt"), "200", []string{"=odd"}},
		{"every letter encoded", get("%61%2e%74%78%74"), "200", []string{"=" + alphabet}},
		{"reserved characters encoded", get("we%5Bi%5Drd%3Ba%3Db%2Cc.txt"), "200", []string{"=weird"}},
		{"sub-delims as they are", get("we%5Bi%5Drd;a=b,c.txt"), "200", []string{"=weird"}},
		{"UTF-8", get("%C3%A4.txt"), "200", []string{"=utf-8"}},
		{"UTF-8 in lower case hex", get("%c3%a4.txt"), "200", []string{"=utf-8"}},
		{"Latin-1", get("%e4.txt"), "404", nil},
		{"CR LF in the name", get("cr%0D%0ASet-Cookie:%20a=b.txt"), "200", []string{"!Set-Cookie", "=split"}},
		{"CR LF in the name of nothing", get("%0D%0ASet-Cookie:%20a=b"), "404", []string{"!Set-Cookie"}},
		{"CR LF in the name of a directory", get("d%0D%0ASet-Cookie:%20a=b"), "301", []string{"!Set-Cookie", "Location: /static/d%0D%0ASet-Cookie:%20a=b/"}},
		{"dots inside a name", get("x..y.txt"), "200", []string{"=dots"}},
		{"link inside", get("in.txt"), "200", []string{"=" + alphabet}},
		{"directory with an index", get("sub/"), "200", []string{"Content-Type: text/html; charset=utf-8", "=index"}},
		{"directory without a slash", get("sub"), "301", []string{"Location: /static/sub/"}},
		{"HEAD of a directory without a slash", "HEAD /static/sub HTTP/1.1" + rest, "301", []string{"Location: /static/sub/"}},
		{"directory without a slash, with a query", get("sub?a=b"), "301", []string{"Location: /static/sub/?a=b"}},
		{"directory without a slash, encoded", get("s%75b"), "301", []string{"Location: /static/s%75b/"}},
		{"directory without an index", get("bare/"), "404", nil},
		{"no open redirect", get("/evil.example"), "404", []string{"!Location"}},
		{"no open redirect in front", "GET //evil.example/static/sub HTTP/1.1" + rest, "404", []string{"!Location"}},
		{"no open redirect behind", "GET //evil.example/..%2fstatic/sub HTTP/1.1" + rest, "404", []string{"!Location"}},
		{"redirect in the absolute form stays here", "GET http://evil.example/static/sub HTTP/1.1" + rest, "301", []string{"Location: /static/sub/"}},
		{"file with a slash", get("a.txt/"), "404", nil},
		{"file with something behind", get("a.txt/b"), "404", nil},
		{"root", get(""), "404", nil},
		{"root without a slash", "GET /static HTTP/1.1" + rest, "404", nil},
		{"case counts", get("A.txt"), "404", nil},
		{"long name", get(strings.Repeat("a", 300)), "404", nil},
		{"long path", get(strings.Repeat("a/", 2000)), "404", nil},
	}
	for _, path := range []string{"../outside.txt", "..", "../", ".", "./", "./a.txt", "sub/..", "sub/../a.txt", "sub/../../outside.txt", "%2e%2e/outside.txt", "%2E%2E/outside.txt", ".%2e/outside.txt", "%2e./outside.txt", "..%2foutside.txt", "%2e%2e%2foutside.txt",
		"..%5coutside.txt", "%2e%2e%5coutside.txt", "%252e%252e/outside.txt", "..%252foutside.txt", "..;/outside.txt", "..%00/outside.txt", "%00../outside.txt", "a.txt%00", "a.txt%00.html", "%00", "sub%2f", "sub%2findex.html", "sub%5cindex.html",
		"/a.txt", "//a.txt", "sub//index.html", "%2fetc/passwd", "/etc/passwd", "%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", ".../a.txt", "%c0%ae%c0%ae/outside.txt", "%c0%ae%c0%ae%c0%afoutside.txt", "%e0%80%ae%e0%80%ae/outside.txt", "..%c0%afoutside.txt", "..%u2215outside.txt"[:2] + "%ef%bc%8foutside.txt",
		"out.txt", "abs.txt", "up/outside.txt", "up", "up/", "up/dir/a.txt", "loop", "dangling", "fifo", "fifo/", ".hidden", "%2ehidden", ".dir/a.txt", "%2edir/a.txt", "sub/.", "a.txt/.", "a.txt/..", "a.txt%20", "a.txt.", "a.txt::$DATA", "CON", "~root/", "a.txt%0a", "a.txt%ff"} {
		ps = append(ps, probe{"not found: " + path, get(path), "404", nil})
	}
	for _, path := range []string{"..\\outside.txt", "sub\\index.html", "%zz", "%", "a.txt%", "..%u2215outside.txt", "a.txt#b"} {
		ps = append(ps, probe{"malformed: " + path, get(path), "400!", nil})
	}
	return ps
}

func httpDate(t time.Time) string { return t.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT") }

// probeTag is the ETag of a.txt.
var probeTag = fmt.Sprintf(`"%s-q"`, base36(probeTime.UnixNano()))

func base36(n int64) (s string) {
	for ; n > 0; n /= 36 {
		s = string("0123456789abcdefghijklmnopqrstuvwxyz"[n%36]) + s
	}
	return s
}

// conditionProbes are about RFC 9110 13.
func conditionProbes() []probe {
	const same, before, after = "Thu, 29 Feb 2024 12:34:56 GMT", "Thu, 29 Feb 2024 12:34:55 GMT", "Thu, 29 Feb 2024 12:34:57 GMT"
	var ps []probe
	add := func(status, fields string) {
		fields = strings.ReplaceAll(fields, "TAG", probeTag)
		has := map[string][]string{"200": {"=" + alphabet, "ETag: " + probeTag, "Last-Modified: " + same}, "206": {"=bcd", "Content-Range: bytes 1-3/26"},
			"304": {"ETag: " + probeTag, "!Content-Length", "!Content-Type", "!Content-Range"}, "412": {"!Content-Range"}}[status]
		ps = append(ps, probe{fields, "GET /static/a.txt HTTP/1.1\nHost: h\n" + fields + "\n\n", status, has})
		if status == "304" || status == "412" {
			ps = append(ps, probe{"HEAD " + fields, "HEAD /static/a.txt HTTP/1.1\nHost: h\n" + fields + "\n\n", status, nil})
		}
	}
	for _, f := range []string{`If-None-Match: TAG`, `If-None-Match: W/TAG`, `If-None-Match: *`, `If-None-Match: "a", TAG`, `If-None-Match: TAG, "a"`, `If-None-Match: "a",W/TAG,"b"`, `If-None-Match: , ,TAG,`, "If-None-Match: \"a\"\nIf-None-Match: TAG",
		`If-None-Match: "a,b", TAG`, `if-none-match:TAG`, "If-None-Match: TAG\nIf-Modified-Since: " + before, "If-None-Match: TAG\nRange: bytes=1-3", "If-None-Match: TAG\nIf-Range: \"x\"\nRange: bytes=1-3",
		"If-Modified-Since: " + same, "If-Modified-Since: " + after, "If-Modified-Since: Thursday, 29-Feb-24 12:34:56 GMT", "If-Modified-Since: Thu Feb 29 12:34:56 2024", "If-Modified-Since: " + same + "\nRange: bytes=1-3",
		"If-Match: TAG\nIf-None-Match: TAG", "If-Match: *\nIf-None-Match: *", "If-Unmodified-Since: " + same + "\nIf-Modified-Since: " + same, "If-Match: TAG\nIf-Modified-Since: " + same} {
		add("304", f)
	}
	for _, f := range []string{`If-None-Match: "a"`, `If-None-Match: TAGx`, `If-None-Match: ""`, `If-None-Match:`, `If-None-Match: w/TAG`, "If-None-Match: " + strings.Trim(probeTag, `"`), "If-None-Match: \"a\"\nIf-Modified-Since: " + same, "If-None-Match: \"a\"\nIf-Modified-Since: " + after,
		"If-Modified-Since: " + before, "If-Modified-Since: x", "If-Modified-Since:", "If-Modified-Since: 0", "If-Modified-Since: Thu, 29 Feb 2024 12:34:56 UTC", "If-Modified-Since: Thu, 29 Feb 2024 12:34:56 +0000", "If-Modified-Since: Thu, 29 Feb 2024 12:34:56", "If-Modified-Since: 2024-02-29T12:34:56Z",
		"If-Modified-Since: Fri, 30 Feb 2035 12:34:56 GMT", "If-Modified-Since: Thu, 29 Feb 2035 12:34:56 GMT", "If-Modified-Since: Thu, 01 Mar 2035 24:00:00 GMT", "If-Modified-Since: " + same + "; length=26", "If-Modified-Since: " + same + "\nIf-Modified-Since: " + same,
		`If-Match: TAG`, `If-Match: *`, `If-Match: "a", TAG`, "If-Match: \"a\"\nIf-Match: TAG", "If-Unmodified-Since: " + same, "If-Unmodified-Since: " + after, "If-Unmodified-Since: x", "If-Unmodified-Since:", "If-Match: TAG\nIf-Unmodified-Since: " + before,
		`If-Range: TAG`, `If-Range: "a"`, "If-Range: \"a\"\nRange: bytes=1-3", "If-Range: W/TAG\nRange: bytes=1-3", "If-Range: " + after + "\nRange: bytes=1-3", "If-Range: " + before + "\nRange: bytes=1-3", "If-Range: x\nRange: bytes=1-3", "If-Range:\nRange: bytes=1-3", "If-Range: *\nRange: bytes=1-3",
		"If-Range: TAG, TAG\nRange: bytes=1-3", "If-Range: \"a\"\nRange: bytes=99-"} {
		add("200", f)
	}
	for _, f := range []string{`If-Match: "a"`, `If-Match: W/TAG`, `If-Match: "a", W/TAG`, `If-Match:`, `If-Match: x`, `If-Match: TAGx`, "If-Unmodified-Since: " + before, "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT", "If-Unmodified-Since: Sunday, 06-Nov-94 08:49:37 GMT", "If-Unmodified-Since: Sun Nov  6 08:49:37 1994",
		"If-Match: \"a\"\nIf-None-Match: TAG", "If-Match: \"a\"\nIf-Unmodified-Since: " + same, "If-Match: \"a\"\nRange: bytes=1-3", "If-Unmodified-Since: " + before + "\nIf-None-Match: TAG", "If-Match: \"a\"\nRange: bytes=99-"} {
		add("412", f)
	}
	for _, f := range []string{"If-Range: TAG\nRange: bytes=1-3", "If-Range: " + same + "\nRange: bytes=1-3", "If-Match: TAG\nRange: bytes=1-3", "If-None-Match: \"a\"\nRange: bytes=1-3", "If-Modified-Since: " + before + "\nRange: bytes=1-3", "If-Unmodified-Since: " + same + "\nRange: bytes=1-3",
		"If-Range: Thursday, 29-Feb-24 12:34:56 GMT\nRange: bytes=1-3"} {
		add("206", f)
	}
	// RFC 9110 13.2.1: conditions do not turn one refusal into another.
	return append(ps,
		probe{"404 with If-None-Match", "GET /static/nothing HTTP/1.1\nHost: h\nIf-None-Match: *\n\n", "404", nil},
		probe{"404 with If-Match", "GET /static/nothing HTTP/1.1\nHost: h\nIf-Match: \"a\"\n\n", "404", nil},
		probe{"405 with If-Match", "PUT /static/a.txt HTTP/1.1\nHost: h\nIf-Match: \"a\"\n\n", "405", nil},
		probe{"405 with If-None-Match", "DELETE /static/a.txt HTTP/1.1\nHost: h\nIf-None-Match: *\n\n", "405", nil},
		probe{"301 with If-None-Match", "GET /static/sub HTTP/1.1\nHost: h\nIf-None-Match: *\n\n", "301", nil})
}

// rangeProbes are about RFC 9110 14.
func rangeProbes() []probe {
	get := func(value string) string { return "GET /static/a.txt HTTP/1.1\nHost: h\nRange: " + value + "\n\n" }
	ps := []probe{
		{"HEAD has no ranges (14.2)", "HEAD /static/a.txt HTTP/1.1\nHost: h\nRange: bytes=0-4\n\n", "200", []string{"Content-Length: 26", "!Content-Range"}},
		{"HEAD, unsatisfiable", "HEAD /static/a.txt HTTP/1.1\nHost: h\nRange: bytes=99-\n\n", "200", []string{"Content-Length: 26", "!Content-Range"}},
		{"POST has no ranges", "POST /static/a.txt HTTP/1.1\nHost: h\nRange: bytes=0-4\n\n", "405", []string{"!Content-Range"}},
		{"two fields", "GET /static/a.txt HTTP/1.1\nHost: h\nRange: bytes=0-4\nRange: bytes=5-9\n\n", "200", []string{"=" + alphabet}},
		{"empty file", "GET /static/empty.txt HTTP/1.1\nHost: h\nRange: bytes=0-\n\n", "416", []string{"Content-Range: bytes */0"}},
		{"empty file, suffix of nothing", "GET /static/empty.txt HTTP/1.1\nHost: h\nRange: bytes=-0\n\n", "416", []string{"Content-Range: bytes */0"}},
		{"empty file, suffix", "GET /static/empty.txt HTTP/1.1\nHost: h\nRange: bytes=-5\n\n", "200", []string{"Content-Length: 0"}},
		{"of no file", "GET /plaintext HTTP/1.1\nHost: h\nRange: bytes=0-4\n\n", "200", []string{"=Hello, World!", "!Content-Range"}},
		{"of nothing", "GET /static/nothing HTTP/1.1\nHost: h\nRange: bytes=0-4\n\n", "404", []string{"!Content-Range"}},
		{"HTTP/1.0", "GET /static/a.txt HTTP/1.0\nRange: bytes=1-3\n\n", "206!", []string{"=bcd"}},
		{"of a large file", "GET /static/big.bin HTTP/1.1\nHost: h\nRange: bytes=16-319999\n\n", "206", []string{"Content-Length: 319984", "Content-Range: bytes 16-319999/320000", "=" + strings.Repeat("0123456789abcdef", 19_999)}},
		{"end of a large file", "GET /static/big.bin HTTP/1.1\nHost: h\nRange: bytes=-3\n\n", "206", []string{"=def"}},
	}
	for value, want := range map[string]string{"bytes=0-4": "0-4", "bytes=0-0": "0-0", "bytes=25-25": "25-25", "bytes=0-25": "0-25", "bytes=0-26": "0-25", "bytes=0-99999999999999999999": "0-25", "bytes=20-": "20-25", "bytes=0-": "0-25", "bytes=25-": "25-25", "bytes=-1": "25-25",
		"bytes=-5": "21-25", "bytes=-26": "0-25", "bytes=-27": "0-25", "bytes=-99999999999999999999": "0-25", "BYTES=0-4": "0-4", "Bytes=1-2": "1-2", "bytes=00-04": "0-4", "bytes= 0-4": "0-4", "bytes=0-4 ": "0-4", "bytes=0-4,": "0-4", "bytes=,0-4": "0-4", "bytes= , 0-4 ,": "0-4",
		"bytes=0-4,99-": "0-4", "bytes=99-,0-4": "0-4", "bytes=-0,0-4": "0-4", "bytes=0-4,2-9": "0-9", "bytes=0-4,5-9": "0-9", "bytes=5-9,0-4": "0-9", "bytes=0-,-5": "0-25", "bytes=0-4,0-4,0-4": "0-4", "bytes=0-25,0-25": "0-25"} {
		var first, last int
		fmt.Sscanf(want, "%d-%d", &first, &last)
		ps = append(ps, probe{fmt.Sprintf("part %q", value), get(value), "206", []string{"Content-Range: bytes " + want + "/26", "Content-Type: text/plain; charset=utf-8", "ETag: " + probeTag, "=" + alphabet[first:last+1]}})
	}
	for _, value := range []string{"bytes=26-", "bytes=26-30", "bytes=99-", "bytes=99-100", "bytes=-0", "bytes=-0,99-", "bytes=26-,30-", "bytes=18446744073709551616-", "bytes=-00"} {
		ps = append(ps, probe{fmt.Sprintf("unsatisfiable %q", value), get(value), "416", []string{"Content-Range: bytes */26"}})
	}
	for _, value := range []string{"", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=--5", "bytes=5-4", "bytes=0-4,5-4", "bytes=a-b", "bytes=0-b", "bytes=a-4", "bytes=0x0-4", "bytes=+0-4", "bytes=0-+4", "bytes=-+4", "bytes=0", "bytes=0-4-9", "bytes=0 -4", "bytes=0- 4", "bytes=- 4", "bytes=0-4;", "bytes=0-4 5-9",
		"bytes =0-4", " bytes:0-4", "bytes:0-4", "byte=0-4", "items=0-4", "seconds=0-4", "none", "=0-4", "0-4", "\"bytes\"=0-4", "bytes=0.0-4", "bytes=0-4e0", "bytes=\"0-4\"", "bytes=0-4,x", "bytes=99-,x", "bytes/0-4", "bytes=*", "bytes=1-2/26", "bytes=٠-4"} {
		ps = append(ps, probe{fmt.Sprintf("ignored %q", value), get(value), "200", []string{"=" + alphabet, "!Content-Range"}})
	}
	return append(ps,
		probe{"many", get("bytes=" + strings.Repeat("0-0,2-2,", 100)), "200", []string{"=" + alphabet}},
		probe{"many of a large file", "GET /static/big.bin HTTP/1.1\nHost: h\nRange: bytes=" + strings.Repeat("0-,", 1000) + "\n\n", "200", []string{"Content-Length: 320000"}})
}

// precompressedProbes are about RFC 9110 12.5.3 and 12.5.5.
func precompressedProbes() []probe {
	get := func(path, accept string) string {
		return "GET /static/" + path + " HTTP/1.1\nHost: h\n" + accept + "\n"
	}
	var ps []probe
	for accept, want := range map[string]string{"": "plain", "gzip": "gzip", "GZIP": "gzip", "x-gzip": "gzip", "br": "br", "gzip, br": "br", "br, gzip": "br", "gzip;q=1, br;q=0.5": "gzip", "gzip;q=0.5, br;q=0.8": "br", "gzip;q=0": "plain", "gzip;q=0.0, br;q=0": "plain", "identity": "plain", "deflate": "plain", "*": "br",
		"*;q=0.5": "br", "gzip;q=0, *": "br", "br;q=0, *": "gzip", "identity;q=1, gzip;q=0.5": "plain", "gzip ; q=0.5": "gzip", "gzip;q=x": "plain", "zstd, gzip": "gzip", "gzipp": "plain", "gzip;q=1.000": "gzip", ",gzip,": "gzip"} {
		field := "Accept-Encoding: " + accept + "\n"
		has := map[string][]string{"plain": {"!Content-Encoding", "=plain"}, "gzip": {"Content-Encoding: gzip", "=zipped"}, "br": {"Content-Encoding: br", "=brotli"}}[want]
		ps = append(ps, probe{fmt.Sprintf("Accept-Encoding: %q", accept), get("z.js", field), "200", append(has, "Vary: Accept-Encoding", "Content-Type: text/javascript; charset=utf-8")})
	}
	return append(ps,
		probe{"no Accept-Encoding", get("z.js", ""), "200", []string{"=plain", "Vary: Accept-Encoding", "!Content-Encoding"}},
		probe{"file without neighbours", get("a.txt", "Accept-Encoding: gzip\n"), "200", []string{"=" + alphabet, "!Content-Encoding"}},
		probe{"neighbour by its own name", get("z.js.gz", ""), "200", []string{"=zipped", "Content-Type: application/gzip", "!Content-Encoding"}},
		probe{"neighbour alone", get("only.css", "Accept-Encoding: gzip\n"), "200", []string{"=zipped css", "Content-Type: text/css; charset=utf-8", "Content-Encoding: gzip"}},
		probe{"neighbour alone, not accepted", get("only.css", "Accept-Encoding: br\n"), "406", nil},
		probe{"304 varies too", get("z.js", "If-None-Match: *\n"), "304", []string{"Vary: Accept-Encoding"}},
		probe{"range of a neighbour", get("z.js", "Accept-Encoding: gzip\nRange: bytes=0-2\n"), "206", []string{"=zip", "Content-Encoding: gzip", "Content-Range: bytes 0-2/6"}})
}
