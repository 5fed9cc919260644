package sntp_test

import (
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/sntp"
)

// One question. The server here is our own: its clock is an hour ahead.
func ExampleQuery() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	server, err := m.Listen("udp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if d, ok := ev.(*conn.Datagram); ok {
			question, _ := sntp.Parse(d.Data)
			now := sntp.TimestampOf(time.Now().Add(time.Hour))
			answer := sntp.Packet{Version: 4, Mode: 4, Stratum: 1, RefID: [4]byte{'G', 'P', 'S'},
				Originate: question.Transmit, Receive: now, Transmit: now}
			d.Reply(answer.Append(nil))
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	done := false
	_, err = sntp.Query(m, "udp://"+server.LocalAddr().String(), func(s sntp.Sample, err error) {
		done = true
		fmt.Println(s.Offset.Round(time.Minute), s.Stratum, s.RefID, err)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for !done {
		m.Poll(time.Second)
	}
	// Output: 1h0m0s 1 GPS <nil>
}
