package http

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

// halver is a coding for tests: "half" of the body in brackets, and the pending half after each
// piece.
type halver struct{ open, full int }

func (h *halver) Coding() string { return "half" }
func (h *halver) Wants(contentType string, size int) bool {
	return contentType == "text/plain" && (size < 0 || size >= 10)
}
func (h *halver) Begin() Encoder {
	if h.open >= h.full {
		return nil
	}
	h.open++
	return &half{h: h}
}

type half struct {
	h     *halver
	began bool
}

func (e *half) Append(dst, p []byte, last bool) []byte {
	if !e.began {
		dst, e.began = append(dst, '<'), true
	}
	dst = append(dst, p[:len(p)/2]...)
	if last {
		dst = append(dst, '>')
		e.h.open--
	}
	return dst
}
func (e *half) Most(n int) int { return n + 2 }
func (e *half) Drop()          { e.h.open-- }

func TestCompressedReplies(t *testing.T) {
	body := strings.Repeat("x", 20)
	plain := "Content-Type: text/plain\nContent-Length: 20\n"
	vary := "Vary: Accept-Encoding\n"
	coded := "Content-Type: text/plain\nContent-Length: 12\nContent-Encoding: half\n" + vary
	for name, test := range map[string]struct {
		accept, contentType, body string
		status                    int
		fields                    []string // set by the handler
		want                      string
	}{
		"accepted":     {"half", "text/plain", body, 200, nil, coded + "\n<xxxxxxxxxx>"},
		"not accepted": {"gzip", "text/plain", body, 200, nil, plain + vary + "\n" + body},
		"q=0":          {"half;q=0", "text/plain", body, 200, nil, plain + vary + "\n" + body},
		"no field":     {"", "text/plain", body, 200, nil, plain + vary + "\n" + body},
		"small":        {"half", "text/plain", "x", 200, nil, "Content-Type: text/plain\nContent-Length: 1\n\nx"},
		"other type":   {"half", "image/png", body, 200, nil, "Content-Type: image/png\nContent-Length: 20\n\n" + body},
		"type set before": {"half", "", body, 200, []string{"Content-Type", "text/plain"},
			"Content-Length: 12\nContent-Encoding: half\n" + vary + "Content-Type: text/plain\n\n<xxxxxxxxxx>"},
		"coded already": {"half", "text/plain", body, 200, []string{"Content-Encoding", "br"},
			plain + "Content-Encoding: br\n\n" + body},
		// RFC 9111 5.2.2.6
		"no-transform": {"half", "text/plain", body, 200, []string{"Cache-Control", "public, No-Transform"},
			plain + "Cache-Control: public, No-Transform\n\n" + body},
		// RFC 9110 8.8.3.3
		"strong tag": {"half", "text/plain", body, 200, []string{"ETag", `"a"`, "X", "y"},
			coded + "ETag: W/\"a\"\nX: y\n\n<xxxxxxxxxx>"},
		"weak tag": {"half", "text/plain", body, 200, []string{"ETag", `W/"a"`},
			coded + "ETag: W/\"a\"\n\n<xxxxxxxxxx>"},
		"206":                   {"half", "text/plain", body, 206, nil, plain + "\n" + body},
		"204":                   {"half", "text/plain", "", 204, nil, "\n"},
		"304":                   {"half", "text/plain", "", 304, nil, vary + "\n"},
		"304 of another type":   {"half", "image/png", "", 304, nil, "\n"},
		"304 of no type":        {"half", "", "", 304, nil, vary + "\n"},
		"304 with a strong tag": {"half", "", "", 304, []string{"ETag", `"a"`}, vary + "ETag: \"a\"\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			h := &halver{full: 1}
			tc := newTest(t, Options{Compress: h}, func(c *conn.Conn, ev conn.Event) {
				if _, ok := ev.(*Message); ok {
					for i := 0; i+1 < len(test.fields); i += 2 {
						SetHeader(c, test.fields[i], test.fields[i+1])
					}
					ReplyBytes(c, test.status, test.contentType, []byte(test.body))
				}
			})
			ask := func(method string) {
				if test.accept == "" {
					tc.send(request(method, "/"))
				} else {
					tc.send(request(method, "/", "Accept-Encoding: "+test.accept))
				}
			}
			line := fmt.Sprintf("HTTP/1.1 %d %s\n", test.status, StatusText(test.status))
			ask("GET")
			tc.wantReply(line + test.want)
			ask("HEAD") // RFC 9110 9.3.2: the same head
			head, _, _ := strings.Cut("\n"+test.want, "\n\n")
			tc.wantReply(line + strings.TrimPrefix(head+"\n\n", "\n"))
			if h.open != 0 {
				t.Error(h.open, "encoders are open")
			}
		})
	}
}

// RFC 9110 15.4.5: a 304 has the Vary and the ETag of the 200.
func TestA304HasTheVaryAndTheETagOfThe200(t *testing.T) {
	v := Validators{ETag: `"abc"`}
	for _, size := range []int{20, 1} { // coded or too small for that
		tc := newTest(t, Options{Compress: &halver{full: 1}}, func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*Message); ok {
				SetHeader(c, "ETag", v.ETag)
				if status := v.Check(&m.Request).Status(); status != 200 {
					ReplyBytes(c, status, "", nil)
				} else {
					ReplyBytes(c, 200, "text/plain", []byte(strings.Repeat("x", size)))
				}
			}
		})
		for _, accept := range []string{"half", "identity"} {
			tc.send(request("GET", "/", "Accept-Encoding: "+accept))
			whole := tc.reply()
			for _, list := range []string{field(whole, "ETag"), `"x,W/", ` + field(whole, "ETag")} {
				tc.send(request("GET", "/", "Accept-Encoding: "+accept, "If-None-Match: "+list))
				out := tc.reply()
				if !strings.HasPrefix(out, "HTTP/1.1 304 ") || field(out, "ETag") != field(whole, "ETag") ||
					size == 20 && field(out, "Vary") != field(whole, "Vary") {
					t.Errorf("%d bytes, %s: to %q\n%swants the fields of\n%s", size, accept, list, out, whole)
				}
			}
		}
	}
}

func TestFilesAreNotVariedByCompress(t *testing.T) {
	tc := newTest(t, Options{Compress: &halver{full: 1}}, serving(walkFiles, FileOptions{Types: map[string]string{"": "text/plain"}}))
	tc.send(request("HEAD", "/file", "Accept-Encoding: half"))
	whole := tc.reply()
	tc.send(request("GET", "/file", "Accept-Encoding: half", `If-None-Match: *`))
	if out := tc.reply(); !strings.HasPrefix(out, "HTTP/1.1 304 ") || field(out, "Vary") != field(whole, "Vary") ||
		field(out, "ETag") != field(whole, "ETag") {
		t.Errorf("%s, of\n%s", out, whole)
	}
}

func TestCompressedChunks(t *testing.T) {
	const head = chunkedHead + "Content-Encoding: half\nVary: Accept-Encoding\n\n"
	accept := request("GET", "/", "Accept-Encoding: half")
	h := &halver{full: 1}
	tc := newTest(t, Options{Compress: h}, begins(t, "abcdef", "gh", "END"))
	tc.send(accept)
	tc.wantReply(head + "4\n<abc\n1\ng\n1\n>\n0\n\n")
	tc.send(request("HEAD", "/", "Accept-Encoding: half"))
	tc.wantReply(unchunkedHead + "Content-Encoding: half\nVary: Accept-Encoding\n\n")
	tc.send("GET / HTTP/1.0\r\nAccept-Encoding: half\r\n\r\n")
	tc.wantReply("HTTP/1.1 200 OK\nContent-Type: text/plain\nConnection: close\nContent-Encoding: half\n" +
		"Vary: Accept-Encoding\n\n<abcg>")
	if h.open != 0 {
		t.Error(h.open, "encoders are open")
	}
	t.Run("too many", func(t *testing.T) {
		tc := newTest(t, Options{Compress: &halver{}}, begins(t, "abcdef", "END"))
		tc.send(accept)
		tc.wantReply(chunkedHead + "Vary: Accept-Encoding\n\n6\nabcdef\n0\n\n")
	})
	t.Run("cut", func(t *testing.T) {
		h := &halver{full: 1}
		tc := newTest(t, Options{Compress: h}, begins(t, "abcdef"))
		tc.send(accept)
		tc.c.Close()
		tc.turn()
		if h.open != 0 {
			t.Error(h.open, "encoders are open")
		}
	})
	t.Run("send limit", func(t *testing.T) {
		h := &halver{full: 1}
		tc := newTest(t, Options{Compress: h, Limits: conn.Limits{Send: 1000, OnFull: conn.RefuseOnFull}}, begins(t))
		tc.send(accept)
		tc.reply()
		tc.Wire.Room = 0
		tc.c.WriteShared(make([]byte, 1000)) // fills the queue
		if err := WriteChunk(tc.c, make([]byte, 999)); err != conn.ErrSendLimit {
			t.Fatal(err)
		}
		tc.Wire.Room = -1
		tc.turn()
		tc.reply()
		WriteChunk(tc.c, bytes.Repeat([]byte("x"), 4))
		End(tc.c)
		tc.turn()
		tc.wantReply("3\n<xx\n1\n>\n0\n\n")
	})
	// A reply that was not sent is made anew, for what it is then.
	t.Run("reply beyond the send limit", func(t *testing.T) {
		h := &halver{full: 1}
		tc := newTest(t, Options{Compress: h, Limits: conn.Limits{Send: 1000, OnFull: conn.RefuseOnFull}}, keep)
		tc.send(accept)
		tc.Wire.Room = 0
		tc.c.WriteShared(make([]byte, 1000))
		if err := ReplyBytes(tc.c, 200, "text/plain", make([]byte, 4000)); err != conn.ErrSendLimit {
			t.Fatal(err)
		}
		tc.Wire.Room = -1
		tc.turn()
		tc.reply()
		BeginLength(tc.c, 200, "image/png", 5)
		WriteChunk(tc.c, []byte("small"))
		End(tc.c)
		tc.turn()
		tc.wantReply("HTTP/1.1 200 OK\nContent-Type: image/png\nContent-Length: 5\n\nsmall")
	})
}
