package http

import (
	"bufio"
	"context"
	"io"
	"net"
	nethttp "net/http"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// More clients than one turn of the loop reads from complete their requests in time, while a
// handler keeps the loop busy for longer than their timeouts. All of them are served.
func TestNetALateLoopRefusesNobodyWhoWasOnTime(t *testing.T) {
	const limit = 1500 * time.Millisecond
	n := mayOpen(t, 1300) / 2
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lc, err := Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if ev, ok := ev.(*Message); ok {
			ReplyBytes(c, 200, "", ev.Body)
		}
	}, Options{HeadTimeout: limit, BodyTimeout: limit, IdleTimeout: limit})
	if err != nil {
		t.Fatal(err)
	}
	addr := lc.LocalAddr().String()
	ran := make(chan error, 1)
	go func() { ran <- m.Run(context.Background()) }()
	defer func() { m.Close(); <-ran }()
	halves := [][2]string{
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-", "Length: 2\r\n\r\nab"}, // a slow head
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na", "b"}, // a slow body
		{"", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"}, // an idle connection
	}
	var peers []net.Conn
	sent := 0
	for i := range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		peers = append(peers, c)
		k, _ := io.WriteString(c, halves[i%3][0])
		sent += k
	}
	come := make(chan time.Time, 1)
	release := make(chan bool)
	var look func()
	look = func() { // until all first halves have been read
		if s := m.Stats(); int(s.BytesIn) != sent || s.Conns != n {
			m.AfterFunc(time.Millisecond, look)
			return
		}
		come <- time.Now()
		<-release
	}
	m.Do(look)
	begin := <-come
	for i, c := range peers {
		io.WriteString(c, halves[i%3][1])
	}
	time.Sleep(time.Until(begin.Add(limit + 200*time.Millisecond))) // the loop stands still for longer than the timeouts
	close(release)
	got := map[int]int{}
	for _, c := range peers {
		if r, err := nethttp.ReadResponse(bufio.NewReader(c), nil); err != nil {
			got[0]++
		} else {
			got[r.StatusCode]++
		}
	}
	if got[200] != n {
		t.Errorf("replies by status %v, want %d times 200", got, n)
	}
}
