package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/internal/evil"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// tlsAttacks are those of TestCeilings that do not depend on what is in the messages, and those on
// TLS itself. A connection has 9 KB of crypto/tls's, and 27 after a large record.
var tlsAttacks = []attack{
	{"pings without reading", ceiling{20 << 20, 20}, ceiling{24 << 20, 20}, pingsUnread, nil},
	{"GETs without reading", ceiling{20 << 20, 30}, ceiling{24 << 20, 30}, getsUnread, nil},
	{"20 unread pipelines", ceiling{32 << 20, 20}, ceiling{40 << 20, 20}, pipelinesUnread, nil},
	{"stalled beside a broadcast", ceiling{24 << 20, 40}, ceiling{24 << 20, 40}, broadcastUnread, nil},
	{"slow heads", ceiling{28 << 20, 200}, ceiling{128 << 20, 200}, slowHeads, nil},
	{"records of a byte", ceiling{16 << 20, 1000}, ceiling{16 << 20, 1000}, tinyRecords, nil},
	{"KeyUpdates with data between", ceiling{16 << 20, 2000}, ceiling{16 << 20, 2000}, keyUpdates, nil},
	{"records without data", ceiling{16 << 20, 2000}, ceiling{16 << 20, 2000}, emptyRecords, nil},
	{"a message in fragments", ceiling{16 << 20, 2000}, ceiling{16 << 20, 2000}, fragments, nil},
	{"a handshake in fragments", ceiling{16 << 20, 100}, ceiling{48 << 20, 100}, helloInFragments, nil},
	{"handshakes that do not go on", ceiling{16 << 20, 4000}, ceiling{48 << 20, 4000}, unfinishedHandshakes, nil},
}

// What costs little without TLS costs little with it, and so do floods of TLS itself.
func TestCeilingsWithTLS(t *testing.T) {
	for i, a := range tlsAttacks {
		for k, poller := range []string{"epoll", "select"} {
			if !exhaustive.On() && i%2 != k {
				continue
			}
			t.Run(a.name+"/"+poller, func(t *testing.T) {
				t.Parallel()
				a.measure(t, start(t, append(certificate(t), "-poller", poller)...))
			})
		}
	}
}

// tinyRecords sends requests as one record for each byte, all replies to which come.
func tinyRecords(t *testing.T, p *programtest.Program) (moved int) {
	const request = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n"
	body := strings.Repeat("b", 2000)
	n := size(4, 40)
	each(t, n, func(i int) error {
		c, err := connect(p.Addr)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(100 * time.Second))
		all := request + body + strings.Replace(request, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1) + body
		for i := range len(all) {
			if _, err := io.WriteString(c, all[i:i+1]); err != nil {
				return err
			}
		}
		b, err := io.ReadAll(c)
		if strings.Count(string(b), body) != 2 {
			return fmt.Errorf("%d bytes, %v", len(b), err)
		}
		return err
	})
	return n * 24 * 2 * (len(request) + len(body))
}

// attackers has n clients do their handshakes and then send what next makes, until the program has
// had enough of each. Each may send at most so many records.
func attackers(t *testing.T, p *programtest.Program, n, most int, next func(e *evil.Peer, i int) []byte) (moved int) {
	sent := make([]int, n)
	each(t, n, func(k int) error {
		raw, err := net.Dial("tcp", p.Addr)
		if err != nil {
			return err
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(100 * time.Second))
		var keys bytes.Buffer
		c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, KeyLogWriter: &keys})
		if err := c.Handshake(); err != nil {
			return err
		}
		e, err := evil.NewClient(c.ConnectionState().CipherSuite, keys.String())
		if err != nil {
			t.Skip(err) // without AES in the processor crypto/tls prefers ChaCha20
		}
		ended := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, raw) // the client's crypto/tls would not bear the replies
			ended <- err
		}()
		for i := 0; ; i++ {
			select {
			case <-ended:
				return nil
			default:
			}
			if i == most {
				raw.SetReadDeadline(time.Now().Add(5 * time.Second))
				if err := <-ended; errors.Is(err, os.ErrDeadlineExceeded) {
					return fmt.Errorf("%d records, and the connection lives", most)
				}
				return nil
			}
			b := next(e, i)
			if _, err := raw.Write(b); err != nil {
				continue
			}
			sent[k] += len(b)
		}
	})
	for _, n := range sent {
		moved += n + 3000
	}
	return moved
}

// keyUpdates asks for a KeyUpdate in reply to each, with a byte of data before crypto/tls loses its
// patience.
func keyUpdates(t *testing.T, p *programtest.Program) int {
	return attackers(t, p, size(10, 100), 3000, func(e *evil.Peer, i int) []byte {
		switch {
		case i == 0:
			return e.Seal(evil.Data, "GET /plaintext HTTP/1.1\r\nX: ", 0)
		case i%16 == 0:
			return e.Seal(evil.Data, "x", 0)
		}
		return e.KeyUpdate(true)
	})
}

func emptyRecords(t *testing.T, p *programtest.Program) int {
	return attackers(t, p, size(10, 100), 3000, func(e *evil.Peer, i int) []byte {
		return e.Seal(evil.Data, "", i%2*16_000) // with and without padding
	})
}

// fragments announces a message of 60 KB, and sends it byte by byte.
func fragments(t *testing.T, p *programtest.Program) int {
	return attackers(t, p, size(10, 100), 5000, func(e *evil.Peer, i int) []byte {
		if i == 0 {
			return e.Seal(evil.Handshake, "\x18\x00\xf0\x00", 0)
		}
		return e.Seal(evil.Handshake, "x", 0)
	})
}

// helloInFragments sends a ClientHello of nearly 64 KB in records of a byte.
func helloInFragments(t *testing.T, p *programtest.Program) int {
	n := size(50, 500)
	hello := "\x01\x00\xff\xf0\x03\x03" + strings.Repeat("r", 0xfff0-2)
	var wire []byte
	for i := range len(hello) {
		wire = append(wire, evil.Handshake, 3, 1, 0, 1, hello[i])
	}
	each(t, n, func(int) error {
		c, err := net.Dial("tcp", p.Addr)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(100 * time.Second))
		go c.Write(wire) // fails in the middle
		_, err = io.Copy(io.Discard, c)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errors.New("the program takes 390 KB of a handshake")
		}
		return nil
	})
	return n * 30_000
}

// unfinishedHandshakes leaves connections alone after the program's flight.
func unfinishedHandshakes(t *testing.T, p *programtest.Program) (moved int) {
	hello := make(chan []byte, 1)
	near, far := net.Pipe()
	go func() {
		b := make([]byte, 4096)
		n, _ := far.Read(b)
		hello <- b[:n]
		far.Close()
	}()
	tls.Client(near, &tls.Config{InsecureSkipVerify: true}).Handshake() // fails: all that is wanted is its first record
	first := <-hello
	conns := make([]net.Conn, size(100, 800))
	each(t, len(conns), func(i int) (err error) {
		if conns[i], err = net.Dial("tcp", p.Addr); err != nil {
			return err
		}
		conns[i].SetDeadline(time.Now().Add(60 * time.Second))
		if _, err = conns[i].Write(first); err == nil {
			_, err = io.ReadFull(conns[i], make([]byte, 100))
		}
		return err
	})
	served(t, p.Addr) // others get in
	for _, c := range conns {
		c.Close()
	}
	return len(conns) * 3000
}
