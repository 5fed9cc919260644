package conn_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// eachSealed runs f over the double of TLS in several tempers: whole records, records in pieces of
// each small size, small records.
func eachSealed(t *testing.T, f func(t *testing.T, s *conntest.Sealed)) {
	for _, s := range []conntest.Sealed{{}, {Cut: 1}, {Cut: 3}, {Record: 1}, {Record: 5, Cut: 7}} {
		t.Run(fmt.Sprintf("cut %d record %d", s.Cut, s.Record), func(t *testing.T) { f(t, &s) })
	}
}

// echo sends back what it reads.
func echo(c *conn.Conn, ev conn.Event) {
	if _, ok := ev.(*conn.Read); ok {
		c.Write(c.Recv.Bytes())
		c.Recv.Discard(c.Recv.Len())
	}
}

// noReads describes events without those whose number depends on how records are cut.
func noReads(ev conn.Event) string {
	switch ev.(type) {
	case *conn.Read, *conn.Write:
		return ""
	}
	return conntest.Describe(ev)
}

func TestLayeredAcceptComesAfterTheHandshake(t *testing.T) {
	eachSealed(t, func(t *testing.T, s *conntest.Sealed) {
		s.Silent = true
		d := conntest.New(t, echo, conntest.Options{Sealed: s, Describe: noReads, Setup: func(c *conn.Conn) { c.Write([]byte("hello ")) }})
		d.WantEvents("Open")
		d.WantSent("")
		if d.Conn.Secure() {
			t.Error("Secure before the handshake")
		}
		d.Wire.Arrive(conntest.Seal('h', nil), nil)
		d.Turn()
		d.WantEvents("conntest.Hello", "Accept")
		if !d.Conn.Secure() {
			t.Error("not Secure after the handshake")
		}
		d.Send("world")
		d.WantSent("hello world")
		d.WantOpen()
	})
}

func TestLayeredConnectComesAfterTheHandshake(t *testing.T) {
	s := &conntest.Sealed{Silent: true}
	d := conntest.New(t, echo, conntest.Options{Sealed: s, Outbound: true})
	d.WantEvents("Open")
	d.Wire.Arrive(conntest.Seal('h', nil), nil)
	d.Turn()
	d.WantEvents("conntest.Hello", "Connect")
}

// While a worker computes, the poller is not to report input, whatever the program asks for.
func TestLayeredComputing(t *testing.T) {
	s := &conntest.Sealed{Compute: true}
	d := conntest.New(t, echo, conntest.Options{Sealed: s})
	d.Conn.Pause()
	d.Conn.Resume()
	d.Conn.Layer().Redeliver()
	if got := d.Turn(); got != 0 {
		t.Errorf("watched for %d while the handshake is computed", got)
	}
	d.Send("early")
	d.WantEvents("Open")
	s.Computed()
	d.WantEvents("conntest.Hello", "Accept", "Read 5", "Write 5")
	d.WantSent("early")
}

// Closing while a worker computes marks; its result is thrown away.
func TestLayeredCloseWhileComputing(t *testing.T) {
	for name, end := range map[string]func(c *conn.Conn){"Close": (*conn.Conn).Close, "Drain": (*conn.Conn).Drain} {
		t.Run(name, func(t *testing.T) {
			s := &conntest.Sealed{Compute: true}
			d := conntest.New(t, echo, conntest.Options{Sealed: s})
			end(d.Conn)
			d.Turn()
			d.WantClosed(conn.Local)
			s.Computed()
			d.WantEvents("Open", "Close closed locally")
		})
	}
}

func TestLayeredDrainSendsWhatWaitedForTheHandshake(t *testing.T) {
	s := &conntest.Sealed{Silent: true}
	d := conntest.New(t, nil, conntest.Options{Sealed: s})
	d.Conn.Write([]byte("bye"))
	d.Conn.Drain()
	d.Turn()
	if d.Closed() {
		t.Fatal("closed with bytes queued")
	}
	d.Wire.Arrive(conntest.Seal('h', nil), nil)
	d.Turn()
	d.WantSent("bye")
	d.WantClosed(conn.Local)
}

func TestLayeredHandshakeTimeout(t *testing.T) {
	for i := range 4 {
		compute, deadline := i&1 != 0, i&2 != 0
		s := &conntest.Sealed{Silent: !compute, Compute: compute}
		d := conntest.New(t, nil, conntest.Options{Sealed: s})
		if deadline {
			d.Conn.Layer().SetDeadline(time.Second) // the protocol's is not the handshake's
		}
		d.Sleep(5 * time.Second)
		if !compute {
			d.Wire.Arrive(conntest.Seal('h', nil)[:2], nil) // a dribble puts nothing off
		}
		d.Sleep(4900 * time.Millisecond)
		d.WantOpen()
		d.Sleep(200 * time.Millisecond)
		d.WantClosed(conn.DeadlineOver)
		d.WantEvents("Open", "Error deadline passed", "Close deadline passed")
	}
}

// The protocol's deadline that passes during the handshake comes after it.
func TestLayeredDeadlineWaitsForTheHandshake(t *testing.T) {
	s := &conntest.Sealed{Silent: true}
	d := conntest.New(t, nil, conntest.Options{Sealed: s})
	d.Conn.Layer().SetDeadline(time.Second)
	d.Sleep(2 * time.Second)
	d.WantEvents("Open")
	d.Wire.Arrive(conntest.Seal('h', nil), nil)
	d.Loop.Shared.NextDeadline = math.MaxInt64
	d.Turn()
	if d.Loop.Shared.NextDeadline > d.Loop.Shared.Now {
		t.Error("the loop is not told of the deadline")
	}
	d.Sleep(100 * time.Millisecond)
	d.WantEvents("conntest.Hello", "Accept", "Deadline")
}

// A failure of TLS is told to the peer, and the connection lingers for it to be read; nothing of
// the queue is sent.
func TestLayeredFailures(t *testing.T) {
	for _, when := range []string{"handshake", "later"} {
		for _, room := range []int{-1, 0} {
			s := &conntest.Sealed{Silent: when == "handshake"}
			d := conntest.New(t, nil, conntest.Options{Sealed: s})
			d.Wire.Room = room
			d.Conn.Write([]byte("secret"))
			d.Wire.Arrive(conntest.Seal('x', nil), nil)
			d.Turn()
			if d.Closed() || d.Conn.IsOpen() || d.Conn.Secure() {
				t.Errorf("%s, room %d: closed %v, open %v, secure %v", when, room, d.Closed(), d.Conn.IsOpen(), d.Conn.Secure())
			}
			d.Room(-1)
			if sent := d.Sent(); !strings.HasSuffix(sent, "<alert>") || when == "handshake" && sent != "<alert>" {
				t.Errorf("%s, room %d: sent %q", when, room, sent)
			}
			d.Sleep(500 * time.Millisecond)
			if d.Closed() {
				t.Errorf("%s, room %d: closed before the peer could read the alert", when, room)
			}
			d.Sleep(time.Second)
			d.WantClosed(conn.TLSFailed)
		}
	}
}

func TestLayeredThePeerLeavesDuringTheHandshake(t *testing.T) {
	d := conntest.New(t, nil, conntest.Options{Sealed: &conntest.Sealed{Silent: true}})
	d.SendEOF()
	d.WantClosed(conn.TLSFailed)
	d = conntest.New(t, nil, conntest.Options{Sealed: &conntest.Sealed{Silent: true}})
	d.Fail(unix.ECONNRESET)
	d.WantClosed(conn.Reset)
}

// Reading goes on with what the transport holds although the poller is silent: after Pause, Hold,
// and congestion; and a peer that sends much takes its turn with others.
func TestLayeredBufferedInputIsReadWithoutThePoller(t *testing.T) {
	d := conntest.New(t, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Read); ok {
			c.Write(c.Recv.Bytes())
			c.Recv.Discard(c.Recv.Len())
			c.Pause()
		}
	}, conntest.Options{Sealed: &conntest.Sealed{Record: 2}})
	d.Wire.Arrive([]byte(string(conntest.Seal('d', []byte("ab")))+string(conntest.Seal('d', []byte("cd")))+
		string(conntest.Seal('e', nil))), nil)
	d.Turn()
	d.WantSent("ab")
	d.Conn.Resume()
	d.Turn()
	d.WantSent("cd")
	d.Conn.Layer().Hold()
	d.Conn.Resume()
	d.Turn()
	d.WantOpen()
	d.Conn.Layer().Unhold()
	d.Turn()
	d.WantClosed(conn.PeerClosed)
}

func TestLayeredCongestionEnds(t *testing.T) {
	d := conntest.New(t, echo, conntest.Options{Sealed: &conntest.Sealed{Record: 8}, Limits: conn.Limits{HighWater: 4}})
	d.Room(0)
	d.Wire.Arrive([]byte(string(conntest.Seal('d', []byte("12345678")))+string(conntest.Seal('d', []byte("abcdefgh")))), nil)
	d.Turn()
	if !d.Conn.Layer().Congested() {
		t.Fatal("not congested")
	}
	if got := d.Conn.Pending(); got != 11 {
		t.Errorf("%d bytes pending, want 11: a record", got)
	}
	for range 30 {
		d.Room(1) // EAGAIN after each byte
	}
	d.WantSent("12345678abcdefgh")
	d.WantOpen()
	if got := d.Conn.Pending(); got != 0 {
		t.Errorf("%d bytes pending, want 0", got)
	}
	d.WantEvents("Open", "conntest.Hello", "Accept", "Read 8", "Write 8", "Resumed", "Read 8", "Write 8", "Resumed", "Drained")
}

func TestLayeredReadsMuchOverSeveralTurns(t *testing.T) {
	got, inTurn, most := 0, 0, 0
	d := conntest.New(t, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Read:
			got += ev.N
			inTurn += ev.N
			most = max(most, inTurn)
			c.Recv.Discard(ev.N)
		case *conn.Poll:
			inTurn = 0
		}
	}, conntest.Options{Sealed: &conntest.Sealed{Cut: 1 << 20}})
	d.Conn.SetPoll(true)
	var all []byte
	for range 40 {
		all = append(all, conntest.Seal('d', make([]byte, 16<<10))...)
	}
	d.Wire.Arrive(all, nil)
	d.Turn()
	if got != 640<<10 {
		t.Errorf("%d bytes read, want 640 KiB", got)
	}
	if d.Loop.Turns < 6 {
		t.Errorf("640 KiB in %d turns", d.Loop.Turns)
	}
}

// Each way to write, with a kernel that takes one byte at a time.
func TestLayeredWrites(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("<file>"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	long := strings.Repeat("0123456789", 2000)
	ways := map[string]func(c *conn.Conn) string{
		"Write":        func(c *conn.Conn) string { c.Write([]byte("abc")); c.WriteString("def"); return "abcdef" },
		"WriteShared":  func(c *conn.Conn) string { c.WriteShared([]byte("abc")); c.WriteShared([]byte("def")); return "abcdef" },
		"both":         func(c *conn.Conn) string { c.Write([]byte("abc")); c.WriteShared([]byte("def")); return "abcdef" },
		"WriteThrough": func(c *conn.Conn) string { c.WriteThrough([]byte(long)); return long },
		"SendFile":     func(c *conn.Conn) string { c.SendFile(f, 1, 4, nil); c.WriteString("!"); return "file!" },
		"WriteBroadcast": func(c *conn.Conn) string {
			c.WriteBroadcast([]byte("abc"))
			c.WriteBroadcast([]byte("def"))
			return "abcdef"
		},
	}
	for name, write := range ways {
		for _, record := range []int{0, 2} {
			for _, end := range []string{"open", "Drain", "CloseWrite", "DrainLinger"} {
				t.Run(fmt.Sprintf("%s %d %s", name, record, end), func(t *testing.T) {
					d := conntest.New(t, nil, conntest.Options{Sealed: &conntest.Sealed{Record: record}})
					d.Room(0)
					step := 1
					if name == "WriteThrough" {
						step = 700
					}
					want := write(d.Conn)
					switch end {
					case "Drain":
						d.Conn.Drain()
					case "CloseWrite":
						d.Conn.CloseWrite()
					case "DrainLinger":
						d.Conn.Layer().DrainLinger(time.Second)
					}
					sent := ""
					for i := 0; i < 1<<17 && len(sent) < len(want); i++ {
						if d.Closed() || d.Wire.Shut {
							t.Fatalf("ended with %q of %q sent", sent, want)
						}
						if d.Conn.Pending() == 0 && d.Conn.FilePending() == 0 {
							t.Fatalf("nothing pending with %d of %d bytes sent", len(sent), len(want))
						}
						d.Room(step)
						sent += d.Sent()
					}
					if sent != want {
						t.Fatalf("sent %.50q, want %.50q", sent, want)
					}
					for range 10 {
						d.Room(1) // for close_notify
					}
					switch end {
					case "open":
						d.WantOpen()
						if d.Conn.Pending() != 0 {
							t.Errorf("%d bytes pending", d.Conn.Pending())
						}
					case "Drain":
						d.WantClosed(conn.Local)
					case "CloseWrite":
						if !d.Wire.Shut || d.Closed() {
							t.Errorf("shut %v, closed %v", d.Wire.Shut, d.Closed())
						}
					case "DrainLinger":
						if !d.Wire.Shut || d.Closed() {
							t.Errorf("shut %v, closed %v", d.Wire.Shut, d.Closed())
						}
						d.Wire.Arrive(conntest.Seal('x', nil), nil) // it is thrown away, and not opened
						d.Turn()
						d.WantClosed(conn.Local)
					}
				})
			}
		}
	}
}

// The peer takes nothing of what the transport holds: the write timeout sees it although the queue
// is empty.
func TestLayeredStall(t *testing.T) {
	d := conntest.New(t, nil, conntest.Options{Sealed: &conntest.Sealed{}, Limits: conn.Limits{Stall: time.Second}})
	d.Sleep(time.Minute)
	d.Room(0)
	d.Conn.Write([]byte("x"))
	d.Turn()
	d.WantEvents("Open", "conntest.Hello", "Accept", "Write 1")
	d.Sleep(900 * time.Millisecond)
	d.WantOpen()
	d.Sleep(300 * time.Millisecond)
	d.WantClosed(conn.Stalled)
}

// A Read may make the transport write: it is sent in the same turn, and its stall timer starts with
// it.
func TestLayeredAReadThatWrites(t *testing.T) {
	d := conntest.New(t, nil, conntest.Options{Sealed: &conntest.Sealed{}, Limits: conn.Limits{Stall: time.Second}})
	d.Sleep(time.Minute)
	d.Sent()
	d.Wire.Arrive(conntest.Seal('k', nil), nil)
	d.Turn()
	if got := string(d.Wire.Sent); got != string(conntest.Seal('k', nil)) {
		t.Errorf("sent %q", got)
	}
	d.Sleep(time.Minute)
	d.Room(0)
	d.Wire.Arrive(conntest.Seal('k', nil), nil)
	d.Turn()
	if got := d.Turn(); got != conn.In|conn.Out {
		t.Errorf("watched for %d", got)
	}
	d.Sleep(500 * time.Millisecond)
	d.WantOpen()
	d.Sleep(time.Second)
	d.WantClosed(conn.Stalled)
}

// Somebody else has closed the descriptor: the transport is released, and the descriptor is left
// alone.
func TestLayeredLostDescriptor(t *testing.T) {
	s := &conntest.Sealed{}
	d := conntest.New(t, nil, conntest.Options{Sealed: s})
	d.Fail(unix.EBADF)
	if !d.Closed() || s.Closed != 1 || d.Wire.Closed != 0 {
		t.Errorf("closed %v, transport closed %d times, descriptor %d times", d.Closed(), s.Closed, d.Wire.Closed)
	}
}

func TestLayeredHalfClose(t *testing.T) {
	d := conntest.New(t, echo, conntest.Options{Sealed: &conntest.Sealed{}})
	d.Conn.SetHalfOpen(true)
	d.Wire.Arrive(conntest.Seal('e', nil), nil)
	d.Turn()
	d.WantEvents("Open", "conntest.Hello", "Accept", "EOF")
	d.Conn.Write([]byte("after"))
	d.Turn()
	d.WantSent("after")
	d.Conn.Drain()
	d.Turn()
	d.WantClosed(conn.PeerClosed)
}

// A handshake of several steps, each of which the transport answers.
func TestLayeredHandshakeInRounds(t *testing.T) {
	d := conntest.New(t, nil, conntest.Options{Sealed: &conntest.Sealed{Silent: true, Rounds: 3}})
	for i := range 3 {
		d.WantEvents([][]string{{"Open"}, {}, {}}[i]...)
		d.Wire.Arrive(conntest.Seal('h', nil), nil)
		d.Turn()
		if got := len(d.Wire.Sent); got != 3*(i+1) {
			t.Errorf("%d bytes sent after round %d", got, i+1)
		}
	}
	d.WantEvents("conntest.Hello", "Accept")
}

// No way to write at once reaches the transport before its handshake is over.
func TestLayeredNothingIsWrittenBeforeTheHandshake(t *testing.T) {
	long := strings.Repeat("x", 20<<10)
	d := conntest.New(t, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Open); ok {
			c.WriteThrough([]byte(long))
			c.WriteBroadcast([]byte("a"))
			c.WriteBroadcast([]byte("b"))
		}
	}, conntest.Options{Sealed: &conntest.Sealed{Silent: true}, Limits: conn.Limits{Backlog: conn.Backlog{Bytes: 1}}})
	d.WantSent("")
	d.Wire.Arrive(conntest.Seal('h', nil), nil)
	d.Turn()
	if sent := d.Sent(); !strings.HasPrefix(sent, long) {
		t.Errorf("sent %d bytes", len(sent))
	}
}

// The output that the transport holds counts for the high-water mark.
func TestLayeredCongestionCountsCiphertext(t *testing.T) {
	d := conntest.New(t, nil, conntest.Options{Sealed: &conntest.Sealed{Record: 8}, Limits: conn.Limits{HighWater: 20}})
	d.Room(0)
	d.Conn.Write([]byte("12345678"))
	d.Turn()
	if d.Conn.Pending() != 11 || d.Conn.Layer().Congested() {
		t.Fatalf("%d pending, congested %v", d.Conn.Pending(), d.Conn.Layer().Congested())
	}
	d.Conn.Write([]byte("123456789"))
	if d.Conn.Pending() != 20 || !d.Conn.Layer().Congested() {
		t.Errorf("%d pending, congested %v", d.Conn.Pending(), d.Conn.Layer().Congested())
	}
}
