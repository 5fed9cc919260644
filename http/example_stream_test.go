package http_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// A body of any size is counted as it comes: nothing of it is kept.
func ExampleStreamBody() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *mghttp.Head:
			c.Data = 0
			mghttp.StreamBody(c)
		case *mghttp.Chunk:
			c.Data = c.Data.(int) + len(ev.Data)
			if ev.Last {
				mghttp.Reply(c, 200, "text/plain", "%d bytes", c.Data)
			}
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("POST / HTTP/1.1\r\nHost: device\r\nContent-Length: 3000000\r\n\r\n", strings.Repeat("x", 3_000_000))
	_, body, _ := strings.Cut(d.Sent(), "\r\n\r\n")
	fmt.Println(body)
	// Output: 3000000 bytes
}

// An upload goes to a file, which appears under its name when all of it is there.
func ExampleSaveBody() {
	dir, err := os.MkdirTemp("", "firmware")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*mghttp.Head); !ok {
			return
		}
		sum := sha256.New()
		err := mghttp.SaveBody(c, mghttp.SaveOptions{
			Path:    filepath.Join(dir, "image.bin"),
			MaxSize: 64 << 20,
			Hash:    sum,
			Done: func(c *conn.Conn, size int64, err error) {
				if err == nil {
					mghttp.Reply(c, 201, "text/plain", "%d bytes, sha256 %.8x\n", size, sum.Sum(nil))
				}
			},
		})
		if err != nil {
			mghttp.Error(c, 500)
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("PUT /firmware HTTP/1.1\r\nHost: device\r\nContent-Length: 5\r\n\r\nhel", "lo")
	fmt.Print(strings.ReplaceAll(d.Sent(), "\r", ""))
	names, _ := os.ReadDir(dir)
	fmt.Println(len(names), "file:", names[0].Name())
	// Output:
	// HTTP/1.1 201 Created
	// Content-Type: text/plain
	// Content-Length: 33
	//
	// 5 bytes, sha256 2cf24dba5fb0a30e
	// 1 file: image.bin
}

// A firmware image that breaks off is kept: the client asks for its size, and goes on there.
func ExampleSaveBody_resume() {
	dir, err := os.MkdirTemp("", "firmware")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	// Uploads that were interrupted more than a week ago are removed.
	if _, err := mghttp.CleanUploads(nil, dir, 7*24*time.Hour); err != nil {
		panic(err)
	}
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*mghttp.Head); !ok {
			return
		}
		err := mghttp.SaveBody(c, mghttp.SaveOptions{
			Path:   filepath.Join(dir, "image.bin"),
			Resume: true,
			Done: func(c *conn.Conn, size int64, err error) {
				switch err {
				case nil:
					mghttp.Reply(c, 201, "text/plain", "%d bytes", size)
				case mghttp.ErrIncomplete:
					mghttp.Reply(c, 202, "text/plain", "%d bytes so far", size)
				}
			},
		})
		if err != nil {
			mghttp.Error(c, 500)
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	for _, request := range []string{
		"PUT /firmware HTTP/1.1\r\nHost: device\r\nContent-Range: bytes 0-2/5\r\nContent-Length: 3\r\n\r\nhel",
		"PATCH /firmware HTTP/1.1\r\nHost: device\r\nUpload-Offset: 2\r\nContent-Length: 3\r\n\r\nllo",
		"PATCH /firmware HTTP/1.1\r\nHost: device\r\nUpload-Offset: 3\r\nContent-Length: 2\r\n\r\nlo",
	} {
		d.Send(request)
		resp, err := nethttp.ReadResponse(bufio.NewReader(strings.NewReader(d.Sent())), nil)
		if err != nil {
			panic(err)
		}
		body, _ := io.ReadAll(resp.Body)
		fmt.Println(resp.StatusCode, resp.Header.Get("Upload-Offset"), strings.TrimSpace(string(body)))
	}
	text, _ := os.ReadFile(filepath.Join(dir, "image.bin"))
	fmt.Printf("%s\n", text)
	// Output:
	// 202  3 bytes so far
	// 409 3 409 Conflict
	// 201  5 bytes
	// hello
}

// The file of a form goes to the disk as it comes, and its other fields are values.
func ExampleSaveForm() {
	dir, err := os.MkdirTemp("", "firmware")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	form := "--xyz\r\nContent-Disposition: form-data; name=\"version\"\r\n\r\n7\r\n" +
		"--xyz\r\nContent-Disposition: form-data; name=\"image\"; filename=\"../image.bin\"\r\n\r\nhello\r\n--xyz--\r\n"
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		head, ok := ev.(*mghttp.Head)
		if !ok {
			return
		}
		err := mghttp.SaveForm(c, head, mghttp.FormOptions{
			MaxSize: 64 << 20,
			Path: func(p *mghttp.Part) (string, error) {
				switch {
				case !p.IsFile:
					return "", nil
				case p.Name != "image" || p.Filename == "":
					return "", errors.New("only an image, please")
				}
				return filepath.Join(dir, p.Filename), nil
			},
			Done: func(c *conn.Conn, f *mghttp.SavedForm, err error) {
				if err == nil {
					version, _ := f.Value("version")
					mghttp.Reply(c, 201, "text/plain", "version %s: %s, %d bytes", version, filepath.Base(f.Files[0].Path), f.Files[0].Size)
				}
			},
		})
		var bad *mghttp.FormError
		if errors.As(err, &bad) {
			mghttp.Error(c, bad.Status)
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send(fmt.Sprintf("POST /firmware HTTP/1.1\r\nHost: device\r\nContent-Type: multipart/form-data; boundary=xyz\r\nContent-Length: %d\r\n\r\n%s", len(form), form))
	_, body, _ := strings.Cut(d.Sent(), "\r\n\r\n")
	fmt.Println(body)
	// Output:
	// version 7: image.bin, 5 bytes
}

// A reply whose length is not known is sent piece by piece. A program with more than a few pieces
// sends the next ones in conn.Drained.
func ExampleBegin() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*mghttp.Message); ok {
			mghttp.Begin(c, 200, "text/csv")
			for i := range 3 {
				mghttp.WriteChunkf(c, "%d,%d\n", i, i*i)
			}
			mghttp.End(c)
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\n\r\n")
	fmt.Print(strings.ReplaceAll(d.Sent(), "\r", ""))
	// Output:
	// HTTP/1.1 200 OK
	// Content-Type: text/csv
	// Transfer-Encoding: chunked
	//
	// 4
	// 0,0
	//
	// 4
	// 1,1
	//
	// 4
	// 2,4
	//
	// 0
}

func ExampleRedirect() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*mghttp.Message); ok {
			mghttp.Redirect(c, 303, "/été?done=1")
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("POST / HTTP/1.1\r\nHost: device\r\n\r\n")
	fmt.Print(strings.ReplaceAll(d.Sent(), "\r", ""))
	// Output:
	// HTTP/1.1 303 See Other
	// Content-Type: text/plain; charset=utf-8
	// Content-Length: 14
	// Location: /%C3%A9t%C3%A9?done=1
	//
	// 303 See Other
}

func ExampleStartEvents() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			mghttp.StartEvents(c)
			mghttp.SendEvent(c, "8", "reading", fmt.Sprintf("since %s\nall is well", mghttp.LastEventID(m)))
			// the stream goes on
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.0\r\nHost: device\r\nLast-Event-ID: 7\r\n\r\n") // with HTTP/1.1 there would be chunks
	_, stream, _ := strings.Cut(d.Sent(), "\r\n\r\n")
	fmt.Print(stream)
	// Output:
	// id: 8
	// event: reading
	// data: since 7
	// data: all is well
}

// The Stream of Later.StartEvents stays valid until its reply ends: timers and other connections
// may write to it.
func ExampleStream() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	var stream *mghttp.Stream
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			stream, _ = m.Later().StartEvents()
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET /events HTTP/1.0\r\nHost: device\r\n\r\n")
	d.Sent()
	stream.SendEvent("", "", "the oven is hot")
	stream.End()
	d.Turn()
	fmt.Println(d.Sent() + fmt.Sprint(stream.SendEvent("", "", "too late")))
	// Output:
	// data: the oven is hot
	//
	// http: the request is over
}

// One event is made once, and sent to all that listen: in a program by Manager.Broadcast.
func ExamplePrepareEvent() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*mghttp.Message); ok {
			mghttp.StartEvents(c)
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.0\r\nHost: device\r\n\r\n")
	d.Sent()
	e, err := mghttp.PrepareEvent("", "", "to everybody")
	if err != nil {
		panic(err)
	}
	for _, c := range []*conn.Conn{d.Conn} { // m.Broadcast(func(c *conn.Conn) {
		if s := mghttp.EventStream(c); s != nil {
			s.SendPreparedEvent(e)
		}
	}
	d.Turn()
	fmt.Print(d.Sent())
	// Output: data: to everybody
}

// A body of any length comes from an io.Reader that may block: it is read on a goroutine of its
// own, as fast as the client takes it.
func ExampleFromReader() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		panic(err)
	}
	defer m.Close()
	l, err := mghttp.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*mghttp.Message); ok {
			r, w := io.Pipe()
			go func() {
				for i := range 3 {
					fmt.Fprintf(w, "%d,%d\n", i, i*i)
				}
				w.Close()
			}()
			mghttp.ReplyFrom(c, 200, "text/csv", -1, mghttp.FromReader(r))
		}
	})
	if err != nil {
		panic(err)
	}
	url := "http://" + l.LocalAddr().String()
	go m.Run(context.Background())
	resp, err := nethttp.Get(url)
	if err != nil {
		panic(err)
	}
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%s%v\n", body, err)
	// Output:
	// 0,0
	// 1,1
	// 2,4
	// <nil>
}
