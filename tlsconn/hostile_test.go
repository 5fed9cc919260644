package tlsconn

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/evil"
)

// Records that no library makes, as BoringSSL's runner has them: what comes first, and what comes
// after the handshake.

// A captured keeps what a client writes, and gives it nothing.
type captured struct {
	net.Conn
	b []byte
}

func (c *captured) Write(b []byte) (int, error)      { c.b = append(c.b, b...); return len(b), nil }
func (c *captured) Read([]byte) (int, error)         { return 0, errors.New("nothing comes") }
func (c *captured) SetDeadline(time.Time) error      { return nil }
func (c *captured) SetWriteDeadline(time.Time) error { return nil }
func (c *captured) Close() error                     { return nil }

// helloRecord returns the ClientHello of crypto/tls, as one record.
func helloRecord() []byte {
	c := &captured{}
	tls.Client(c, &tls.Config{ServerName: "a.test", InsecureSkipVerify: true}).Handshake()
	return c.b
}

// withExtension adds an extension at the end of a ClientHello.
func withExtension(hello []byte, kind uint16, data string) []byte {
	b := bytes.Clone(hello)
	at := 5 + 4 + 2 + 32
	at += 1 + int(b[at])
	at += 2 + int(binary.BigEndian.Uint16(b[at:]))
	at += 1 + int(b[at]) // here is the length of all extensions
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	b = append(b, data...)
	more := 4 + len(data)
	for _, at := range []int{3, 7, at} { // of the record, the message, the extensions
		binary.BigEndian.PutUint16(b[at:], binary.BigEndian.Uint16(b[at:])+uint16(more))
	}
	return b
}

// inRecords cuts the message of a record into records of at most n bytes.
func inRecords(rec []byte, n int) (out []byte) {
	for b := rec[headerLen:]; len(b) > 0; {
		k := min(n, len(b))
		out = append(out, typeHandshake, rec[1], rec[2], byte(k>>8), byte(k))
		out, b = append(out, b[:k]...), b[k:]
	}
	return out
}

// withoutShares has the shares of a ClientHello be for groups that do not exist, so that the server
// has to ask for another.
func withoutShares(hello []byte) []byte {
	b := bytes.Clone(hello)
	at := bytes.Index(b, []byte("\x00\x1d\x00\x20")) // X25519, 32 bytes: the last of key_share
	b[at], b[at+1] = 0x6a, 0x6a
	if at = bytes.Index(b, []byte("\x11\xec\x04\xc0")); at > 0 { // X25519MLKEM768
		b[at], b[at+1] = 0x7a, 0x7a
	}
	return b
}

const changeCipherSpec = "\x14\x03\x03\x00\x01\x01"

// What a server answers to a client's first records: its own flight, or an alert.
func TestFirstFlights(t *testing.T) {
	hello := helloRecord()
	change := func(at int, to ...byte) []byte {
		b := bytes.Clone(hello)
		copy(b[at:], to)
		return b
	}
	const goesOn, asksAgain = -1, -3
	for _, c := range []struct {
		name  string
		wire  []byte
		alert int
	}{
		{"a ClientHello", hello, goesOn},
		{"a ClientHello in two records", inRecords(hello, 200), goesOn},
		{"a ClientHello in records of a byte", inRecords(hello, 1), goesOn},
		{"record version 3.0", change(1, 3, 0), goesOn},
		{"record version 3.3", change(1, 3, 3), goesOn},
		{"record version 3.255", change(1, 3, 255), goesOn}, // RFC 8446 §5.1: it must be ignored
		{"record version 2.0", change(1, 2, 0), alertProtocolVersion},
		{"ChangeCipherSpec behind it", append(bytes.Clone(hello), changeCipherSpec...), goesOn},
		{"ChangeCipherSpec before it", append([]byte(changeCipherSpec), hello...), alertProtocolVersion},
		{"an alert behind it", append(bytes.Clone(hello), "\x15\x03\x03\x00\x02\x02\x28"...), goesOn}, // the peer has given up
		{"data behind it", append(bytes.Clone(hello), "\x17\x03\x03\x00\x20"+strings.Repeat("d", 32)...), goesOn},
		{"early data that was not allowed", append(withExtension(hello, 42, ""), "\x17\x03\x03\x00\x20"+strings.Repeat("d", 32)...), 110},
		{"an extension that nobody knows", withExtension(hello, 0x5a5a, "grease"), goesOn},
		{"an extension twice", withExtension(withExtension(hello, 0x5a5a, ""), 0x5a5a, ""), 50},
		{"a length of extensions that is too large", change(len(hello)-1, 0xff)[:len(hello)], goesOn},
		{"a session ID of 33 bytes", change(5+4+2+32, 33), 50},
		{"no version that is spoken", change(5+4, 3, 1), goesOn}, // supported_versions counts
		{"a message type that does not come first", change(5, 11), alertProtocolVersion},
		{"a message longer than 16 MB", change(5, 1, 0xff, 0xff, 0xff), 80},
		{"a group that nobody has a share for", withoutShares(hello), asksAgain},
		{"two of them in a record", inRecords(append(bytes.Clone(hello), hello[headerLen:]...), maxPlaintext), goesOn},
		{"two of them", append(bytes.Clone(hello), hello...), goesOn},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, cut := range []int{0, 1, 7} {
				s := newServer(t, nil)
				r := newRig(t, s, nil, nil)
				r.pipe.cut = cut
				r.pipe.arrive(c.wire)
				r.Turn()
				sent := r.Sent()
				alert := goesOn
				switch {
				case strings.HasPrefix(sent, "\x16\x03\x03") && strings.Contains(sent, "\xcf\x21\xad\x74"): // RFC 8446 §4.1.3
					alert = asksAgain
				case strings.HasPrefix(sent, "\x16\x03\x03"):
				case len(sent) == 7 && sent[0] == typeAlert:
					alert = int(sent[6])
				default:
					alert = -2
				}
				if alert != c.alert {
					t.Errorf("cut %d: %d, %.40q; %q", cut, alert, sent, r.Events())
				}
				r.Sleep(30 * time.Second)
				if !r.Closed() || s.Stats().Failed+s.Stats().Unfinished != 1 {
					t.Errorf("cut %d: it lives: %+v", cut, s.Stats())
				}
			}
		})
	}
}

// An afterHandshake is what comes in records after a handshake of TLS 1.3.
type afterHandshake struct {
	name string
	wire func(e *evilRig) []byte
	want string // the alert
}

const lives, noAlert = "", "no alert"

// play has it come between two times "abc".
func (c *afterHandshake) play(t *testing.T, e *evilRig, cut int, want string) {
	t.Helper()
	e.pipe.cut = cut
	e.pipe.arrive(e.Seal(evil.Data, "abc", 0))
	e.pipe.arrive(c.wire(e))
	e.Turn()
	if want == lives {
		e.pipe.arrive(e.Seal(evil.Data, "abc", 0))
		e.Turn()
		if got := e.heard(); got != "abcabc" {
			t.Errorf("cut %d: heard %q", cut, got)
		}
		e.WantOpen()
		return
	}
	e.pipe.fin = errEmpty // a FIN alone
	got, err := e.read()
	wantErr := "remote error: tls: " + want
	if want == noAlert {
		wantErr = errEmpty.Error()
	}
	if got != "abc" || fmt.Sprint(err) != wantErr {
		t.Errorf("cut %d: heard %q, %v, want %s", cut, got, err, wantErr)
	}
	e.Sleep(2 * time.Second)
	e.WantClosed(conn.TLSFailed)
}

// Server and client handle records after the handshake.
func TestRecordsAfterTheHandshake(t *testing.T) {
	message := func(kind byte, body string) string { return string([]byte{kind, 0, 0, byte(len(body))}) + body }
	for _, c := range []afterHandshake{
		{"nothing", func(e *evilRig) []byte { return nil }, lives},
		{"padding", func(e *evilRig) []byte { return e.Seal(evil.Data, "", 1000) }, lives},
		{"KeyUpdate", func(e *evilRig) []byte { return e.KeyUpdate(false) }, lives},
		{"KeyUpdate that asks", func(e *evilRig) []byte { return e.KeyUpdate(true) }, lives},
		{"KeyUpdate in two records", func(e *evilRig) []byte {
			b := append(e.Seal(evil.Handshake, "\x18\x00", 0), e.Seal(evil.Handshake, "\x00\x01\x00", 0)...)
			e.Rekey()
			return b
		}, lives},
		{"KeyUpdate of 2", func(e *evilRig) []byte { return e.Seal(evil.Handshake, message(24, "\x02"), 0) }, "error decoding message"},
		{"KeyUpdate of two bytes", func(e *evilRig) []byte { return e.Seal(evil.Handshake, message(24, "\x00\x00"), 0) }, "error decoding message"},
		{"two KeyUpdates in a record", func(e *evilRig) []byte {
			return e.Seal(evil.Handshake, message(24, "\x00")+message(24, "\x00"), 0)
		}, "unexpected message"},
		{"a ClientHello", func(e *evilRig) []byte { return e.Seal(evil.Handshake, string(helloRecord()[headerLen:]), 0) }, "unexpected message"},
		{"a HelloRequest", func(e *evilRig) []byte { return e.Seal(evil.Handshake, message(0, ""), 0) }, "unexpected message"},
		{"a session ticket", func(e *evilRig) []byte {
			return e.Seal(evil.Handshake, message(4, "\x00\x00\x00\x09\x00\x00\x00\x00\x01n\x00\x01t\x00\x00"), 0)
		}, "unexpected message"},
		{"EndOfEarlyData", func(e *evilRig) []byte { return e.Seal(evil.Handshake, message(5, ""), 0) }, "unexpected message"},
		{"a Finished", func(e *evilRig) []byte { return e.Seal(evil.Handshake, message(20, strings.Repeat("f", 32)), 0) }, "unexpected message"},
		{"an unknown message", func(e *evilRig) []byte { return e.Seal(evil.Handshake, message(99, ""), 0) }, "unexpected message"},
		{"an empty handshake record", func(e *evilRig) []byte { return e.Seal(evil.Handshake, "", 0) }, "unexpected message"},
		{"data within a message", func(e *evilRig) []byte {
			return append(e.Seal(evil.Handshake, "\x18\x00", 0), e.Seal(evil.Data, "d", 0)...)
		}, "unexpected message"},
		{"an unknown type", func(e *evilRig) []byte { return e.Seal(99, "x", 0) }, "unexpected message"},
		// RFC 8446 §5 wants an alert here. crypto/tls ignores it, 16 times in a row.
		{"ChangeCipherSpec, encrypted", func(e *evilRig) []byte { return e.Seal(20, "\x01", 0) }, lives},
		{"ChangeCipherSpec, not encrypted", func(e *evilRig) []byte { return []byte(changeCipherSpec) }, lives},
		{"17 of them", func(e *evilRig) []byte { return bytes.Repeat([]byte(changeCipherSpec), 17) }, "unexpected message"},
		{"data, not encrypted", func(e *evilRig) []byte { return []byte("\x17\x03\x03\x00\x20" + strings.Repeat("d", 32)) }, "bad record MAC"},
		{"an alert, not encrypted", func(e *evilRig) []byte { return []byte("\x15\x03\x03\x00\x02\x01\x00") }, "bad record MAC"},
		{"a record of nothing", func(e *evilRig) []byte { return []byte("\x17\x03\x03\x00\x00") }, "bad record MAC"},
		{"a record of zeros alone", func(e *evilRig) []byte { return e.Seal(0, "", 10) }, "unexpected message"},
		{"a bit that was changed", func(e *evilRig) []byte {
			b := e.Seal(evil.Data, "data", 0)
			b[len(b)-1] ^= 1
			return b
		}, "bad record MAC"},
		{"a record twice", func(e *evilRig) []byte { return bytes.Repeat(e.Seal(evil.Data, "", 1), 2) }, "bad record MAC"},
		{"a record too large for its type", func(e *evilRig) []byte { return e.Seal(evil.Data, strings.Repeat("d", 1<<14+1), 0) }, "record overflow"},
		{"a record too large with padding", func(e *evilRig) []byte { return e.Seal(evil.Data, "d", 1<<14) }, "record overflow"},
		{"a record of another version", func(e *evilRig) []byte {
			b := e.Seal(evil.Data, "data", 0)
			b[1] = 2
			return b
		}, noAlert},
		{"a warning", func(e *evilRig) []byte { return e.Seal(evil.Alert, "\x01\x6e", 0) }, noAlert}, // all are fatal (RFC 8446 §6)
		{"an alert", func(e *evilRig) []byte { return e.Seal(evil.Alert, "\x02\x28", 0) }, noAlert},
		{"user_canceled", func(e *evilRig) []byte { return e.Seal(evil.Alert, "\x01\x5a", 0) }, lives},
		{"an alert of a byte", func(e *evilRig) []byte { return e.Seal(evil.Alert, "\x02", 0) }, "unexpected message"},
		{"an alert of three bytes", func(e *evilRig) []byte { return e.Seal(evil.Alert, "\x02\x28\x00", 0) }, "unexpected message"},
		{"two alerts in a record", func(e *evilRig) []byte { return e.Seal(evil.Alert, "\x01\x5a\x01\x5a", 0) }, "unexpected message"},
		{"an empty alert", func(e *evilRig) []byte { return e.Seal(evil.Alert, "", 0) }, "unexpected message"},
		{"a CertificateRequest", func(e *evilRig) []byte { return e.Seal(evil.Handshake, message(13, "\x00\x00\x00"), 0) }, "unexpected message"},
		{"a ServerHello", func(e *evilRig) []byte { return e.Seal(evil.Handshake, message(2, strings.Repeat("s", 80)), 0) }, "error decoding message"},
		{"an alert of another level", func(e *evilRig) []byte { return e.Seal(evil.Alert, "\x03\x28", 0) }, noAlert},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, cut := range []int{0, 1, 11} {
				c.play(t, newEvil(t, newServer(t, nil), echo), cut, c.want)
			}
		})
		t.Run(c.name+", client", func(t *testing.T) {
			want := c.want
			if c.name == "a session ticket" {
				want = lives
			}
			for _, cut := range []int{0, 1, 11} {
				c.play(t, newEvilServer(t, newClient(t, ClientConfig{Roots: roots(t)}), echo), cut, want)
			}
		})
	}
}
