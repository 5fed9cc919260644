package http

import (
	nethttp "net/http"
	"testing"

	"github.com/seed4930a636/mangusta/internal/wire"
)

func TestCredentials(t *testing.T) {
	basic := func(user, password string) Credentials {
		return Credentials{Scheme: AuthBasic, User: user, Password: password}
	}
	bearer := func(token string) Credentials { return Credentials{Scheme: AuthBearer, Token: []byte(token)} }
	bad := Credentials{Scheme: AuthBad}
	for _, x := range []struct {
		value string
		want  Credentials
	}{
		// RFC 7617 2: the example of the RFC, then an empty user and password; the password may
		// have colons.
		{"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", basic("Aladdin", "open sesame")},
		{"bASIC   Og==", basic("", "")}, {"Basic YTpiOmM=", basic("a", "b:c")}, {"Basic dGVzdDoxMjPCow==", basic("test", "123£")},
		{"Basic", bad}, {"Basic ", bad}, {"Basic YQ==", bad}, // no colon
		// RFC 7617 2: no control characters.
		{"Basic YTpiCg==", bad}, {"Basic YQA6Yg==", bad}, {"Basic YTp/", bad},
		// RFC 4648 3: padding is there, its bits are zero, the alphabet is the standard one, and
		// nothing else is in it.
		{"Basic YTpi", basic("a", "b")}, {"Basic YTo", bad}, {"Basic YTo=", basic("a", "")}, {"Basic YTp=", bad}, {"Basic YT pi", bad},
		{"Basic YTp_", bad}, {"Basic YTpi,", bad}, {"Basic YTpi=", bad}, {"Basic\tYTpi", bad},
		// RFC 6750 2.1: b64token
		{"Bearer mF_9.B5f-4.1JqM", bearer("mF_9.B5f-4.1JqM")}, {"bearer a+/~=", bearer("a+/~=")},
		{"Bearer", bad}, {"Bearer =", bad}, {"Bearer a=b", bad}, {"Bearer a b", bad}, {"Bearer a,b", bad}, {"Bearer a{b", bad}, {`Bearer "a"`, bad},
		{"Digest a=b", Credentials{Scheme: AuthOther}}, {"Basic2 YTpi", Credentials{Scheme: AuthOther}}, {"", bad}, {"a@b c", bad},
	} {
		got := withFields("GET", "authorization:"+x.value).Credentials()
		if got.Scheme != x.want.Scheme || got.User != x.want.User || got.Password != x.want.Password || string(got.Token) != string(x.want.Token) {
			t.Errorf("%q: %+v", x.value, got)
		}
	}
	if got := withFields("GET").Credentials(); got.Scheme != AuthNone {
		t.Errorf("without the field: %+v", got)
	}
	if got := withFields("GET", "Authorization: Basic YTpi", "Authorization: Basic YTpi").Credentials(); got.Scheme != AuthBad {
		t.Errorf("two fields: %+v", got)
	}
}

func TestIsBasicAndIsBearer(t *testing.T) {
	a := Credentials{Scheme: AuthBasic, User: "u", Password: "secret"}
	for _, x := range []struct {
		user, password string
		want           bool
	}{{"u", "secret", true}, {"u", "secre", false}, {"u", "secret1", false}, {"u", "Secret", false}, {"v", "secret", false}, {"", "", false}, {"u", "", false}} {
		if a.IsBasic(x.user, x.password) != x.want {
			t.Error(x)
		}
	}
	if (Credentials{}).IsBasic("", "") || (Credentials{}).IsBearer("") || a.IsBearer("") {
		t.Error("no credentials pass for empty ones")
	}
	b := Credentials{Scheme: AuthBearer, Token: []byte("abc")}
	if !b.IsBearer("abc") || b.IsBearer("abd") || b.IsBearer("abcabc") || b.IsBearer("") || b.IsBasic("", "") {
		t.Error("bearer")
	}
}

func TestSecretEqual(t *testing.T) {
	words := []string{"", "a", "b", "ab", "ba", "aa", "aaa", "abab", "abcabc", "abc", "\x00", "a\x00"}
	for _, a := range words {
		for _, b := range words {
			if SecretEqual(a, b) != (a == b) || SecretEqual([]byte(a), b) != (a == b) {
				t.Errorf("%q %q", a, b)
			}
		}
	}
}

// If we take credentials for Basic, net/http reads the same ones.
func FuzzCredentials(f *testing.F) {
	for _, s := range []string{"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Bearer x", "basic Og==", "Basic  Og=="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := withFields("GET", "Authorization:"+s).Credentials()
		q := nethttp.Request{Header: nethttp.Header{"Authorization": {string(wire.Trim([]byte(s)))}}}
		user, password, ok := q.BasicAuth()
		if ok && got.Scheme == AuthBasic && (user != got.User || password != got.Password) {
			t.Fatalf("%q: %+v, net/http says %q %q", s, got, user, password)
		}
	})
}
