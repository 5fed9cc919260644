package http

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

// formRig saves the forms of one connection into a directory.
type formRig struct {
	*testConn
	dir   string
	opts  FormOptions
	began error
	form  *SavedForm
	err   error
	dones int
}

func newFormRig(t *testing.T, o FormOptions) *formRig {
	r := &formRig{dir: t.TempDir(), opts: o}
	if o.Path == nil {
		r.opts.Path = func(p *Part) (string, error) {
			if p.Filename == "" {
				return "", nil
			}
			return filepath.Join(r.dir, p.Filename), nil
		}
	}
	r.opts.Done = func(c *conn.Conn, f *SavedForm, err error) {
		r.form, r.err = f, err
		if r.dones++; err == nil {
			Reply(c, 201, "", "")
		}
	}
	r.testConn = newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *Head:
			r.dones = 0
			var bad *FormError
			if r.began = SaveForm(c, ev, r.opts); errors.As(r.began, &bad) {
				Error(c, bad.Status)
			} else if r.began != nil {
				Error(c, 500)
			}
		case *Message, *Chunk:
			t.Errorf("%T although the form is saved", ev)
		}
	})
	return r
}

// files returns the names and contents of what is in the directory.
func (r *formRig) files() string {
	var b strings.Builder
	entries, _ := os.ReadDir(r.dir)
	for _, e := range entries {
		text, _ := os.ReadFile(filepath.Join(r.dir, e.Name()))
		fmt.Fprintf(&b, "%s=%s ", e.Name(), text)
	}
	return b.String()
}

func filePart(name, data string) string {
	return partText(named+`; filename="`+name+"\"\nContent-Type: a/b", data)
}

func formRequest(body string) string {
	body = lines(body)
	return post + "Content-Type: " + formData + fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n", len(body)) + body
}

func TestSaveForm(t *testing.T) {
	body := partText(`Content-Disposition: form-data; name="version"`, "7") + filePart("a.bin", "\n--\n-b first") + filePart("", "") + filePart("b.bin", "") +
		partText(`Content-Disposition: form-data; name="note"`, "two\nlines") + "--b--\n"
	for _, pieces := range cuts(formRequest(body) + "GET / HTTP/1.1\r\n") {
		r := newFormRig(t, FormOptions{})
		r.send(pieces...)
		r.wantStatus(201)
		if got := r.files(); got != "a.bin=\r\n--\r\n-b first b.bin= " {
			t.Fatal(got)
		}
		want := fmt.Sprintf(`&{[{version 7} {n } {note two%slines}] [{n a.bin a/b %[2]s/a.bin 14} {n b.bin a/b %[2]s/b.bin 0}]}`, "\r\n", r.dir)
		if got := fmt.Sprint(r.form); r.dones != 1 || r.err != nil || got != want {
			t.Fatalf("Done %d times, %v: %q, want %q", r.dones, r.err, got, want)
		}
		v, ok := r.form.Value("note")
		if _, none := r.form.Value("none"); v != "two\r\nlines" || !ok || none {
			t.Fatal(v, ok, none)
		}
	}
}

// The files get their names together, at the end, and a file of such a name stays until then.
func TestSaveFormNamesItsFilesAtTheEnd(t *testing.T) {
	r := newFormRig(t, FormOptions{Mode: 0o600})
	os.WriteFile(filepath.Join(r.dir, "a"), []byte("old"), 0o644)
	request := formRequest(filePart("a", "new") + filePart("b", "too") + "--b--")
	r.send(request[:len(request)-1])
	got := r.files()
	if !strings.Contains(got, "a=old ") || strings.Count(got, ".upload-") != 2 || strings.Contains(got, " b=") {
		t.Fatal(got)
	}
	r.send(request[len(request)-1:])
	r.wantStatus(201)
	if got := r.files(); got != "a=new b=too " {
		t.Fatal(got)
	}
	if info, err := os.Stat(filepath.Join(r.dir, "b")); err != nil || info.Mode() != 0o600 {
		t.Fatal(info, err)
	}
	r.send(formRequest("--b--"), getLine)
	r.wantStatus(201, 415)
	r.wantOpen()
}

// Whatever goes wrong, no file is left, Done is called once, and the client gets a reply.
func TestSaveFormFailures(t *testing.T) {
	first := filePart("a", "data")
	refused := errors.New("not this one")
	for name, tt := range map[string]struct {
		opts   FormOptions
		body   string
		status int
		err    string
	}{
		"malformed":         {FormOptions{}, first + "--bx\n", 400, "malformed delimiter line"},
		"no end":            {FormOptions{}, first, 400, "ends before the closing delimiter"},
		"part too long":     {FormOptions{Limits: MultipartLimits{Size: 4}}, first + filePart("b", "data."), 413, "part 2: data too long"},
		"too many parts":    {FormOptions{Limits: MultipartLimits{Parts: 1}}, first + first, 413, "too many parts"},
		"body too long":     {FormOptions{MaxSize: 20}, first + "--b--", 413, "body too long"},
		"values too long":   {FormOptions{MaxValues: 7}, first + partText(named, "1234") + partText(named, "5") + "--b--", 413, "part 3: the values are too long"},
		"names too long":    {FormOptions{MaxValues: 1}, first + filePart("b", "") + "--b--", 413, "part 2: the values are too long"},
		"refused by Check":  {FormOptions{Check: func(*SavedForm) error { return refused }}, first + "--b--", 422, "not this one"},
		"refused by Path":   {FormOptions{Path: func(p *Part) (string, error) { return "", refused }}, first + "--b--", 400, "not this one"},
		"two of one name":   {FormOptions{}, first + filePart("a", "") + "--b--", 400, "two parts of the form"},
		"a name too long":   {FormOptions{}, first + filePart(strings.Repeat("x", 256), "") + "--b--", 400, "no file can have this path"},
		"no such directory": {FormOptions{Path: func(p *Part) (string, error) { return "/none/none", nil }}, first + "--b--", 500, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			request := formRequest(tt.body)
			for _, pieces := range [][]string{{request}, strings.Split(request, "")} { // TestSaveForm cuts elsewhere
				r := newFormRig(t, tt.opts)
				r.send(pieces...)
				r.wantStatus(tt.status)
				if got := r.files(); got != "" || r.dones != 1 || r.err == nil || !strings.Contains(r.err.Error(), tt.err) {
					t.Fatalf("%s: Done %d times, %v; left %q", name, r.dones, r.err, got)
				}
			}
		})
	}
	t.Run("cut", func(t *testing.T) {
		request := formRequest(first + filePart("b", "data") + "--b--")
		for n := len(request) - 60; n < len(request); n++ {
			r := newFormRig(t, FormOptions{})
			r.send(request[:n])
			r.end()
			r.wantStatus(400)
			if got := r.files(); got != "" || r.dones != 1 || r.err == nil {
				t.Fatalf("cut at %d: Done %d times, %v; left %q", n, r.dones, r.err, got)
			}
		}
	})
	t.Run("answered by Path", func(t *testing.T) {
		r := newFormRig(t, FormOptions{})
		r.opts.Path = func(p *Part) (string, error) {
			Error(r.c, 403)
			return filepath.Join(r.dir, "a"), nil
		}
		whole := formRequest(first + "--b--")
		r.send(whole, whole[:len(whole)-7])
		r.wantStatus(403, 403)
		if got := r.files(); got != "" || r.dones != 1 || r.err == nil {
			t.Fatalf("Done %d times, %v; left %q", r.dones, r.err, got)
		}
	})
	t.Run("a name that is taken at the end", func(t *testing.T) {
		r := newFormRig(t, FormOptions{})
		r.opts.Check = func(*SavedForm) error { return os.Mkdir(filepath.Join(r.dir, "b"), 0o755) }
		r.send(formRequest(first + filePart("b", "") + filePart("c", "") + "--b--"))
		r.wantStatus(500)
		if got := r.files(); got != "a=data b= " || r.dones != 1 || r.err == nil {
			t.Fatalf("Done %d times, %v; left %q", r.dones, r.err, got)
		}
	})
}

func TestSaveFormInRoot(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	path := ""
	r := newFormRig(t, FormOptions{Root: root, Path: func(p *Part) (string, error) { return path, nil }})
	r.dir = dir
	for _, tt := range []struct {
		path   string
		status int
	}{{"a", 201}, {"../a", 400}, {"/a", 400}, {"..", 400}, {"a/b", 500}} {
		path = tt.path
		r.send(formRequest(filePart("x", "data") + "--b--"))
		r.wantStatus(tt.status)
	}
	if got := r.files(); got != "a=data " {
		t.Error(got)
	}
}

func TestSaveFormErrors(t *testing.T) {
	r := newFormRig(t, FormOptions{})
	if err := SaveForm(r.c, &Head{}, r.opts); err != ErrNoRequest {
		t.Error(err)
	}
	r.opts.Done = nil
	r.send(formRequest("--b--"))
	if r.began != errNoPath {
		t.Error(r.began)
	}
}
