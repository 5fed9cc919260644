package http

import "testing"

func TestAccepts(t *testing.T) {
	offers := []string{"application/json", "text/html", "text/plain; charset=utf-8", "image/png"}
	for _, x := range []struct{ accept, want string }{
		{"*/*", "application/json"}, {"text/html", "text/html"}, {"TEXT/Html", "text/html"}, {"video/mp4", ""}, {"text/*", "text/html"},
		// RFC 9110 12.4.2: q of 0 is "not acceptable"; without q it is 1.
		{"text/html;q=0", ""}, {"*/*, application/json;q=0", "text/html"}, {"text/html;q=0.5, image/png", "image/png"},
		{"image/png;q=0.4, text/html;q=0.5", "text/html"}, {"image/png;q=0.501, text/html;q=0.5", "image/png"}, {"text/html; Q=0.1, image/png;q=.2", "image/png"},
		// RFC 9110 12.5.1: the most specific range that matches decides.
		{"text/*;q=0.3, text/html;q=0.7, */*;q=0.5", "text/html"}, {"*/*;q=1, text/*;q=0.9, application/*;q=0.8, image/*;q=0.1", "text/html"},
		{"*/*;q=0.5, image/*;q=0", "application/json"}, {"text/*, text/html;q=0", "text/plain; charset=utf-8"},
		{"text/plain;charset=utf-8;q=0.9, text/plain;q=0.1, text/html;q=0.5", "text/plain; charset=utf-8"},
		{"text/plain;charset=latin1, text/html;q=0.5", "text/html"}, {`text/plain;charset="UTF-8"`, "text/plain; charset=utf-8"},
		// The same q: what is named more specifically, then the server's order.
		{"*/*, image/png", "image/png"}, {"image/png, text/html", "text/html"}, {"text/plain, text/*", "text/plain; charset=utf-8"},
		// Clients of old and browsers of now
		{"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "text/html"}, {"audio/basic, *; q=.2, */*; q=.2", "application/json"},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", "text/html"},
		{"image/png;q=0.9999, text/html;q=0.9", "image/png"},
		// Empty and malformed elements count for nothing; nothing at all is anything.
		{"", "application/json"}, {",, text/html ,", "text/html"}, {"text, image/png", "image/png"}, {"nonsense", "application/json"},
		{"text/html;q=x, image/png;q=0.1", "image/png"}, {"text/html;q=1.1, image/png;q=0.1", "image/png"}, {"*/html, image/png", "image/png"},
		{"text/html;q=, image/png", "image/png"}, {"text/html;q=., image/png", "image/png"}, {"text/html;q=-1, image/png", "image/png"},
		{"text/html;q=99999999999999999999, image/png;q=0.1", "image/png"},
		{`text/html;x="a,b;q=0", image/png;q=0.1`, "image/png"}, {"text/html;q=0.5;ext=1, image/png;q=0.6", "image/png"}, {"/, image/png", "image/png"},
		{"text/htm*, image/png", "image/png"}, {"text/", "application/json"}, {"text/(", "application/json"}, {"*/html", "application/json"}, {"text/html;q=.", "application/json"},
		{"text/html;q=0.2, text/html;q=0.9, image/png;q=0.5", "text/html"}, {"text/html;q=0.9, text/html;q=0.2, image/png;q=0.5", "text/html"},
		// A charset makes no other type of an offer that names none (RFC 8259 §11: JSON has no such
		// parameter), and no better one.
		{"application/json; charset=utf-8", "application/json"}, {"application/json;charset=UTF-8", "application/json"}, {`application/json;charset="latin1"`, "application/json"},
		{"application/json;charset=utf-8;q=0.5, application/json;q=0.1, image/png;q=0.3", "application/json"}, {"application/json;charset=utf-8;v=1, image/png;q=0.1", "image/png"},
		{"application/json;charset=utf-8;q=0", ""}, {"text/plain;charset=latin1", ""},
		{"tex/*, image/png", "image/png"}, {"text/html/x, image/png", "image/png"},
	} {
		if got := withFields("GET", "Accept:"+x.accept).Accepts(offers...); got != x.want {
			t.Errorf("%q: %q, want %q", x.accept, got, x.want)
		}
	}
	if got := withFields("GET").Accepts(offers...); got != offers[0] {
		t.Errorf("without the field: %q", got)
	}
	if got := withFields("GET", "Accept: text/html;q=0.1", "Accept: image/png;q=0.2").Accepts(offers...); got != "image/png" {
		t.Errorf("two fields: %q", got)
	}
	if got := withFields("GET", "Accept: a/b").Accepts(); got != "" {
		t.Errorf("no offers: %q", got)
	}
}

func TestAcceptsEncoding(t *testing.T) {
	for _, x := range []struct{ accept, want string }{
		{"gzip", "gzip"}, {"GZIP", "gzip"}, {"gzip, br", "br"}, {"gzip;q=1, br;q=0.5", "gzip"}, {"gzip, deflate, br, zstd", "br"}, {"deflate", "identity"},
		// RFC 9110 12.5.3: an empty field wants no coding.
		{"", "identity"},
		// "identity" is acceptable unless excluded by "identity;q=0", or by "*;q=0" without being
		// named.
		{"identity;q=0", ""}, {"*;q=0", ""}, {"*;q=0, identity;q=0.1", "identity"}, {"gzip;q=0.1, *;q=0", "gzip"}, {"identity;q=0, gzip;q=0.001", "gzip"},
		// A coding that is named is acceptable unless its q is 0; "*" stands for those that are not
		// named.
		{"gzip;q=0", "identity"}, {"*", "br"}, {"br;q=0, *", "gzip"}, {"br;q=0, *;q=0.2", "gzip"}, {"gzip;q=0.5, *;q=0.1", "gzip"}, {"br;q=0, gzip;q=0, *;q=0.2", "identity"},
		{"gzip;q=0.001", "gzip"}, {"identity;q=0.5, gzip;q=0.4", "identity"}, {"identity, gzip", "gzip"}, {"identity;q=0.5, *;q=0.4", "identity"},
		// RFC 9110 8.4.1.3: x-gzip is gzip.
		{"x-gzip", "gzip"}, {"gzip;q=2, br;q=0.5", "br"}, {"gzip;q=0.8;x=1, br;q=0.5", "gzip"}, {"gz, br x", "identity"}, {",,gzip", "gzip"},
	} {
		if got := withFields("GET", "Accept-Encoding:"+x.accept).AcceptsEncoding("br", "gzip"); got != x.want {
			t.Errorf("%q: %q, want %q", x.accept, got, x.want)
		}
	}
	if got := withFields("GET").AcceptsEncoding("br", "gzip"); got != "identity" {
		t.Errorf("without the field: %q", got)
	}
	if got := withFields("GET", "Accept-Encoding: *").AcceptsEncoding("identity", "gzip"); got != "identity" {
		t.Errorf("identity offered first: %q", got)
	}
	if got := withFields("GET", "Accept-Encoding: br;q=0.2", "Accept-Encoding: gzip;q=0.3").AcceptsEncoding("br", "gzip"); got != "gzip" {
		t.Errorf("two fields: %q", got)
	}
}

func TestNegotiationAllocatesNothing(t *testing.T) {
	r := withFields("GET", "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Encoding: gzip, deflate, br")
	if n := testing.AllocsPerRun(100, func() {
		if r.Accepts("application/json", "text/html") != "text/html" || r.AcceptsEncoding("gzip") != "gzip" {
			t.Fatal("wrong")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
