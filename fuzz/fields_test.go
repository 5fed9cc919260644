package fuzz

import (
	"bufio"
	"bytes"
	"mime"
	nethttp "net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
)

// parseHead returns the request with these lines, nil when it is not taken.
func parseHead(lines ...string) *http.Request {
	head := "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Join(append(lines, "\r\n"), "\r\n")
	if len(lines) == 0 {
		head = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	}
	r, n, err := http.NewRequestParser(http.Options{}).Parse([]byte(head))
	if err != nil || n != len(head) {
		return nil
	}
	return r
}

// isFieldValue reports whether s is one line.
func isFieldValue(s string) bool { return !strings.ContainsAny(s, "\r\n") }

var tokenOnly = regexp.MustCompile(`^` + reToken + `$`)

// slowCookies is the definition of Request.Cookies (RFC 6265 §4.2.1, and what is not a pair is
// skipped).
func slowCookies(value string) (pairs []string) {
	for _, pair := range strings.Split(value, ";") {
		name, v, found := strings.Cut(pair, "=")
		if name = strings.Trim(name, " \t"); found && tokenOnly.MatchString(name) {
			pairs = append(pairs, name+"="+strings.Trim(v, " \t"))
		}
	}
	return pairs
}

// FuzzCookies: the cookies are those of the definition, over one line and over two; what net/http
// reads is among them; and Cookie is the first of its name.
func FuzzCookies(f *testing.F) {
	for _, s := range []string{"a=b", "a=b; c=d", `a="b;c"; d`, " a = b ;;=x;e=", "session=stale; session=good", "a=b=c; A=d", "a=\x80", "a\tb=c; d=\"\""} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, value string, at int) {
		if len(value) > 2000 || !isFieldValue(value) {
			return
		}
		r := parseHead("Cookie: " + value)
		if r == nil {
			return
		}
		var got []string
		for name, v := range r.Cookies() {
			got = append(got, string(name)+"="+string(v))
			if first := string(r.Cookie(string(name))); !slices.Contains(got, string(name)+"="+first) {
				t.Fatalf("%q: the first %s is %q, of %q", value, name, first, got)
			}
		}
		if want := slowCookies(value); !slices.Equal(got, want) {
			t.Fatalf("%q: %q, want %q", value, got, want)
		}
		std := nethttp.Request{Header: nethttp.Header{"Cookie": {value}}}
		for _, k := range std.Cookies() {
			v := k.Value
			if k.Quoted {
				v = `"` + v + `"`
			}
			// net/http takes a name without "=", and keeps white space after that.
			if v = strings.Trim(v, " \t"); v != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, k.Name+"=") && strings.Contains(s, v) }) {
				t.Fatalf("%q: %q, net/http reads %s=%s", value, got, k.Name, v)
			}
		}
		if semicolons := strings.Count(value, ";"); semicolons > 0 {
			cut := 0
			for range int(uint(at)%uint(semicolons)) + 1 {
				cut += strings.IndexByte(value[cut:], ';') + 1
			}
			if r := parseHead("Cookie: "+value[:cut-1], "x: y", "cookie: "+value[cut:]); r != nil {
				var two []string
				for name, v := range r.Cookies() {
					two = append(two, string(name)+"="+string(v))
				}
				if !slices.Equal(got, two) {
					t.Fatalf("%q: %q, and %q over two lines", value, got, two)
				}
			}
		}
	})
}

// FuzzSetCookie: a cookie that is taken is read by net/http as what was meant, and adds no line of
// its own.
func FuzzSetCookie(f *testing.F) {
	f.Add("a", "b", "/", "example.org")
	f.Add("a", "b; Secure", "", "")
	f.Add("a b", `"q"`, "/x y", ".example.org")
	f.Add("__Host-a", "", "/;", "1.2.3.4")
	f.Add("a", "b\r\nX: y", "x", "a..b")
	f.Fuzz(func(t *testing.T, name, value, path, domain string) {
		k := http.Cookie{Name: name, Value: value, Path: path, Domain: domain, HttpOnly: true}
		var err error
		reply := serveOne(func(c *conn.Conn, m *http.Message) {
			err = http.SetCookie(c, k)
			http.ReplyBytes(c, 204, "", nil)
		})
		lines := reply.Header["Set-Cookie"]
		if err != nil {
			if len(lines) > 0 {
				t.Fatalf("%+v: %v, but sent as %q", k, err, lines)
			}
			return
		}
		if len(lines) != 1 || lines[0] != k.String() || len(reply.Header) != 2 { // and Date
			t.Fatalf("%+v: sent as %q in %q", k, lines, reply.Header)
		}
		std, err := nethttp.ParseSetCookie(lines[0])
		if err != nil || std.Name != name || std.Path != path || std.Domain != domain || !std.HttpOnly || std.Secure || std.MaxAge != 0 {
			t.Fatalf("%+v: net/http reads %+v, %v", k, std, err)
		}
		if v := std.Value; v != value && `"`+v+`"` != value {
			t.Fatalf("%+v: net/http reads the value %q", k, v)
		}
	})
}

var trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

// slowNode is the address that an element of X-Forwarded-For names; of Forwarded, an IPv6 address
// must be in brackets.
func slowNode(s string, bare bool) netip.Addr {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && (bare || a.Is4()) {
		return a.Unmap()
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s += ":1"
	}
	i := strings.LastIndexByte(s, ':')
	a, err := netip.ParseAddrPort(s)
	if err != nil || len(s)-i > 6 || a.Addr().Zone() != "" {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

var (
	// A list is cut at commas that are not in quotes; a quote that is never closed goes to the end.
	forwardedElement = regexp.MustCompile(`(?s)^(?:[^",]|"(?:[^"\\]|\\.)*(?:"|\\?$))*`)
	forwardedPart    = regexp.MustCompile(`(?s)^(?:[^";]|"(?:[^"\\]|\\.)*(?:"|\\?$))*`)
	forwardedPair    = regexp.MustCompile(`(?s)^(` + reToken + `)=(` + reToken + `|"(?:[^"\\]|\\.)*")$`)
)

func cutList(s string, element *regexp.Regexp) (all []string) {
	for {
		e := element.FindString(s)
		all = append(all, strings.Trim(e, " \t"))
		if len(e) == len(s) {
			return all
		}
		s = s[len(e)+1:]
	}
}

// slowForwarded is the address that an element of Forwarded names (RFC 7239 §4).
func slowForwarded(element string) (a netip.Addr) {
	found := false
	for _, pair := range cutList(element, forwardedPart) {
		if pair == "" {
			continue
		}
		m := forwardedPair.FindStringSubmatch(pair)
		if m == nil {
			return netip.Addr{}
		}
		if strings.EqualFold(m[1], "for") {
			if found {
				return netip.Addr{}
			}
			found = true
			a = slowNode(strings.TrimSuffix(strings.TrimPrefix(m[2], `"`), `"`), false)
		}
	}
	return a
}

// FuzzForwarded: the client is the last address that is not of a trusted network, or the first, by
// definition, in both fields. The text in front of it does not matter.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"192.0.2.7", "1.2.3.4, 10.0.0.2", "unknown, 10.0.0.2", "10.0.0.3,10.0.0.2", "[2001:db8::1]:80, fd00::1", "2001:db8::1", "1.2.3.4:80", "::ffff:10.0.0.1",
		"for=192.0.2.7", `for="[2001:db8::1]:80";proto=https, for=10.0.0.2`, "for=_hidden, For=10.0.0.2", `for="a,b", for=1.2.3.4`, `for=1.2.3.4;for=1.2.3.4`, `by=x;;for=1.2.3.4`, `for="1.2.3.4`, ",,", `for=2001:db8::1`} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, value string, standard bool) {
		if len(value) > 500 || !isFieldValue(value) {
			return
		}
		name, elements, node := "X-Forwarded-For", strings.Split(value, ","), func(s string) netip.Addr { return slowNode(s, true) }
		if standard {
			name, elements, node = "Forwarded", cutList(value, forwardedElement), slowForwarded
		}
		r := parseHead(name + ": " + value)
		if r == nil {
			return
		}
		peer := netip.MustParseAddr("10.0.0.1")
		want, first := peer, true
		for _, e := range slices.Backward(elements) {
			if e = strings.Trim(e, " \t"); e == "" {
				continue
			}
			want, first = node(e), false
			if !http.InNetworks(want, trusted) {
				break
			}
		}
		c := peerConn(peer)
		got := r.ClientAddr(c, trusted, name)
		if got != want {
			t.Fatalf("%s: %q: %v, want %v", name, value, got, want)
		}
		if !first && !http.InNetworks(want, trusted) {
			if r := parseHead(name+": 192.0.2.99, for=192.0.2.98", name+": "+value); r.ClientAddr(c, trusted, name) != want {
				t.Fatalf("%s: %q: %v with more in front", name, value, r.ClientAddr(c, trusted, name))
			}
		}
		if got := r.ClientAddr(peerConn(netip.MustParseAddr("192.0.2.1")), trusted, name); got != netip.MustParseAddr("192.0.2.1") {
			t.Fatalf("%s: %q: %v for a peer that is not trusted", name, value, got)
		}
	})
}

// peerConn is a connection from that address.
func peerConn(a netip.Addr) *conn.Conn {
	r := &httpRig{wire: conntest.NewWire(), loop: conntest.NewLoop()}
	l := conn.Limits{}.WithDefaults()
	c := r.loop.Add(r.wire, &l, func(*conn.Conn, conn.Event) {})
	c.Driver().SetRemote(conn.PeerOf(netip.AddrPortFrom(a, 1)))
	return c
}

var codingElement = regexp.MustCompile(`^(` + reToken + `)(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?$`)

// FuzzAcceptEncoding: the choice is on offer, does not depend on the order of the list, and where
// the list is of the grammar of RFC 9110 §12.5.3 it is what that says.
func FuzzAcceptEncoding(f *testing.F) {
	for _, s := range []string{"gzip", "", "br;q=0.5, gzip", "*;q=0", "identity;q=0", "gzip;q=0, *", "x-gzip", "GZIP;Q=0.001", ",,gzip", "gzip;x=1;q=0.2", "gzip;q=1.001", `a;b="c,d", br`, "identity, gzip;q=1.000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if len(value) > 500 || !isFieldValue(value) {
			return
		}
		r := parseHead("Accept-Encoding: " + value)
		if r == nil {
			return
		}
		got := r.AcceptsEncoding("br", "gzip")
		if !slices.Contains([]string{"br", "gzip", "identity", ""}, got) {
			t.Fatalf("%q: %q", value, got)
		}
		if strings.Contains(value, `"`) {
			return
		}
		list := strings.Split(value, ",")
		slices.Reverse(list)
		if again := parseHead("Accept-Encoding: "+strings.Join(list, ",")).AcceptsEncoding("br", "gzip"); again != got {
			t.Fatalf("%q: %q, and %q in reverse", value, got, again)
		}
		q := map[string]float64{}
		for _, e := range list {
			if e = strings.Trim(e, " \t"); e == "" {
				continue
			}
			m := codingElement.FindStringSubmatch(e)
			if m == nil {
				return // not of the grammar
			}
			weight := 1.0
			if m[2] != "" {
				weight, _ = strconv.ParseFloat(m[2], 64)
			}
			name := strings.TrimPrefix(strings.ToLower(m[1]), "x-")
			if old, twice := q[name]; !twice || weight > old {
				q[name] = weight
			}
		}
		of := func(name string, unnamed float64) float64 {
			if w, ok := q[name]; ok {
				return w
			}
			if w, ok := q["*"]; ok {
				return w
			}
			return unnamed
		}
		want, best := "", 0.0
		for _, name := range []string{"br", "gzip"} {
			if w := of(name, 0); w > best {
				want, best = name, w
			}
		}
		if of("identity", 0.0001) > best {
			want = "identity"
		}
		if got != want {
			t.Fatalf("%q: %q, want %q", value, got, want)
		}
	})
}

// boundaryOf is what mime reads, or what stands there without quotes.
func boundaryOf(contentType, value string) string {
	if _, params, err := mime.ParseMediaType(contentType); err == nil {
		return params["boundary"]
	}
	value = strings.TrimLeft(value, " \t")
	if quoted, ok := strings.CutPrefix(value, `"`); ok {
		var b []byte
		for i := 0; i < len(quoted) && quoted[i] != '"'; i++ {
			if quoted[i] == '\\' && i+1 < len(quoted) && strings.IndexByte(`"\`, quoted[i+1]) >= 0 {
				i++
			}
			b = append(b, quoted[i])
		}
		return string(b)
	}
	b, _, _ := strings.Cut(value, ";")
	return strings.Trim(b, " \t")
}

// serveOne returns the reply of a handler to one GET.
func serveOne(h func(c *conn.Conn, m *http.Message)) *nethttp.Response {
	r := &httpRig{wire: conntest.NewWire(), loop: conntest.NewLoop()}
	l := conn.Limits{}.WithDefaults()
	r.c = r.loop.Add(r.wire, &l, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*http.Message); ok {
			h(c, m)
		}
	})
	http.Attach(r.c, http.NewServer(http.Options{}))
	r.feed([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
	reply, err := nethttp.ReadResponse(bufio.NewReader(bytes.NewReader(r.wire.Sent)), nil)
	if err != nil {
		panic(err)
	}
	return reply
}

// FuzzBoundary: a boundary that is taken is the one that mime reads, if mime takes it, and a form
// with it has the part that it has.
func FuzzBoundary(f *testing.F) {
	for _, s := range []string{"b", "*****", "$b$", `"{d6b7}"`, "----=_Part_1", `"a b"`, `"a\"b"`, "a;b=c", "a, b", "--", `""`, "x; boundary=y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if len(value) > 400 || !isFieldValue(value) {
			return
		}
		contentType := "multipart/form-data; boundary=" + value
		r, err := http.NewMultipartReader([]byte(contentType), http.MultipartLimits{})
		if err != nil {
			return
		}
		boundary := boundaryOf(contentType, value)
		body := "--" + boundary + "\r\nContent-Disposition: form-data; name=n\r\n\r\n--\r\n-\r\n--" + boundary + "--\r\n"
		var data []byte
		for b := []byte(body); ; {
			ev, n, err := r.Next(b)
			if err != nil {
				t.Fatalf("%q, boundary %q: %v", contentType, boundary, err)
			}
			if b = b[n:]; ev.Kind == http.PartNone {
				break
			}
			data = append(data, ev.Data...)
		}
		if err := r.End(); err != nil || !bytes.Equal(data, []byte("--\r\n-")) {
			t.Fatalf("%q, boundary %q: %q %v", contentType, boundary, data, err)
		}
	})
}
