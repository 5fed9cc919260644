package http_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	mghttp "github.com/seed4930a636/mangusta/http"
)

func ExampleMessage_Var() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			name, ok := m.Var("name")
			page, _ := m.QueryVar("page")
			_, missing := m.Var("missing")
			fmt.Printf("%q %v, page %s, %v\n", name, ok, page, missing)
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("POST /search?page=2 HTTP/1.1\r\nHost: device\r\nContent-Type: application/x-www-form-urlencoded\r\n" +
		"Content-Length: 23\r\n\r\nname=Ada+L%C3%B6we&no=1")
	// Output:
	// "Ada Löwe" true, page 2, false
}

// The error of a malformed form comes in its place.
func ExampleMessage_Vars() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			for v, err := range m.Vars() {
				if err != nil {
					fmt.Println(err)
					mghttp.Error(c, 400)
					return
				}
				fmt.Printf("%s=%s\n", v.Name, v.Value)
			}
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET /?a=1&b=100% HTTP/1.1\r\nHost: device\r\n\r\n")
	// Output:
	// a=1
	// http: form: malformed percent-encoding
}

func ExampleMessage_Multipart() {
	form := "--xyz\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n" +
		"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../../etc/a.txt\"\r\nContent-Type: text/plain\r\n\r\n12345\r\n--xyz--\r\n"
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			for p, err := range m.Multipart(mghttp.MultipartLimits{}) {
				var bad *mghttp.FormError
				if errors.As(err, &bad) {
					mghttp.Error(c, bad.Status)
					return
				}
				fmt.Printf("%s %q: %d bytes\n", p.Name, p.Filename, len(p.Body))
			}
			mghttp.Reply(c, 200, "", "")
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: device\r\nContent-Type: multipart/form-data; boundary=xyz\r\nContent-Length: %d\r\n\r\n%s",
		len(form), form))
	// Output:
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
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			fmt.Printf("seen %s times\n", m.Cookie("seen"))
			mghttp.SetCookie(c, mghttp.Cookie{Name: "seen", Value: "2", Path: "/", MaxAge: 24 * time.Hour, HttpOnly: true, SameSite: mghttp.SameSiteLax})
			mghttp.Reply(c, 200, "text/plain", "hello\n")
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\nCookie: a=b; seen=1\r\n\r\n")
	fmt.Print(strings.ReplaceAll(d.Sent(), "\r", ""))
	// Output:
	// seen 1 times
	// HTTP/1.1 200 OK
	// Content-Type: text/plain
	// Content-Length: 6
	// Set-Cookie: seen=2; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax
	//
	// hello
}

func ExampleRequest_Credentials() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			if !m.Credentials().IsBasic("Aladdin", "open sesame") {
				mghttp.SetHeader(c, "WWW-Authenticate", `Basic realm="cave"`)
				mghttp.Error(c, 401)
				return
			}
			mghttp.Reply(c, 200, "text/plain", "welcome\n")
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n")
	fmt.Print(strings.ReplaceAll(d.Sent(), "\r", ""))
	// Output:
	// HTTP/1.1 200 OK
	// Content-Type: text/plain
	// Content-Length: 8
	//
	// welcome
}

func ExampleRequest_Accepts() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			fmt.Println(m.Accepts("application/json", "text/html"), m.AcceptsEncoding("br", "gzip"))
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\nAccept: text/html, application/json;q=0.9\r\n" +
		"Accept-Encoding: gzip, deflate\r\n\r\n")
	// Output:
	// text/html gzip
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

// The client has the current version already.
func ExampleValidators_Check() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			v := mghttp.Validators{ETag: `"v7"`}
			mghttp.SetHeader(c, "ETag", v.ETag)
			if verdict := v.Check(&m.Request); verdict.Status() != 200 {
				mghttp.ReplyBytes(c, verdict.Status(), "", nil)
				return
			}
			mghttp.Reply(c, 200, "text/plain", "version 7\n")
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\nIf-None-Match: \"v6\", W/\"v7\"\r\n\r\n")
	fmt.Print(strings.ReplaceAll(d.Sent(), "\r", ""))
	// Output:
	// HTTP/1.1 304 Not Modified
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
