package http_test

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	mghttp "github.com/seed4930a636/mangusta/http"
)

// A countdown is a Source: it makes its bytes when the client has room for them.
type countdown struct{ n int }

func (s *countdown) Next(room int, wake func() error) ([]byte, error) {
	if s.n == 0 {
		return nil, io.EOF
	}
	line := strconv.Itoa(s.n) + "\n"
	if len(line) > room {
		return nil, io.ErrShortBuffer // room is up to 64 KiB: a few bytes fit
	}
	s.n--
	return []byte(line), nil
}

func (s *countdown) Close() { fmt.Println("closed") }

// A long reply from a Source of the program's own. Nothing of it is kept in memory but what the
// client has not taken yet.
func ExampleReplyFrom() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*mghttp.Message); ok {
			mghttp.ReplyFrom(c, 200, "text/plain", 6, &countdown{3})
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.0\r\nHost: device\r\n\r\n")
	_, body, _ := strings.Cut(d.Sent(), "\r\n\r\n")
	fmt.Print(body)
	// Output:
	// closed
	// 3
	// 2
	// 1
}
