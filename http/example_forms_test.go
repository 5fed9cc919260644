package http_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// answer runs a loop that answers one request with f, and prints the reply: status, the fields named, body.
func answer(f func(c *conn.Conn, m *mghttp.Message), method string, header []string, body string, fields ...string) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		panic(err)
	}
	defer m.Close()
	l, err := mghttp.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if q, ok := ev.(*mghttp.Message); ok {
			f(c, q)
		}
	})
	if err != nil {
		panic(err)
	}
	c, err := net.Dial("tcp", l.LocalAddr().String())
	if err != nil {
		panic(err)
	}
	defer c.Close()
	go m.Run(context.Background())
	lines := append([]string{method + " HTTP/1.1", "Host: device", fmt.Sprintf("Content-Length: %d", len(body))}, header...)
	fmt.Fprintf(c, "%s\r\n\r\n%s", strings.Join(lines, "\r\n"), body)
	reply, err := nethttp.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		panic(err)
	}
	text, _ := io.ReadAll(reply.Body)
	fmt.Print(reply.Status)
	for _, name := range fields {
		fmt.Printf("\n%s: %s", name, reply.Header.Get(name))
	}
	fmt.Printf("\n%s\n", text)
}

func ExampleMessage_Var() {
	answer(func(c *conn.Conn, m *mghttp.Message) {
		name, ok := m.Var("name")
		page, _ := m.QueryVar("page")
		_, missing := m.Var("missing")
		mghttp.Reply(c, 200, "text/plain", "%q %v, page %s, %v", name, ok, page, missing)
	}, "POST /search?page=2", []string{"Content-Type: application/x-www-form-urlencoded"}, "name=Ada+L%C3%B6we&empty=")
	// Output:
	// 200 OK
	// "Ada Löwe" true, page 2, false
}

// A form that is malformed is refused as a whole.
func ExampleMessage_Vars() {
	answer(func(c *conn.Conn, m *mghttp.Message) {
		var out strings.Builder
		for v, err := range m.Vars() {
			if err != nil {
				mghttp.Reply(c, 400, "text/plain", "%v", err)
				return
			}
			fmt.Fprintf(&out, "%s=%s\n", v.Name, v.Value)
		}
		mghttp.Reply(c, 200, "text/plain", "%s", out.String())
	}, "GET /?a=1&b=100%", nil, "")
	// Output:
	// 400 Bad Request
	// http: form: malformed percent-encoding
}

func ExampleMessage_Multipart() {
	body := "--xyz\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n" +
		"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../../etc/a.txt\"\r\nContent-Type: text/plain\r\n\r\n12345\r\n--xyz--\r\n"
	answer(func(c *conn.Conn, m *mghttp.Message) {
		var out strings.Builder
		for p, err := range m.Multipart(mghttp.MultipartLimits{}) {
			var bad *mghttp.FormError
			if errors.As(err, &bad) {
				mghttp.Reply(c, bad.Status, "text/plain", "%v", bad)
				return
			}
			fmt.Fprintf(&out, "%s %q: %d bytes\n", p.Name, p.Filename, len(p.Body))
		}
		mghttp.Reply(c, 200, "text/plain", "%s", out.String())
	}, "POST /", []string{"Content-Type: multipart/form-data; boundary=xyz"}, body)
	// Output:
	// 200 OK
	// note "": 5 bytes
	// file "a.txt": 5 bytes
}

// A body that comes in pieces is read as it comes.
func ExampleMultipartReader() {
	r, err := mghttp.NewMultipartReader([]byte("multipart/form-data; boundary=xyz"), mghttp.MultipartLimits{Size: 1 << 30})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, piece := range []string{
		"--xyz\r\nContent-Disposition: form-data; name=f; file", "name=a.bin\r\n\r\n\x01\x02\x03", "\x04\r\n-", "-xyz", "--\r\n",
	} {
		b := []byte(piece)
		for {
			ev, n, err := r.Next(b)
			if err != nil {
				fmt.Println(err)
				return
			}
			b = b[n:]
			switch ev.Kind {
			case mghttp.PartBegin:
				fmt.Println("begin", ev.Part.Filename)
			case mghttp.PartData:
				fmt.Println("data", ev.Data)
			case mghttp.PartEnd:
				fmt.Println("end")
			}
			if ev.Kind == mghttp.PartNone {
				break
			}
		}
	}
	fmt.Println(r.End())
	// Output:
	// begin a.bin
	// data [1 2 3]
	// data [4]
	// end
	// <nil>
}

func ExampleSetCookie() {
	answer(func(c *conn.Conn, m *mghttp.Message) {
		seen := m.Cookie("seen")
		err := mghttp.SetCookie(c, mghttp.Cookie{Name: "seen", Value: "2", Path: "/", MaxAge: 24 * time.Hour, HttpOnly: true, SameSite: mghttp.SameSiteLax})
		mghttp.Reply(c, 200, "text/plain", "seen %s, %v", seen, err)
	}, "GET /", []string{"Cookie: a=b; seen=1"}, "", "Set-Cookie")
	// Output:
	// 200 OK
	// Set-Cookie: seen=2; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax
	// seen 1, <nil>
}

func ExampleRequest_Credentials() {
	answer(func(c *conn.Conn, m *mghttp.Message) {
		if !m.Credentials().IsBasic("Aladdin", "open sesame") {
			mghttp.SetHeader(c, "WWW-Authenticate", `Basic realm="cave"`)
			mghttp.Error(c, 401)
			return
		}
		mghttp.Reply(c, 200, "text/plain", "welcome")
	}, "GET /", []string{"Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}, "")
	// Output:
	// 200 OK
	// welcome
}

func ExampleRequest_Accepts() {
	answer(func(c *conn.Conn, m *mghttp.Message) {
		media := m.Accepts("application/json", "text/html")
		mghttp.Reply(c, 200, "text/plain", "%s, %s", media, m.AcceptsEncoding("br", "gzip"))
	}, "GET /", []string{"Accept: text/html, application/json;q=0.9", "Accept-Encoding: gzip, deflate"}, "")
	// Output:
	// 200 OK
	// text/html, gzip
}

func ExampleParseRange() {
	for _, value := range []string{"bytes=0-99", "bytes=-100", "bytes=900-,0-9,10-19", "bytes=1000-", "bytes=nonsense"} {
		ranges, err := mghttp.ParseRange(nil, []byte(value), 1000)
		switch {
		case err == mghttp.ErrUnsatisfiable:
			fmt.Printf("%s: 416, %s\n", value, mghttp.AppendUnsatisfied(nil, 1000))
		case len(ranges) == 0:
			fmt.Printf("%s: 200\n", value)
		default:
			fmt.Printf("%s: 206", value)
			for _, g := range ranges {
				fmt.Printf(", %s", g.AppendContentRange(nil, 1000))
			}
			fmt.Println()
		}
	}
	// Output:
	// bytes=0-99: 206, bytes 0-99/1000
	// bytes=-100: 206, bytes 900-999/1000
	// bytes=900-,0-9,10-19: 206, bytes 900-999/1000, bytes 0-19/1000
	// bytes=1000-: 416, bytes */1000
	// bytes=nonsense: 200
}

func ExampleValidators_Check() {
	answer(func(c *conn.Conn, m *mghttp.Message) {
		v := mghttp.Validators{ETag: `"v7"`}
		mghttp.SetHeader(c, "ETag", v.ETag)
		if verdict := v.Check(&m.Request); verdict.Status() != 200 {
			mghttp.ReplyBytes(c, verdict.Status(), "", nil)
			return
		}
		mghttp.Reply(c, 200, "text/plain", "version 7")
	}, "GET /", []string{`If-None-Match: "v6", W/"v7"`}, "", "ETag")
	// Output:
	// 304 Not Modified
	// ETag: "v7"
}

func ExampleParseTime() {
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "1994-11-06"} {
		fmt.Println(mghttp.ParseTime([]byte(s)))
	}
	// Output:
	// 1994-11-06 08:49:37 +0000 UTC true
	// 1994-11-06 08:49:37 +0000 UTC true
	// 1994-11-06 08:49:37 +0000 UTC true
	// 0001-01-01 00:00:00 +0000 UTC false
}
