package http

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	stdhttp "net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A form that net/http reads: values, bytes and a file, with names that have to be encoded.
func TestMultipartForm(t *testing.T) {
	content := strings.Repeat("0123456789", 20_000)
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var form MultipartForm
	form.AddValue("a", "1")
	form.AddValue("a b\r\nX: y\"", "")
	form.AddBytes("mem", "m.txt", "text/plain", []byte("memory"))
	form.AddFile("file", "f.bin", "", file)
	r := ClientRequest{}
	if err := r.SetForm(&form); err != nil {
		t.Fatal(err)
	}
	tc := newClientTest(t, ClientOptions{})
	tc.request(r)
	req, err := stdhttp.ReadRequest(bufio.NewReader(strings.NewReader(tc.Sent())))
	if err != nil {
		t.Fatal(err)
	}
	if err := req.ParseMultipartForm(1 << 20); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%q", req.MultipartForm.Value); got != `map["a":["1"] "a b%0D%0AX: y%22":[""]]` {
		t.Error(got)
	}
	for name, want := range map[string]string{"mem": "m.txt text/plain memory", "file": "f.bin  " + content} {
		h := req.MultipartForm.File[name][0]
		f, err := h.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(f)
		if got := h.Filename + " " + h.Header.Get("Content-Type") + " " + string(b); got != want {
			t.Errorf("%s: %.80q", name, got)
		}
	}
	var empty MultipartForm
	if err := r.SetForm(&empty); err != nil {
		t.Fatal(err)
	}
	var bad MultipartForm
	bad.AddBytes("x", "y", "a\r\nb", nil)
	if err := r.SetForm(&bad); !errors.Is(err, ErrBadRequest) {
		t.Errorf("%v", err)
	}
}
