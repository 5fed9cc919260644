package http

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	stdhttp "net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// saveTo saves the body of each PUT and PATCH under its path in dir. begun and broken are told of
// each body that begins to come, and of each that breaks off.
func saveTo(t *testing.T, dir string, resume bool, begun, broken chan int64) func(*mgr.Manager) conn.Handler {
	return func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			head, ok := ev.(*Head)
			if !ok {
				return
			}
			told := begun == nil
			err := SaveBody(c, SaveOptions{Path: filepath.Join(dir, string(head.Path)), MaxSize: 8 << 20, Resume: resume,
				Progress: func(c *conn.Conn, size, _ int64) {
					if !told {
						told = true
						begun <- size
					}
				},
				Done: func(c *conn.Conn, size int64, err error) {
					switch {
					case err == nil:
						Reply(c, 201, "", "%d", size)
					case err != ErrIncomplete && broken != nil:
						broken <- size
					}
				}})
			if err != nil {
				t.Error(err)
			}
		}
	}
}

// The second of these commands sends the tail of a file. It must not replace the file.
func TestCurlSendsAPart(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip(err)
	}
	file := filepath.Join(t.TempDir(), "f")
	os.WriteFile(file, []byte("0123456789"), 0o644)
	for _, resume := range []bool{false, true} {
		dir := t.TempDir()
		underBoth(t, Options{}, saveTo(t, dir, resume, nil, nil), func(t *testing.T, m *mgr.Manager, addr string) {
			curl := func(args ...string) string {
				out, err := exec.Command("curl", append([]string{"-sS", "-o", "/dev/null", "-w", "%{http_code} %header{upload-offset}"}, args...)...).CombinedOutput()
				if err != nil {
					t.Fatal(err, string(out))
				}
				return string(out)
			}
			url := "http://" + addr + "/f"
			if got := curl("-T", file, url); got != "201 " {
				t.Fatal(got)
			}
			want := "400 "
			if resume {
				want = "409 0" // the file is complete
			}
			if got := curl("-C", "5", "-T", file, url); got != want {
				t.Errorf("a part: %s, want %s", got, want)
			}
			if text, _ := os.ReadFile(filepath.Join(dir, "f")); string(text) != "0123456789" {
				t.Errorf("the file is %q", text)
			}
			if !resume {
				return
			}
			// The rest of one that broke off.
			if got := curl("-T", "-", "-H", "Upload-Complete: ?0", "-H", "Transfer-Encoding:", "-H", "Content-Length: 0", url); got != "204 0" {
				t.Errorf("begun anew: %s", got)
			}
			c := dial(t, addr)
			io.WriteString(c, "PUT /f HTTP/1.1\r\nHost: h\r\nContent-Range: bytes 0-4/10\r\nContent-Length: 5\r\nConnection: close\r\n\r\n01234")
			if reply, _ := io.ReadAll(c); !bytes.Contains(reply, []byte(" 204 No Content")) {
				t.Fatalf("%q", reply)
			}
			if got := curl("-I", url); got != "200 5" {
				t.Errorf("HEAD: %s", got)
			}
			if got := curl("-C", "5", "-T", file, url); got != "201 " {
				t.Errorf("the rest: %s", got)
			}
			if text, _ := os.ReadFile(filepath.Join(dir, "f")); string(text) != "0123456789" {
				t.Errorf("the file is %q", text)
			}
		})
	}
}

// An upload that is reset again and again, each time after some more of it, comes whole in the end.
func TestNetResumedUpload(t *testing.T) {
	dir := t.TempDir()
	body := make([]byte, 2<<20)
	for i := range body {
		body[i] = byte(i * i >> 8)
	}
	begun, broken := make(chan int64, 1), make(chan int64, 1)
	underBoth(t, Options{}, saveTo(t, dir, true, begun, broken), func(t *testing.T, m *mgr.Manager, addr string) {
		url := "http://" + addr + "/image"
		os.Remove(filepath.Join(dir, "image"))
		offset := 0
		for tries := 1; offset < len(body); tries++ {
			c := dial(t, addr)
			fmt.Fprintf(c, "PATCH /image HTTP/1.1\r\nHost: h\r\nUpload-Offset: %d\r\nContent-Length: %d\r\n\r\n", offset, len(body)-offset)
			c.Write(body[offset:min(offset+600_000, len(body))])
			<-begun
			if offset+600_000 < len(body) {
				c.SetLinger(0)
				c.Close() // a reset, which may lose what the server has not read
				<-broken
			} else {
				var status int
				fmt.Fscanf(c, "HTTP/1.1 %d", &status)
				if status != 201 {
					t.Fatal("the last one:", status)
				}
				c.Close()
				break
			}
			resp, err := stdhttp.Head(url)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			switch resp.StatusCode {
			case 200:
				fmt.Sscan(resp.Header.Get("Upload-Offset"), &offset)
			case 404:
				offset = 0
			default:
				t.Fatal(resp.Status)
			}
			if tries > 1000 {
				t.Fatal("no progress")
			}
		}
		if got, err := os.ReadFile(filepath.Join(dir, "image")); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

// A form of 4 MiB, as net/http's client sends it, is saved without ever being in memory as a whole.
func TestNetSaveForm(t *testing.T) {
	dir := t.TempDir()
	data := bytes.Repeat([]byte("\r\n--0123456789ab"), 1<<18)
	h := func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			head, ok := ev.(*Head)
			if !ok {
				return
			}
			err := SaveForm(c, head, FormOptions{
				MaxSize: 8 << 20,
				Path: func(p *Part) (string, error) {
					if !p.IsFile {
						return "", nil
					}
					return filepath.Join(dir, p.Filename), nil
				},
				Done: func(c *conn.Conn, f *SavedForm, err error) {
					if err == nil {
						Reply(c, 200, "", "%v %d", f.Values, f.Files[0].Size)
					}
				}})
			if err != nil {
				t.Error(err)
			}
		}
	}
	underBoth(t, Options{}, h, func(t *testing.T, m *mgr.Manager, addr string) {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		w.WriteField("version", "7")
		f, _ := w.CreateFormFile("image", "image.bin")
		f.Write(data)
		w.Close()
		resp, err := stdhttp.Post("http://"+addr+"/", w.FormDataContentType(), &body)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := fmt.Sprintf("[{version 7}] %d", len(data)); resp.StatusCode != 200 || string(got) != want {
			t.Errorf("%s %q, want %q", resp.Status, got, want)
		}
		if saved, err := os.ReadFile(filepath.Join(dir, "image.bin")); err != nil || !bytes.Equal(saved, data) {
			t.Errorf("%d bytes, %v", len(saved), err)
		}
		if parts, _ := filepath.Glob(filepath.Join(dir, ".upload-*")); len(parts) > 0 {
			t.Errorf("left: %s", strings.Join(parts, " "))
		}
	})
}
