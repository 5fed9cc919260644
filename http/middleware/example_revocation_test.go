package middleware_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/middleware"
)

// loggedOut ends sessions before they expire. It is kept in memory: a program that must not forget
// keeps it in a file.
type loggedOut map[uint64]time.Time

func (l loggedOut) Generation(string) uint64 { return 0 }

func (l loggedOut) Revoked(s middleware.Session) bool {
	_, ok := l[s.ID]
	return ok
}

// A user logs out, and the token is of no use any more, even to a thief who has copied it.
func ExampleRevocation() {
	out := loggedOut{}
	s, err := middleware.NewSessions(middleware.SessionOptions{Keys: [][]byte{[]byte("32 bytes from crypto/rand, please")}, Revocation: out})
	if err != nil {
		panic(err)
	}
	x := mghttp.NewMux()
	x.MustHandle("GET /me", func(c *conn.Conn, m *mghttp.Message) { mghttp.Reply(c, 200, "text/plain", "hello") }, s.Require)
	x.MustHandle("POST /logout", func(c *conn.Conn, m *mghttp.Message) {
		session, _ := s.Session(&m.Request)
		for id, expires := range out { // what has expired need not be known any more
			if time.Now().After(expires) {
				delete(out, id)
			}
		}
		out[session.ID] = session.Expires
		s.End(c) // the browser forgets the cookie
		mghttp.Reply(c, 200, "text/plain", "goodbye")
	}, s.Require)
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	cookie := "Cookie: session=" + s.Token("anna") + "\r\n"
	for _, request := range []string{"GET /me", "POST /logout", "GET /me"} {
		d.Send(request + " HTTP/1.1\r\nHost: device\r\n" + cookie + "\r\n")
		status, _, _ := strings.Cut(d.Sent(), "\r\n")
		fmt.Println(status)
	}
	// Output:
	// HTTP/1.1 200 OK
	// HTTP/1.1 200 OK
	// HTTP/1.1 401 Unauthorized
}
