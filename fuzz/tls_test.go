package fuzz

import (
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// FuzzTLS sends any bytes, cut in any way, to a TLS server that has not had its handshake. It may
// answer with an alert or with 400; it must end, by the timeout at the latest, and no worker may
// stay.
func FuzzTLS(f *testing.F) {
	hello := "\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03" + string(make([]byte, 32)) + "\x00\x00\x02\x13\x01\x01\x00"
	for _, seed := range []string{hello, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x80\x2e\x01\x00", hello[:20] + hello, "\x15\x03\x01\x00\x02\x02\x28"} {
		f.Add([]byte(seed), 7)
		f.Add([]byte(seed), 1000)
	}
	server, err := tlsconn.SelfSigned(f.TempDir(), nil, tlsconn.Config{Synchronous: true, Redirect: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		cut = max(1, cut)
		d := conntest.New(t, func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *conn.Accept, *conn.Read, *tlsconn.Handshake:
				t.Errorf("%s without a handshake", ev.EventName())
			}
		}, conntest.Options{Setup: func(c *conn.Conn) { server.ServeTLS(c, nil) }})
		for len(in) > 0 && !d.Closed() {
			n := min(cut, len(in))
			d.Send(string(in[:n]))
			in = in[n:]
		}
		d.Sleep(12 * time.Second)
		if !d.Closed() {
			d.SendEOF()
			d.Sleep(time.Second)
		}
		if !d.Closed() {
			t.Fatal("the connection does not end")
		}
		for until := time.Now().Add(time.Minute); server.Stats().InFlight > 0; time.Sleep(time.Microsecond) {
			if time.Now().After(until) {
				t.Fatal("a worker stays")
			}
		}
	})
}
