package tlsconn

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// The cases of BoringSSL's runner (BoGo) that concern who cuts a stream into records and feeds them
// one by one. Which test has which of them stands in docs/bogo.md.

// A mangler is a pipe that changes the records that the peer writes.
type mangler struct {
	*pipe
	change func(records [][]byte) [][]byte
}

func (m *mangler) Write(b []byte) (int, error) {
	var records [][]byte
	for rest := b; len(rest) > 0; {
		n, err := recordLen(rest)
		if err != nil || n > len(rest) {
			panic("crypto/tls writes what is no record")
		}
		records, rest = append(records, rest[:n]), rest[n:]
	}
	for _, rec := range m.change(records) {
		if _, err := m.pipe.Write(rec); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// The plain handshake messages of a flight in records of n bytes, or, with n 0, all in one record.
func repacked(records [][]byte, n int) (out [][]byte) {
	for i := 0; i < len(records); i++ {
		if records[i][0] != typeHandshake {
			return append(out, records[i:]...) // what follows ChangeCipherSpec is encrypted
		}
		if n > 0 {
			out = append(out, inRecords(records[i], n))
			continue
		}
		message := records[i][headerLen:]
		for ; i+1 < len(records) && records[i+1][0] == typeHandshake; i++ {
			message = append(message[:len(message):len(message)], records[i+1][headerLen:]...)
		}
		out = append(out, inRecords(append(bytes.Clone(records[i][:headerLen]), message...), maxPlaintext))
	}
	return out
}

// SplitHandshakeRecords and PackHandshake, of the runner's state machine tests: the messages of the
// peer come in records of other sizes than those of crypto/tls.
func TestRepackedFlights(t *testing.T) {
	for _, n := range []int{0, 1, 2, 100} {
		for _, version := range versions {
			for _, cut := range []int{0, 1} {
				t.Run(fmt.Sprintf("%s, records of %d, cut %d", tls.VersionName(version), n, cut), func(t *testing.T) {
					change := func(records [][]byte) [][]byte { return records }
					mangle := func(records [][]byte) [][]byte { return change(records) }
					want := func(r *rig) {
						t.Helper()
						r.pipe.cut = cut
						change = func(records [][]byte) [][]byte { return repacked(records, n) }
						r.shake()
						change = func(records [][]byte) [][]byte { return records }
						r.say("hello")
						if got := r.heard(); got != "hello" {
							t.Errorf("heard %q", got)
						}
					}
					// With a certificate of its own the client's second flight has three plain
					// messages.
					mine, err := tls.LoadX509KeyPair(pairFiles().Cert, pairFiles().Key)
					if err != nil {
						t.Fatal(err)
					}
					s := newServer(t, func(c *Config) { c.ClientAuth = tls.RequireAnyClientCert })
					r := newRig(t, s, echo, nil)
					config := withRoots(t, &tls.Config{MinVersion: version, MaxVersion: version, Certificates: []tls.Certificate{mine}})
					r.peer = tls.Client(&mangler{r.pipe, mangle}, config)
					want(r)

					server := &tls.Config{MinVersion: version, MaxVersion: version, Certificates: []tls.Certificate{mine}}
					k := dialRig(t, newClient(t, ClientConfig{Roots: roots(t)}), echo, "a.test", server)
					k.peer = tls.Server(&mangler{k.pipe, mangle}, server)
					want(k.rig)
				})
			}
		}
	}
}

// A server refuses a second flight of TLS 1.2 that has been tampered with: ClientKeyExchange,
// ChangeCipherSpec, Finished.
func TestSecondFlights(t *testing.T) {
	warning, data := []byte("\x15\x03\x03\x00\x02\x01\x64"), []byte("\x17\x03\x03\x00\x05hello")
	const lives, noAlert = -1, -2
	for _, c := range []struct {
		name   string
		change func(key, spec, finished []byte) [][]byte
		want   int
	}{
		{"as it is", func(k, s, f []byte) [][]byte { return [][]byte{k, s, f} }, lives},
		{"without ChangeCipherSpec", func(k, s, f []byte) [][]byte { return [][]byte{k, f} }, 10},
		{"ChangeCipherSpec first", func(k, s, f []byte) [][]byte { return [][]byte{s, k, f} }, 10},
		{"ChangeCipherSpec twice", func(k, s, f []byte) [][]byte { return [][]byte{k, s, s, f} }, 20},
		{"ChangeCipherSpec of two bytes", func(k, s, f []byte) [][]byte { return [][]byte{k, []byte("\x14\x03\x03\x00\x02\x01\x01"), f} }, 50},
		{"ChangeCipherSpec of another value", func(k, s, f []byte) [][]byte { return [][]byte{k, []byte("\x14\x03\x03\x00\x01\x02"), f} }, 50},
		{"ChangeCipherSpec of nothing", func(k, s, f []byte) [][]byte { return [][]byte{k, []byte("\x14\x03\x03\x00\x00"), f} }, 50},
		{"ChangeCipherSpec within a message", func(k, s, f []byte) [][]byte {
			parts := inRecords(k, 20)
			n, _ := recordLen(parts)
			return [][]byte{parts[:n], s, parts[n:], f}
		}, 10},
		{"a warning", func(k, s, f []byte) [][]byte { return [][]byte{warning, k, s, f} }, lives},
		{"17 warnings", func(k, s, f []byte) [][]byte {
			return append(repeated(warning, 17), k, s, f)
		}, 10},
		{"a fatal alert", func(k, s, f []byte) [][]byte { return [][]byte{[]byte("\x15\x03\x03\x00\x02\x02\x28"), k, s, f} }, noAlert},
		{"an alert of a byte", func(k, s, f []byte) [][]byte { return [][]byte{[]byte("\x15\x03\x03\x00\x01\x01"), k, s, f} }, 10},
		{"data before the keys", func(k, s, f []byte) [][]byte { return [][]byte{data, k, s, f} }, 10},
		{"data that is not encrypted", func(k, s, f []byte) [][]byte { return [][]byte{k, s, data, f} }, 20},
		{"an empty handshake record", func(k, s, f []byte) [][]byte { return [][]byte{[]byte("\x16\x03\x03\x00\x00"), k, s, f} }, 10},
		{"an empty record of data", func(k, s, f []byte) [][]byte { return [][]byte{[]byte("\x17\x03\x03\x00\x00"), k, s, f} }, 10},
		{"Finished twice", func(k, s, f []byte) [][]byte { return [][]byte{k, s, f, f} }, 20},
		{"Finished cut short", func(k, s, f []byte) [][]byte {
			short := append([]byte("\x16\x03\x03\x00\x08"), f[headerLen:headerLen+8]...)
			return [][]byte{k, s, short}
		}, 20},
		{"records of another version", func(k, s, f []byte) [][]byte {
			k[2] = 1
			return [][]byte{k, s, f}
		}, 70},
		{"a byte behind the message", func(k, s, f []byte) [][]byte {
			k = append(bytes.Clone(k), 0)
			k[4]++
			return [][]byte{k, s, f}
		}, 10},
		{"a message of another type", func(k, s, f []byte) [][]byte {
			k[headerLen] = 14
			return [][]byte{k, s, f}
		}, 50},
		{"a message of 16 MB", func(k, s, f []byte) [][]byte {
			copy(k[headerLen+1:], "\xff\xff\xff")
			return [][]byte{k, s, f}
		}, 80},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, cut := range []int{0, 1, 7} {
				s := newServer(t, nil)
				r := newRig(t, s, echo, nil)
				r.pipe.cut = cut
				m := &mangler{pipe: r.pipe}
				m.change = func(records [][]byte) [][]byte {
					if len(records) != 3 {
						return records // the ClientHello, or data
					}
					r.Turn()
					r.pipe.d.Wire.Sent = r.pipe.d.Wire.Sent[:0] // the server's first flight, which has been read
					return c.change(records[0], records[1], records[2])
				}
				r.peer = tls.Client(m, withRoots(t, &tls.Config{MaxVersion: tls.VersionTLS12}))
				if c.want == noAlert {
					r.pipe.fin = errEmpty
				}
				err := r.peer.Handshake()
				if c.want == lives {
					r.say("hello")
					if got := r.heard(); err != nil || got != "hello" {
						t.Errorf("cut %d: heard %q, %v", cut, got, err)
					}
					continue
				}
				if err == nil {
					_, err = r.read()
				}
				want := errEmpty.Error()
				if c.want >= 0 {
					want = "remote error: " + tls.AlertError(c.want).Error()
				}
				if err == nil || !strings.HasSuffix(err.Error(), want) {
					t.Errorf("cut %d: %v, want %s", cut, err, want)
				}
				r.Sleep(2 * time.Second)
				r.WantClosed(conn.TLSFailed)
			}
		})
	}
}

func repeated(rec []byte, n int) (out [][]byte) {
	for range n {
		out = append(out, rec)
	}
	return out
}
