package http

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"strings"
	"testing"
)

const formData = "multipart/form-data; boundary=b"

// lines makes a body: "\n" stands for CR LF, "␊" for LF alone, "␍" for CR alone.
func lines(s string) string {
	return strings.NewReplacer("\n", "\r\n", "␊", "\n", "␍", "\r").Replace(s)
}

// part is the text of a part with that header, after a delimiter line of the boundary "b".
func partText(header, data string) string { return "--b\n" + header + "\n\n" + data + "\n" }

const named = `Content-Disposition: form-data; name="n"`

// readParts gives the pieces to a reader, and returns the events as text: a line for each part and
// each error. The pieces of the data of one part are put together.
func readParts(t *testing.T, limits MultipartLimits, pieces ...string) string {
	t.Helper()
	r, err := NewMultipartReader([]byte(formData), limits)
	if err != nil {
		t.Fatal(err)
	}
	var out, data strings.Builder
	for _, p := range pieces {
		// A buffer of its own, overwritten afterwards: the reader must not keep what it was given.
		b := []byte(p)
		for rest := b; ; {
			ev, n, err := r.Next(rest)
			rest = rest[n:]
			switch ev.Kind {
			case PartBegin:
				fmt.Fprintf(&out, "%s (", describePart(ev.Part))
				data.Reset()
			case PartData:
				if len(ev.Data) == 0 {
					t.Fatal("empty piece")
				}
				data.Write(ev.Data)
			case PartEnd:
				fmt.Fprintf(&out, "%q)\n", data.String())
			}
			if err != nil {
				fmt.Fprintf(&out, "%v\n", err)
				if _, n, again := r.Next([]byte("x")); n != 0 || again != err || r.End() != err {
					t.Fatalf("an error does not stay: %d %v", n, again)
				}
				return out.String()
			}
			if ev.Kind == PartNone {
				if len(rest) > 0 {
					t.Fatalf("PartNone with %q left", rest)
				}
				break
			}
		}
		for i := range b {
			b[i] = '?'
		}
	}
	if err := r.End(); err != nil {
		fmt.Fprintf(&out, "%v\n", err)
	}
	return out.String()
}

func describePart(p *Part) string {
	s := fmt.Sprintf("%q", p.Name)
	if p.IsFile {
		s += fmt.Sprintf(" file %q", p.Filename)
	}
	if p.ContentType != nil {
		s += fmt.Sprintf(" %s", p.ContentType)
	}
	return s
}

// wholeParts reads the body with the iterator, and returns the same text as readParts for bodies
// without an error.
func wholeParts(limits MultipartLimits, body string) string {
	var out strings.Builder
	m := &Message{Request: *withFields("POST", "Content-Type: "+formData), Body: []byte(body)}
	for p, err := range m.Multipart(limits) {
		if err != nil {
			fmt.Fprintf(&out, "%v\n", err)
			continue
		}
		fmt.Fprintf(&out, "%s (%q)\n", describePart(p), p.Body)
	}
	return out.String()
}

// checkMultipart wants the same events of a body however it is split.
func checkMultipart(t *testing.T, limits MultipartLimits, body, want string) {
	t.Helper()
	if got := readParts(t, limits, body); got != want {
		t.Errorf("%q:\n%swant:\n%s", body, got, want)
		return
	}
	for i := range len(body) {
		if got := readParts(t, limits, body[:i], body[i:]); got != want {
			t.Errorf("%q split at %d:\n%swant:\n%s", body, i, got, want)
			return
		}
	}
	if got := readParts(t, limits, strings.Split(body, "")...); got != want {
		t.Errorf("%q byte by byte:\n%swant:\n%s", body, got, want)
	}
	// The iterator yields whole parts only.
	open := strings.LastIndex(want, " (http: ")
	if open >= 0 {
		want = want[:strings.LastIndexByte(want[:open], '\n')+1] + want[open+2:]
	}
	if got := wholeParts(limits, body); got != want {
		t.Errorf("%q as a whole:\n%swant:\n%s", body, got, want)
	}
}

func TestMultipart(t *testing.T) {
	for _, x := range []struct{ body, want string }{
		{partText(named, "v") + "--b--\n", "\"n\" (\"v\")\n"},
		{partText(named, "1") + partText(`content-disposition:FORM-DATA;name=m;filename=x.txt`+"\nContent-Type: text/plain", "2\n3\n") + "--b--",
			"\"n\" (\"1\")\n\"m\" file \"x.txt\" text/plain (\"2\\r\\n3\\r\\n\")\n"},
		// RFC 2046 5.1.1: the line end before a delimiter belongs to the delimiter.
		{partText(named, "") + "--b--\n", "\"n\" (\"\")\n"}, {partText(named, "\n") + "--b--\n", "\"n\" (\"\\r\\n\")\n"},
		{"--b\n" + named + "\n\n--b--", "\"n\" (\"\")\n"}, {"--b\n" + named + "\n\n--b\n" + named + "\n\n--b--", "\"n\" (\"\")\n\"n\" (\"\")\n"},
		// Bytes that only look like a delimiter are data.
		{partText(named, "\n--\n-b\n--a\n--B␍␍␊␊--b --b-- x--b") + "--b--", "\"n\" (\"\\r\\n--\\r\\n-b\\r\\n--a\\r\\n--B\\r\\r\\n\\n--b --b-- x--b\")\n"},
		{partText(named, "-") + "--b--", "\"n\" (\"-\")\n"}, {partText(named, "--") + "--b--", "\"n\" (\"--\")\n"}, {partText(named, "-b") + "--b--", "\"n\" (\"-b\")\n"},
		{partText(named, "␍") + "--b--", "\"n\" (\"\\r\")\n"}, {partText(named, "␍␍\n-") + "--b--", "\"n\" (\"\\r\\r\\r\\n-\")\n"}, {partText(named, "\n␍\n--") + "--b--", "\"n\" (\"\\r\\n\\r\\r\\n--\")\n"},
		{partText(named, "\x00\xff\x80") + "--b--", "\"n\" (\"\\x00\\xff\\x80\")\n"},
		// RFC 2046 5.1.1: transport padding, preamble and epilogue
		{"--b \t\n" + named + "\n\nv\n--b \t \n" + named + "\n\nw\n--b-- \t\nrest\n--b\n", "\"n\" (\"v\")\n\"n\" (\"w\")\n"},
		{"\n" + partText(named, "v") + "--b--", "\"n\" (\"v\")\n"}, {"hello\n--\nx--b\n" + partText(named, "v") + "--b--", "\"n\" (\"v\")\n"},
		// Browsers send an empty form so.
		{"--b--\n", ""}, {"--b--", ""}, {"\n--b--", ""},
	} {
		checkMultipart(t, MultipartLimits{}, lines(x.body), x.want)
	}
}

func TestMultipartErrors(t *testing.T) {
	good := partText(named, "v")
	header := func(s string) string { return partText(s, "v") + "--b--" }
	const ends = "the body ends before the closing delimiter"
	for _, x := range []struct{ body, want string }{
		{"", "http: form: " + ends}, {"x", "http: form: " + ends}, {"--", "http: form: " + ends}, {"--b", "http: form: " + ends}, {"--b-", "http: form: " + ends},
		{"--b\n", "http: form: part 1: " + ends}, {"--b\n" + named, "http: form: part 1: " + ends}, {"--b\n" + named + "\n", "http: form: part 1: " + ends},
		{"--b\n" + named + "\n\n", "\"n\" (http: form: part 1: " + ends}, {"--b\n" + named + "\n\nv\n--", "\"n\" (http: form: part 1: " + ends},
		{good, "\"n\" (http: form: part 1: " + ends}, {good + "--b", "\"n\" (http: form: part 1: " + ends}, {good + "--b\n", "\"n\" (\"v\")\nhttp: form: part 2: " + ends},
		{partText(named, "--b") + "--b--", "\"n\" (\"\")\nhttp: form: part 2: " + ends},
		{good + "--b--␍", "\"n\" (\"v\")\nhttp: form: " + ends},
		// RFC 2046 5.1.1: the boundary must not be in the data, and nothing else may be on its
		// line.
		{good + "--bc\n", "\"n\" (http: form: part 1: malformed delimiter line, or the boundary is in the data"},
		{good + "--b-\n", "\"n\" (http: form: part 1: malformed delimiter line, or the boundary is in the data"},
		{good + "--b -\n", "\"n\" (http: form: part 1: malformed delimiter line, or the boundary is in the data"},
		{good + "--b␊", "\"n\" (http: form: part 1: malformed delimiter line, or the boundary is in the data"},
		{good + "--b␍x", "\"n\" (http: form: part 1: malformed delimiter line, or the boundary is in the data"},
		{good + "--b--x", "\"n\" (\"v\")\nhttp: form: malformed delimiter line, or the boundary is in the data"},
		{good + "--b--␊", "\"n\" (\"v\")\nhttp: form: malformed delimiter line, or the boundary is in the data"},
		{"--bb\n", "http: form: malformed delimiter line, or the boundary is in the data"},
		{"--b\n" + named + "\n\n--bb\n", "\"n\" (http: form: part 1: malformed delimiter line, or the boundary is in the data"},
		{"␊--b--", "http: form: LF without CR before the first part"}, {"x␊--b--", "http: form: LF without CR before the first part"},
		// Headers
		{"--b\n\nv\n--b--", "http: form: part 1: no Content-Disposition"},
		{header("X: y"), "http: form: part 1: no Content-Disposition"},
		{good + header("X: y"), "\"n\" (\"v\")\nhttp: form: part 2: no Content-Disposition"},
		{header(named + "\n" + named), "http: form: part 1: more than one Content-Disposition"},
		{header(named + "\nContent-Type: a/b\ncontent-type: a/b"), "http: form: part 1: more than one Content-Type"},
		{header(named + "\nContent-Transfer-Encoding: base64"), "http: form: part 1: unknown Content-Transfer-Encoding"},
		{header(named + "\nContent-Transfer-Encoding: 8bit\nContent-Transfer-Encoding: 8bit"), "http: form: part 1: unknown Content-Transfer-Encoding"},
		{header(named + "\nContent-Transfer-Encoding: 8Bit"), "\"n\" (\"v\")"},
		{header(named + "␊X: y"), "http: form: part 1: LF without CR in the header"}, {header(named + "\n␊X: y"), "http: form: part 1: LF without CR in the header"},
		{header(named + "\nX: a␍b"), "http: form: part 1: control character in a field value"}, {header(named + "\nX: a\x00b"), "http: form: part 1: control character in a field value"},
		{header(named + "\nX: a␍"), "http: form: part 1: control character in a field value"}, {header(named + "\nX: é\t"), "\"n\" (\"v\")"},
		{header(named + ";\n x=y"), "http: form: part 1: folded header line"}, {header(" " + named), "http: form: part 1: folded header line"},
		{header(named + "\nX : y"), "http: form: part 1: field name is not a token followed by a colon"}, {header(named + "\n: y"), "http: form: part 1: field name is not a token followed by a colon"},
		{header(named + "\nX"), "http: form: part 1: field name is not a token followed by a colon"},
	} {
		checkMultipart(t, MultipartLimits{}, lines(x.body), x.want+"\n")
	}
}

func TestContentDisposition(t *testing.T) {
	for _, x := range []struct{ value, want string }{
		// RFC 7578 4.2
		{`form-data; name=n`, `"n"`}, {`form-data;name="a b"`, `"a b"`}, {`form-data; name=""`, `""`}, {`form-data ; name=n ; ; x=y;`, `"n"`},
		{`form-data; NAME=n`, `"n"`}, {`form-data; name="ö"`, `"ö"`}, {`form-data; name="a;b=c"`, `"a;b=c"`}, {`form-data; name="a%22b"`, `"a%22b"`},
		{`form-data; name="a\""`, `"a\""`}, {`form-data; name="a\"b\\c\d"`, `"a\"b\\c\\d"`},
		{`form-data`, "no name"}, {`form-data; filename=x`, "no name"}, {`attachment; name=n`, "Content-Disposition is not form-data"}, {``, "Content-Disposition is not form-data"},
		{`form-data name=n`, "Content-Disposition is not form-data"}, {`form-data; name`, "malformed Content-Disposition"}, {`form-data; name=`, "malformed Content-Disposition"},
		{`form-data; name="n`, "malformed Content-Disposition"}, {`form-data; name="n\"`, "malformed Content-Disposition"}, {`form-data; name=a b`, "malformed Content-Disposition"},
		{`form-data; name ="n"`, "malformed Content-Disposition"}, {`form-data; name="n"x`, "malformed Content-Disposition"}, {`form-data; name=ö`, "malformed Content-Disposition"},
		{`form-data; name=n; name=n`, "parameter twice in Content-Disposition"}, {`form-data; name=n; filename=a; filename=b`, "parameter twice in Content-Disposition"},
		{`form-data; name=n; filename*=UTF-8''a; filename*=UTF-8''a`, "parameter twice in Content-Disposition"},
		{`form-data; name=n; name*=UTF-8''m`, "encoded or continued parameter in Content-Disposition"}, {`form-data; name=n; filename*0=a`, "encoded or continued parameter in Content-Disposition"},
		// File names: the last element only
		{`form-data; name=n; filename=a.txt`, `"n" file "a.txt"`}, {`form-data; name=n; filename=""`, `"n" file ""`}, {`form-data; name=n; FileName="a b"`, `"n" file "a b"`},
		{`form-data; name=n; filename="/etc/passwd"`, `"n" file "passwd"`}, {`form-data; name=n; filename="C:\dir\a.txt"`, `"n" file "a.txt"`},
		{`form-data; name=n; filename="..\\..\\x"`, `"n" file "x"`}, {`form-data; name=n; filename="../a/"`, `"n" file ""`}, {`form-data; name=n; filename=".."`, `"n" file ""`},
		{`form-data; name=n; filename="."`, `"n" file ""`}, {`form-data; name=n; filename="a/.."`, `"n" file ""`}, {`form-data; name=n; filename="..."`, `"n" file "..."`},
		{`form-data; name=n; filename="a` + "\t" + `b"`, `"n" file "ab"`}, {`form-data; name=n; filename=".` + "\t" + `."`, `"n" file ""`}, {`form-data; name=n; filename="a` + "\xff" + `"`, `"n" file "a�"`},
		{"form-data; name=n; filename=\"\u0080\u009fa\u00a0\u200d\u200e\u200f\u2010\u2027\u2029\u202a\u202f\u2065\u2066\u2069\u206a\"", "\"n\" file \"a\\u00a0\\u200d\u2010\u2027\\u202f\\u2065\\u206a\""},
		{"form-data; name=n; filename=\"a\u0085\u202e\u2028b\"", `"n" file "ab"`}, {`form-data; name=n; filename="日本.txt"`, `"n" file "日本.txt"`},
		// RFC 8187 3.2: filename*, which goes before filename (RFC 6266 4.3), whatever the order
		{`form-data; name=n; filename*=UTF-8''%e2%82%ac%20rates`, `"n" file "€ rates"`}, {`form-data; name=n; filename*=utf-8'en'a!b`, `"n" file "a!b"`},
		{`form-data; name=n; filename*=iso-8859-1''%A3`, `"n" file "£"`}, {`form-data; name=n; filename=a; filename*=UTF-8''b`, `"n" file "b"`}, {`form-data; name=n; filename*=UTF-8''b; filename=a`, `"n" file "b"`},
		{`form-data; name=n; filename*=UTF-8''..%2F..%2Fx`, `"n" file "x"`}, {`form-data; name=n; filename*=UTF-8''%2E%2E`, `"n" file ""`}, {`form-data; name=n; filename*=UTF-8''a%00%0D%0A%1F%7Fb`, `"n" file "ab"`},
		{`form-data; name=n; filename*=UTF-8''a%`, "malformed filename*"}, {`form-data; name=n; filename*=UTF-8''%4g`, "malformed filename*"}, {`form-data; name=n; filename*=UTF-8''%ff`, "malformed filename*"},
		{`form-data; name=n; filename*=UTF-8'a`, "malformed filename*"}, {`form-data; name=n; filename*=a`, "malformed filename*"}, {`form-data; name=n; filename*="UTF-8''a"`, "malformed filename*"},
		{`form-data; name=n; filename*=koi8-r''a`, "malformed filename*"}, {`form-data; name=n; filename*=UTF-8''a'b`, "malformed filename*"}, {`form-data; name=n; filename*=UTF-8''a*b`, "malformed filename*"},
	} {
		want := x.want + " (\"v\")\n"
		if x.want[0] != '"' {
			want = "http: form: part 1: " + x.want + "\n"
		}
		checkMultipart(t, MultipartLimits{}, lines(partText("Content-Disposition:"+x.value, "v")+"--b--"), want)
	}
}

func TestMultipartLimits(t *testing.T) {
	limits := MultipartLimits{Parts: 2, Header: len(named) + 4, Size: 5}
	part := partText(named, "12345")
	for _, x := range []struct{ body, want string }{
		{part + part + "--b--", "\"n\" (\"12345\")\n\"n\" (\"12345\")\n"},
		{part + part + part + "--b--", "\"n\" (\"12345\")\n\"n\" (\"12345\")\nhttp: form: part 3: too many parts\n"},
		{partText(named, "123456") + "--b--", "\"n\" (http: form: part 1: data too long\n"},
		{partText(named, "1\n\n\n") + "--b--", "\"n\" (http: form: part 1: data too long\n"},
		{partText(named, "\n\n-") + "--b--", "\"n\" (\"\\r\\n\\r\\n-\")\n"}, {partText(named, "\n\n--") + "--b--", "\"n\" (http: form: part 1: data too long\n"},
		{partText(named+"x", "1") + "--b--", "http: form: part 1: header too long\n"}, {partText(named+"\n", "1") + "--b--", "\"n\" (\"\\r\\n1\")\n"},
		{partText("X:"+strings.Repeat(" ", 100), "1") + "--b--", "http: form: part 1: header too long\n"},
		{strings.Repeat("x", limits.Header+1) + "\n--b--", "http: form: too much before the first part\n"}, {strings.Repeat("x", limits.Header) + "\n--b--", ""},
		{strings.Repeat("x", limits.Header) + "x␊--b--", "http: form: too much before the first part\n"},
		{strings.Repeat("--", limits.Header) + "x", "http: form: too much before the first part\n"},
	} {
		checkMultipart(t, limits, lines(x.body), x.want)
	}
	checkMultipart(t, MultipartLimits{Size: -1}, lines(part+"--b--"), "\"n\" (\"12345\")\n")
}

// Over a limit is 413, malformed is 400.
func TestFormErrorStatus(t *testing.T) {
	for body, status := range map[string]int{partText(named, "123456"): 413, "--bb": 400, "": 400, partText(named+"\nX:"+strings.Repeat("y", 5000), ""): 413} {
		m := &Message{Request: *withFields("POST", "Content-Type: "+formData), Body: []byte(lines(body))}
		var e *FormError
		for _, err := range m.Multipart(MultipartLimits{Size: 5}) {
			if err != nil && !errors.As(err, &e) {
				t.Fatal(err)
			}
		}
		if e == nil || e.Status != status {
			t.Errorf("%.50q: %v", body, e)
		}
	}
}

func TestBoundary(t *testing.T) {
	// RFC 2046 5.1.1 gives senders 70 characters out of a small set. Boundaries in use
	// break both rules.
	seventy := strings.Repeat("0123456789", 7)
	most := strings.Repeat("x", 256)
	for _, x := range []struct {
		contentType, want string
		status            int
	}{
		{"multipart/form-data; boundary=b", "b", 0}, {"Multipart/Form-Data;charset=x;Boundary=\"b c\";", "b c", 0}, {" multipart/form-data; boundary=" + seventy + " ", seventy, 0},
		{`multipart/form-data; boundary="'()+_,-./:=?x"`, `'()+_,-./:=?x`, 0}, {"multipart/form-data; boundary=" + seventy + "x", seventy + "x", 0},
		{"multipart/form-data;boundary=*****", "*****", 0}, {`multipart/form-data;boundary="*****"`, "*****", 0}, {"multipart/form-data; boundary=$b$", "$b$", 0},
		{`multipart/form-data; boundary="{d6b7}"`, "{d6b7}", 0}, {"multipart/form-data; boundary={d6b7}; charset=utf-8", "{d6b7}", 0}, {"multipart/form-data; boundary=a#b*c!d", "a#b*c!d", 0},
		{"multipart/form-data; boundary=----=_Part_1_2.3", "----=_Part_1_2.3", 0}, {"multipart/form-data; boundary=a/b:c ;x=y", "a/b:c", 0}, {"multipart/form-data; boundary=" + most, most, 0},
		{"multipart/form-data; boundary=" + most + "x", "malformed boundary", 400}, {"multipart/form-data; boundary=\xc3\xa9", "malformed boundary", 400},
		{`multipart/form-data; boundary=a"b`, "malformed Content-Type", 400}, {`multipart/form-data; boundary=a\b`, "malformed boundary", 400},
		{"multipart/form-data; boundary=a,b", "malformed Content-Type", 400}, {"multipart/form-data; boundary=a b", "malformed Content-Type", 400},
		{`multipart/form-data; boundary="b "`, "malformed boundary", 400}, {`multipart/form-data; boundary=""`, "malformed boundary", 400}, {`multipart/form-data; boundary="a\b"`, "malformed boundary", 400},
		{"multipart/form-data; boundary=", "malformed Content-Type", 400},
		{`multipart/form-data; boundary="b`, "malformed Content-Type", 400}, {"multipart/form-data", "no boundary", 400}, {"multipart/form-data; x=y", "no boundary", 400},
		{"multipart/form-data; boundary=a; boundary=a", "more than one boundary", 400}, {"multipart/mixed; boundary=a", "not multipart/form-data", 415}, {"", "not multipart/form-data", 415},
		{"multipart/form-data, boundary=a", "not multipart/form-data", 415},
	} {
		r, err := NewMultipartReader([]byte(x.contentType), MultipartLimits{})
		var e *FormError
		switch {
		case x.status != 0:
			if !errors.As(err, &e) || e.Status != x.status || e.What != x.want {
				t.Errorf("%q: %v", x.contentType, err)
			}
		case err != nil || string(r.delim) != "\r\n--"+x.want:
			t.Errorf("%q: %v", x.contentType, err)
		}
	}
	r := withFields("POST", "Content-Type: "+formData, "Content-Type: "+formData)
	if _, err := r.MultipartReader(MultipartLimits{}); err == nil || err.Error() != "http: form: more than one Content-Type" {
		t.Error(err)
	}
	if _, err := withFields("POST").MultipartReader(MultipartLimits{}); err == nil {
		t.Error("no Content-Type")
	}
}

// A body is read the same under every boundary, also one that begins or ends as its delimiter does.
func TestMultipartUnderAnyBoundary(t *testing.T) {
	for _, b := range []string{"*****", "$b$", "{d6b7}", "-", "--", "---", "a--", "\x21", strings.Repeat("0123456789", 8), "a b"} {
		r, err := NewMultipartReader([]byte(`multipart/form-data; boundary="`+b+`"`), MultipartLimits{})
		if err != nil {
			t.Errorf("%q: %v", b, err)
			continue
		}
		var got []string
		body := strings.ReplaceAll(lines(partText(named, "v")+partText(named, "")+"--b--\n"), "--b", "--"+b)
		r.whole([]byte(body), func(p *Part, err error) bool {
			got = append(got, fmt.Sprintf("%s %q %v", p.Name, p.Body, err))
			return err == nil
		})
		if s := fmt.Sprint(got); s != `[n "v" <nil> n "" <nil>]` {
			t.Errorf("%q: %s", b, s)
		}
	}
}

func TestMultipartBodiesAreNotCopied(t *testing.T) {
	body := []byte(lines(partText(named, "--xy\n--") + partText(named, "w") + "--b--"))
	m := &Message{Request: *withFields("POST", "Content-Type: "+formData), Body: body}
	n := 0
	for p, err := range m.Multipart(MultipartLimits{}) {
		if err != nil {
			t.Fatal(err)
		}
		i := bytes.Index(m.Body, p.Body)
		if &p.Body[0] != &m.Body[i] {
			t.Error("copied")
		}
		n++
	}
	if n != 2 {
		t.Error(n, "parts")
	}
	for range m.Multipart(MultipartLimits{}) {
		break
	}
}

func TestPartHeader(t *testing.T) {
	m := &Message{Request: *withFields("POST", "Content-Type: "+formData), Body: []byte(lines(partText(named+"\nX-A:  1 \nx-a: 2", "v") + "--b--"))}
	for p, err := range m.Multipart(MultipartLimits{}) {
		if err != nil || string(p.Header("x-A")) != "1" || p.Header("y") != nil || len(p.Headers()) != 3 {
			t.Errorf("%v %s", err, fieldText(p.Headers()))
		}
	}
}

// However large a file is, and however it comes, the reader holds no more than a header.
func TestMultipartReaderHoldsNoData(t *testing.T) {
	r, err := NewMultipartReader([]byte(formData), MultipartLimits{Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	feed := func(b []byte) (data int) {
		for {
			ev, n, err := r.Next(b)
			if b = b[n:]; err != nil {
				t.Fatal(err)
			}
			data += len(ev.Data)
			if ev.Kind == PartNone {
				return data
			}
		}
	}
	feed([]byte(lines("--b\n" + named + "\n\n")))
	for _, chunk := range []string{strings.Repeat("\r\n--", 1000), strings.Repeat("\r", 4000), strings.Repeat("x", 4000), "\r\n-"} {
		b := []byte(chunk)
		if n := testing.AllocsPerRun(100, func() { feed(b) }); n != 0 {
			t.Errorf("%.10q: %v allocations", chunk, n)
		}
	}
	if cap(r.head) > 4<<10 {
		t.Error(cap(r.head))
	}
}

// We read what mime/multipart has written.
func TestMultipartReadsWhatTheStandardLibraryWrites(t *testing.T) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	w.WriteField(`a"b`, "1")
	f, _ := w.CreateFormFile("file", "x y.bin")
	io.WriteString(f, "\r\n--\r\n")
	w.Close()
	m := &Message{Request: *withFields("POST", "Content-Type: "+w.FormDataContentType()), Body: body.Bytes()}
	var got strings.Builder
	for p, err := range m.Multipart(MultipartLimits{}) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "%s %q\n", describePart(p), p.Body)
	}
	if got.String() != "\"a\\\"b\" \"1\"\n\"file\" file \"x y.bin\" application/octet-stream \"\\r\\n--\\r\\n\"\n" {
		t.Error(got.String())
	}
}

func BenchmarkMultipartData(b *testing.B) {
	r, _ := NewMultipartReader([]byte("multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW"), MultipartLimits{Size: -1})
	head := []byte("------WebKitFormBoundary7MA4YWxkTrZu0gW\r\n" + named + "\r\n\r\n")
	data := make([]byte, 64<<10)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	r.Next(head)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		for rest := data; len(rest) > 0; {
			_, n, err := r.Next(rest)
			if err != nil {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
	}
}
