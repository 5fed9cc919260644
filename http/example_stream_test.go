package http_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// withBody is a request for ask that has a body.
func withBody(line, body string) string {
	return fmt.Sprintf("%s HTTP/1.1\r\nHost: device\r\nContent-Length: %d\r\n\r\n%s", line, len(body), body)
}

// A body of any size is counted as it comes: nothing of it is kept.
func ExampleStream() {
	talk(func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *mghttp.Head:
				c.Data = 0
				mghttp.Stream(c)
			case *mghttp.Chunk:
				c.Data = c.Data.(int) + len(ev.Data)
				if ev.Last {
					mghttp.Reply(c, 200, "text/plain", "%d bytes", c.Data)
				}
			}
		}
	}, nil, withBody("POST /", strings.Repeat("x", 3_000_000)))
	// Output: 200 OK 3000000 bytes
}

// An upload goes to a file, which appears under its name when all of it is there.
func ExampleSaveBody() {
	dir, err := os.MkdirTemp("", "firmware")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	talk(func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
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
						mghttp.Reply(c, 201, "text/plain", "%d bytes, sha256 %.8x", size, sum.Sum(nil))
					}
				},
			})
			if err != nil {
				mghttp.Error(c, 500)
			}
		}
	}, nil, withBody("PUT /firmware", "hello"), withBody("PUT /firmware", ""))
	names, _ := os.ReadDir(dir)
	fmt.Println(len(names), "file:", names[0].Name())
	// Output:
	// 201 Created 5 bytes, sha256 2cf24dba5fb0a30e
	// 201 Created 0 bytes, sha256 e3b0c44298fc1c14
	// 1 file: image.bin
}

// An answer whose length is not known is sent piece by piece; conn.Drained asks for the next ones.
func ExampleBegin() {
	talk(func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*mghttp.Message); ok {
				mghttp.Begin(c, 200, "text/csv")
				for i := range 3 {
					mghttp.WriteChunkf(c, "%d,%d\n", i, i*i)
				}
				mghttp.End(c)
			}
		}
	}, []string{"Content-Type"}, "GET / HTTP/1.1\r\nHost: device\r\n\r\n")
	// Output:
	// 200 OK text/csv 0,0
	// 1,1
	// 2,4
}

func ExampleRedirect() {
	talk(func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*mghttp.Message); ok {
				mghttp.Redirect(c, 303, "/été?done=1")
			}
		}
	}, []string{"Location"}, "POST / HTTP/1.1\r\nHost: device\r\n\r\n")
	// Output: 303 See Other /%C3%A9t%C3%A9?done=1 303 See Other
}

func ExampleStartEvents() {
	talk(func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*mghttp.Message); ok {
				mghttp.StartEvents(c)
				mghttp.SendEvent(c, "8", "reading", fmt.Sprintf("since %s\nall is well", mghttp.LastEventID(m)))
				mghttp.End(c) // most streams go on
			}
		}
	}, []string{"Content-Type"}, "GET / HTTP/1.1\r\nHost: device\r\nLast-Event-ID: 7\r\n\r\n")
	// Output:
	// 200 OK text/event-stream id: 8
	// event: reading
	// data: since 7
	// data: all is well
}

// One event is made once, and sent to all who listen.
func ExamplePrepareEvent() {
	talk(func(m *mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*mghttp.Message); !ok {
				return
			}
			mghttp.StartEvents(c)
			go func() { // any goroutine
				e, err := mghttp.PrepareEvent("", "", "to everybody")
				if err != nil {
					panic(err)
				}
				m.Broadcast(func(c *conn.Conn) {
					if mghttp.IsEventStream(c) {
						mghttp.SendPreparedEvent(c, e)
						mghttp.End(c)
					}
				})
			}()
		}
	}, nil, "GET / HTTP/1.1\r\nHost: device\r\n\r\n")
	// Output: 200 OK data: to everybody
}
