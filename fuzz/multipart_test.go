package fuzz

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/http"
)

var multipartLimits = http.MultipartLimits{Parts: 5, Header: 300, Size: 100}

// formPart is a part, copied.
type formPart struct {
	name, filename string
	isFile         bool
	fields         []string
	data           string
	over           bool
}

// readForm gives the pieces to a reader.
func readForm(t *testing.T, pieces ...[]byte) (parts []formPart, err error) {
	r, err := http.NewMultipartReader([]byte("multipart/form-data; boundary=b"), multipartLimits)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range pieces {
		for {
			ev, n, err := r.Next(b)
			if b = b[n:]; err != nil {
				return parts, err
			}
			if ev.Kind == http.PartNone {
				break
			}
			switch last := len(parts) - 1; ev.Kind {
			case http.PartBegin:
				p := formPart{name: ev.Part.Name, filename: ev.Part.Filename, isFile: ev.Part.IsFile}
				for _, f := range ev.Part.Headers() {
					p.fields = append(p.fields, string(f.Name)+": "+string(f.Value))
				}
				parts = append(parts, p)
			case http.PartData:
				parts[last].data += string(ev.Data)
			case http.PartEnd:
				parts[last].over = true
			}
		}
		if len(b) > 0 {
			t.Fatalf("%q is not used up", b)
		}
	}
	return parts, r.End()
}

// FuzzMultipart: the same events however a body is split, and the same parts as mime/multipart
// reads, in every body that is accepted.
func FuzzMultipart(f *testing.F) {
	const head = "--b\r\nContent-Disposition: form-data; name=\"a\""
	for _, s := range []string{
		"", "--b--", "pre\r\n--b--\r\nepilogue", head + "\r\n\r\nv\r\n--b--\r\n", head + "; filename=\"C:\\x\\y.txt\"\r\nContent-Type: a/b\r\n\r\n\r\n--\r\n--b \t\r\n" + head[5:] + "\r\n\r\n--b--",
		head + "; filename*=UTF-8''%e2%82%ac\r\n\r\nv\r\n--b-\r\n--b--", head + "\r\n\r\nv\n--b\n\r\n--b--", "\n--b\r\n" + head + "\r\n\r\nv\r\n--b--", head + "\r\n\r\nv\r\n--bb\r\n\r\n--b--",
		head + "\r\nX: y\r\n z\r\n\r\nv\r\n--b--", "--b--\r\n" + head + "\r\n\r\nv\r\n--b--",
		head + "; name*=UTF-8''m\r\n\r\nv\r\n--b--",
	} {
		f.Add([]byte(s), uint16(len(s)/2))
	}
	f.Fuzz(func(t *testing.T, body []byte, at uint16) {
		if len(body) > 2000 {
			return
		}
		parts, err := readForm(t, body)
		whole := fmt.Sprintf("%+v %v", parts, err)
		i := min(int(at), len(body))
		if p, err := readForm(t, body[:i], body[i:]); fmt.Sprintf("%+v %v", p, err) != whole {
			t.Fatalf("%q split at %d: %+v %v\nwhole: %s", body, i, p, err, whole)
		}
		single := make([][]byte, len(body))
		for i := range body {
			single[i] = []byte{body[i]}
		}
		if p, err := readForm(t, single...); fmt.Sprintf("%+v %v", p, err) != whole {
			t.Fatalf("%q byte by byte: %+v %v\nwhole: %s", body, p, err, whole)
		}
		for _, p := range parts {
			if p.filename == "." || p.filename == ".." || strings.ContainsAny(p.filename, "/\\\x00\r\n") {
				t.Fatalf("%q: file name %q", body, p.filename)
			}
		}
		if err == nil {
			sameForm(t, body, parts)
		}
	})
}

// sameForm wants mime/multipart to read the same parts.
func sameForm(t *testing.T, body []byte, parts []formPart) {
	r := multipart.NewReader(bytes.NewReader(body), "b")
	for i, p := range parts {
		q, err := r.NextRawPart()
		if err != nil {
			t.Fatalf("%q: part %d: mime/multipart says %v", body, i+1, err)
		}
		data, err := io.ReadAll(q)
		if err != nil || string(data) != p.data || !p.over {
			t.Fatalf("%q: part %d has %q, mime/multipart says %q, %v", body, i+1, p.data, data, err)
		}
		n := 0
		for _, values := range q.Header {
			n += len(values)
		}
		if n != len(p.fields) {
			t.Fatalf("%q: part %d has the fields %q, mime/multipart says %q", body, i+1, p.fields, q.Header)
		}
		for _, f := range p.fields {
			name, value, _ := strings.Cut(f, ": ")
			if !strings.Contains(fmt.Sprint(q.Header.Values(name)), value) {
				t.Fatalf("%q: part %d has %q, mime/multipart says %q", body, i+1, f, q.Header)
			}
		}
		// A name that mime does not make out is empty. It takes more characters after a backslash
		// for escaped.
		if name := q.FormName(); name != "" && name != p.name && !bytes.ContainsRune(body, '\\') {
			t.Fatalf("%q: part %d is called %q, mime/multipart says %q", body, i+1, p.name, name)
		}
	}
	if _, err := r.NextRawPart(); err != io.EOF {
		t.Fatalf("%q: behind the last part mime/multipart says %v", body, err)
	}
}
