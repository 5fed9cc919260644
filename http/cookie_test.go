package http

import (
	"errors"
	"fmt"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

func TestCookie(t *testing.T) {
	r := withFields("GET", `Cookie: a=1; b="x y"; c=; A=2; d=p=q;e=5 ; noequals; =empty; b@d=1; a=second`, "X: a=3", "cookie: late=1")
	for name, want := range map[string]string{
		"a": "1", "b": `"x y"`, "c": "", "A": "2", "d": "p=q", "e": "5", "late": "1",
	} {
		if got := r.Cookie(name); got == nil || string(got) != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, name := range []string{"", "x", "noequals", "b@d", "E"} {
		if got := r.Cookie(name); got != nil {
			t.Errorf("%q: %q", name, got)
		}
	}
	if withFields("GET").Cookie("a") != nil {
		t.Error("without a Cookie field")
	}
}

func TestCookiesYieldsThoseOfAllFieldsInOrder(t *testing.T) {
	r := withFields("GET", "Cookie: a=1; b=2", "Cookie: a=3;;bad; c=4")
	var got strings.Builder
	for name, value := range r.Cookies() {
		fmt.Fprintf(&got, "%s=%s ", name, value)
	}
	if got.String() != "a=1 b=2 a=3 c=4 " {
		t.Error(got.String())
	}
	for range r.Cookies() {
		break
	}
}

func TestCookieAllocatesNothing(t *testing.T) {
	r := withFields("GET", "Cookie: a=1; b=2; session=xyz")
	if n := testing.AllocsPerRun(100, func() {
		if r.Cookie("session") == nil {
			t.Fatal("no session")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCookieString(t *testing.T) {
	day := time.Date(2030, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600))
	for want, k := range map[string]Cookie{
		"a=":                   {Name: "a"},
		`a="b"`:                {Name: "a", Value: `"b"`},
		"a=1; Path=/x":         {Name: "a", Value: "1", Path: "/x"},
		"a=1; Domain=Ex-1.com": {Name: "a", Value: "1", Domain: "Ex-1.com"},
		"a=1; Max-Age=60":      {Name: "a", Value: "1", MaxAge: time.Minute},
		"a=1; Max-Age=1":       {Name: "a", Value: "1", MaxAge: 1},
		"a=1; Max-Age=2":       {Name: "a", Value: "1", MaxAge: time.Second + 1},
		"a=; Max-Age=0":        {Name: "a", MaxAge: -1},
		"__Host-a=1; Path=/; Secure; HttpOnly; SameSite=Strict":             {Name: "__Host-a", Value: "1", Path: "/", Secure: true, HttpOnly: true, SameSite: SameSiteStrict},
		"a=1; Expires=Sun, 03 Feb 2030 03:05:06 GMT; Secure; SameSite=None": {Name: "a", Value: "1", Expires: day, Secure: true, SameSite: SameSiteNone},
		"a=" + strings.Repeat("x", 4095) + "; SameSite=Lax":                 {Name: "a", Value: strings.Repeat("x", 4095), SameSite: SameSiteLax},
		"__Secure-a=1; Path=/p; Domain=a.b; Max-Age=2; Secure":              {Name: "__Secure-a", Value: "1", Path: "/p", Domain: "a.b", MaxAge: 2 * time.Second, Secure: true},
	} {
		if err := k.check(); err != nil || k.String() != want {
			t.Errorf("%s (%v), want %s", k, err, want)
		}
		// net/http reads it as one cookie and would send it so.
		if c, err := nethttp.ParseSetCookie(want); err != nil || len(c.Unparsed) > 0 || c.Name != k.Name {
			t.Errorf("net/http reads %s as %v, %v", want, c, err)
		}
	}
}

func TestCookieAtTheBounds(t *testing.T) {
	for _, k := range []Cookie{
		{Name: "a", Value: `""`}, {Name: "a", Path: "/b c"}, {Name: "a", Domain: strings.Repeat("abc.", 63) + "d"}, {Name: "a", Path: "/" + strings.Repeat("x", 1023)}, {Name: "a", Domain: strings.Repeat("x", 63) + ".z"},
		{Name: "a", Expires: time.Date(1601, 1, 1, 0, 0, 0, 0, time.UTC)}, {Name: "a", Expires: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
	} {
		if err := k.check(); err != nil {
			t.Error(err)
		}
	}
}

func TestSetCookieRefusesWhatBreaksRFC6265(t *testing.T) {
	long := strings.Repeat("x", 4096)
	ok := Cookie{Name: "a", Value: "1"}
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if _, is := ev.(*Message); !is {
			return
		}
		for _, k := range []Cookie{
			// 4.1.1: cookie-name is a token, cookie-value is made of cookie-octet.
			{}, {Value: "1"}, {Name: "a b"}, {Name: "a=b"}, {Name: "a;b"}, {Name: "é"}, {Name: "a\r\nX: y"}, {Name: "a\x00"},
			{Name: "a", Value: "b c"}, {Name: "a", Value: "b;c"}, {Name: "a", Value: "b,c"}, {Name: "a", Value: `b"c`}, {Name: "a", Value: `b\c`},
			{Name: "a", Value: `"`}, {Name: "a", Value: `"b`}, {Name: "a", Value: "é"}, {Name: "a", Value: "b\r\nX: y"}, {Name: "a", Value: "\x7f"},
			{Name: "a", Value: long},
			{Name: "a", Path: "x"}, {Name: "a", Path: "/;Secure"}, {Name: "a", Path: `/"`}, {Name: "a", Path: `/\`}, {Name: "a", Path: "/\r\n"}, {Name: "a", Path: "/é"}, {Name: "a", Path: "/\x7f"}, {Name: "a", Path: "/a "}, {Name: "a", Path: "/" + long},
			{Name: "a", Domain: ".a.b"}, {Name: "a", Domain: "a..b"}, {Name: "a", Domain: "a.b."}, {Name: "a", Domain: "-a.b"}, {Name: "a", Domain: "a_b"}, {Name: "a", Domain: "a{b"}, {Name: "a", Domain: strings.Repeat("x", 64)}, {Name: "a", Domain: "1.2.3.4"},
			{Name: "a", Domain: "a;b"}, {Name: "a", Domain: "::1"}, {Name: "a", Domain: strings.Repeat("abc.", 63) + "de"}, {Name: "a", Domain: long},
			{Name: "a", Expires: time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC)}, {Name: "a", Expires: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
			{Name: "a", SameSite: 4}, {Name: "a", SameSite: SameSiteNone},
			{Name: "__Secure-a"}, {Name: "__secure-a"}, {Name: "__Host-a", Secure: true}, {Name: "__Host-a", Path: "/"},
			{Name: "__Host-a", Secure: true, Path: "/", Domain: "a.b"}, {Name: "__Host-a", Secure: true, Path: "/x"},
		} {
			if err := SetCookie(c, k); !errors.Is(err, ErrBadCookie) {
				t.Errorf("%+.60v: %v", k, err)
			}
		}
		if err := SetCookie(c, ok); err != nil {
			t.Error(err)
		}
		if err := SetCookie(c, Cookie{Name: "b", Value: "2"}); err != nil {
			t.Error(err)
		}
		Reply(c, 200, "", "")
		if err := SetCookie(c, ok); !errors.Is(err, ErrNoRequest) {
			t.Error(err)
		}
	})
	tc.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	tc.wantReply("HTTP/1.1 200 OK\nContent-Length: 0\nSet-Cookie: a=1\nSet-Cookie: b=2\n\n")
}

func TestErrorsOfSetCookieSayWhatIsWrong(t *testing.T) {
	k := Cookie{Name: "s", SameSite: SameSiteNone}
	if err := k.check(); err.Error() != `http: cookie: "s": SameSite=None without Secure` {
		t.Error(err)
	}
}

// Over TLS a cookie is Secure, unless the program says that it is to work without TLS too.
func TestCookiesKnowTheScheme(t *testing.T) {
	for _, tt := range []struct {
		k           Cookie
		plain, over string // "" is refused
	}{
		{Cookie{Name: "a", Value: "b"}, "a=b", "a=b; Secure"},
		{Cookie{Name: "a", Value: "b", Secure: true}, "a=b; Secure", "a=b; Secure"},
		{Cookie{Name: "a", Value: "b", Insecure: true}, "a=b", "a=b"},
		{Cookie{Name: "a", Value: "b", Secure: true, Insecure: true}, "", ""},
		{Cookie{Name: "__Secure-a", Value: "b"}, "", "__Secure-a=b; Secure"},
	} {
		for scheme, want := range map[string]string{"http": tt.plain, "https": tt.over, "a proxy's https": tt.over} {
			var err error
			server := NewServer(Options{NoDate: true, HTTPS: scheme == "a proxy's https"})
			o := conntest.Options{Setup: func(c *conn.Conn) { Attach(c, server) }}
			if scheme == "https" {
				o.Sealed = new(conntest.Sealed)
			}
			d := conntest.New(t, func(c *conn.Conn, ev conn.Event) {
				if _, ok := ev.(*Message); ok {
					err = SetCookie(c, tt.k)
					Reply(c, 200, "", "")
				}
			}, o)
			d.Send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
			got := d.Sent()
			if want == "" && (err == nil || strings.Contains(got, "Set-Cookie")) ||
				want != "" && (err != nil || !strings.Contains(got, "Set-Cookie: "+want+"\r\n")) {
				t.Errorf("%s %+v: %v, %q", scheme, tt.k, err, got)
			}
		}
	}
}
