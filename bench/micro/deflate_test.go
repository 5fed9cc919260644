package micro

import (
	"bytes"
	stdflate "compress/flate"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// Libraries that permessage-deflate may be built on. Run it on a quiet machine; cpu-ns is the time
// of the processor, not of the clock:
//
//	go test -run DeflateMemory -v ./bench/micro; GOMAXPROCS=1 go test -run '^$' -bench 'Compress|Inflate' ./bench/micro
//
// The choice is klauspost/compress for what is sent, and an inflater of our own for what comes: see
// ARCHITECTURE.md.

const syncTail = "\x00\x00\xff\xff"

// telemetry returns n bytes of JSON such as dashboards get.
func telemetry(n, seed int) []byte {
	b := []byte(`{"type":"telemetry","items":[`)
	for i := seed; len(b) < n; i++ {
		b = fmt.Appendf(b, `{"id":%d,"name":"sensor-%d","value":%d.%02d,"ok":true,"unit":"kPa"},`, 1000+i*37, i%7, i*i%101, i*31%100)
	}
	return b[:n]
}

// messages returns 64 different messages of n bytes.
func messages(n int) (list [][]byte) {
	for i := range 64 {
		list = append(list, telemetry(n, i*13))
	}
	return list
}

// A writer is one of the libraries' compressors.
type writer interface {
	io.Writer
	Flush() error
	Reset(io.Writer)
}

// compress returns a function that compresses one message after the other, and its result.
type compress func() (message func(p []byte), out *bytes.Buffer)

// alone compresses each message for itself; chained lets it refer to all before, and costs each
// connection a writer.
func alone(w writer, _ error) (func(p []byte), *bytes.Buffer) {
	out := new(bytes.Buffer)
	return func(p []byte) { out.Reset(); w.Reset(out); w.Write(p); w.Flush() }, out
}

func chained(w writer, _ error) (func(p []byte), *bytes.Buffer) {
	out := new(bytes.Buffer)
	w.Reset(out)
	return func(p []byte) { out.Reset(); w.Write(p); w.Flush() }, out
}

// behind lets each message refer to the n bytes before it, which are all that a connection keeps.
func behind(n int) (func(p []byte), *bytes.Buffer) {
	out := new(bytes.Buffer)
	w, _ := flate.NewWriter(out, 1)
	var sent []byte
	return func(p []byte) {
		out.Reset()
		w.ResetDict(out, sent)
		w.Write(p)
		w.Flush()
		sent = append(sent, p...)
		sent = append(sent[:0], sent[max(0, len(sent)-n):]...)
	}, out
}

func std(level int) (*stdflate.Writer, error) { return stdflate.NewWriter(nil, level) }
func kp(level int) (*flate.Writer, error)     { return flate.NewWriter(nil, level) }
func window(n int) (*flate.Writer, error)     { return flate.NewWriterWindow(nil, n) }

var compressors = []struct {
	name string
	make compress
}{
	{"std level 1", func() (func([]byte), *bytes.Buffer) { return alone(std(1)) }},
	{"std level 6", func() (func([]byte), *bytes.Buffer) { return alone(std(6)) }},
	{"klauspost stateless", func() (func([]byte), *bytes.Buffer) {
		out := new(bytes.Buffer)
		return func(p []byte) { out.Reset(); flate.StatelessDeflate(out, p, false, nil) }, out
	}},
	{"klauspost level 1", func() (func([]byte), *bytes.Buffer) { return alone(kp(1)) }},
	{"klauspost level 6", func() (func([]byte), *bytes.Buffer) { return alone(kp(6)) }},
	{"klauspost window 4096", func() (func([]byte), *bytes.Buffer) { return alone(window(4096)) }},
	{"std level 1 takeover", func() (func([]byte), *bytes.Buffer) { return chained(std(1)) }},
	{"klauspost level 1 takeover", func() (func([]byte), *bytes.Buffer) { return chained(kp(1)) }},
	{"klauspost level 1 behind 4096", func() (func([]byte), *bytes.Buffer) { return behind(4096) }},
	{"klauspost level 1 behind 32768", func() (func([]byte), *bytes.Buffer) { return behind(32768) }},
}

func BenchmarkCompress(b *testing.B) {
	for _, n := range []int{1 << 10, 16 << 10} {
		list := messages(n)
		for _, c := range compressors {
			b.Run(fmt.Sprintf("%d/%s", n, c.name), func(b *testing.B) {
				message, out := c.make()
				total, count := 0, 0
				measure(b, func(i int) {
					message(list[i%len(list)])
					total += out.Len()
					count++
				})
				b.ReportMetric(float64(total)/float64(count)-float64(len(syncTail)), "out")
			})
		}
	}
}

// BenchmarkInflate gives what level 1 made to each reader; mangusta's figure is that of the whole
// way of a message, from the read to the handler.
func BenchmarkInflate(b *testing.B) {
	for _, n := range []int{1 << 10, 16 << 10} {
		message, out := alone(kp(1))
		var list [][]byte
		for _, p := range messages(n) {
			message(p)
			list = append(list, bytes.Clone(out.Bytes()))
		}
		before := telemetry(32<<10, 999)
		for _, how := range []struct {
			name   string
			r      io.Reader
			before []byte
		}{
			{"std", stdflate.NewReader(nil), nil}, {"std takeover", stdflate.NewReader(nil), before},
			{"klauspost", flate.NewReader(nil), nil}, {"klauspost takeover", flate.NewReader(nil), before},
		} {
			in, got := bytes.NewReader(nil), make([]byte, n)
			b.Run(fmt.Sprintf("%d/%s", n, how.name), func(b *testing.B) {
				measure(b, func(i int) {
					in.Reset(list[i%len(list)])
					how.r.(flate.Resetter).Reset(in, how.before)
					if _, err := io.ReadFull(how.r, got); err != nil {
						b.Fatal(err)
					}
				})
			})
		}
		for _, takeover := range []bool{false, true} {
			name := map[bool]string{false: "mangusta", true: "mangusta takeover"}[takeover]
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				s := newSocket(takeover)
				frame := make([]byte, 0, n)
				measure(b, func(i int) {
					frame = appendFrame(frame[:0], bytes.TrimSuffix(list[i%len(list)], []byte(syncTail)))
					s.receive(frame)
				})
				if s.last != n {
					b.Fatalf("the last message had %d bytes", s.last)
				}
			})
		}
	}
}

// appendFrame appends a client's frame of a compressed message; the key is 0.
func appendFrame(b, p []byte) []byte {
	b = append(b, 0xc1, 0x80|126, byte(len(p)>>8), byte(len(p)), 0, 0, 0, 0)
	return append(b, p...)
}

const handshake = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"

// socket is a WebSocket without a network, and its loop.
type socket struct {
	wire *conntest.Wire
	loop *conntest.Loop
	last int // bytes of the last message
}

func newSocket(takeover bool) *socket {
	s := &socket{wire: conntest.NewWire(), loop: conntest.NewLoop()}
	s.wire.Forget = true
	limits := conn.Limits{}.WithDefaults()
	opts := &websocket.Options{Compress: deflate.New(deflate.Options{ServerTakeover: takeover, ClientTakeover: takeover})}
	c := s.loop.Add(s.wire, &limits, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			websocket.Upgrade(c, ev, opts)
		case *websocket.Message:
			s.last = len(ev.Data)
		}
	})
	http.Attach(c, http.NewServer(http.Options{}))
	s.receive([]byte(handshake))
	return s
}

func (s *socket) receive(p []byte) {
	s.wire.Arrive(p, nil)
	if err := s.loop.Turn(); err != nil {
		panic(err)
	}
}

// TestDeflateMemory logs what each context holds after a message of 1 KB and one of 64 KB.
func TestDeflateMemory(t *testing.T) {
	heap := func() int {
		runtime.GC()
		runtime.GC() // what pools hold goes with the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	const n = 20
	small, large := telemetry(1<<10, 3), telemetry(64<<10, 3)
	for _, c := range compressors {
		var list [n]func([]byte)
		before := heap()
		for i := range list {
			list[i], _ = c.make()
			list[i](small)
			list[i](large)
		}
		t.Logf("%-32s %8d bytes", c.name, (heap()-before)/n)
		runtime.KeepAlive(&list)
	}
	message, out := alone(kp(1))
	message(small)
	for _, name := range []string{"std reader", "klauspost reader"} {
		var list [n]io.Reader
		before := heap()
		for i := range list {
			if list[i] = stdflate.NewReader(strings.NewReader(out.String())); name != "std reader" {
				list[i] = flate.NewReader(strings.NewReader(out.String()))
			}
			io.ReadFull(list[i], make([]byte, len(small)))
		}
		t.Logf("%-32s %8d bytes", name, (heap()-before)/n)
		runtime.KeepAlive(&list)
	}
}
