package main

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

var suiteMessages = flag.Int("suite.messages", 20, "messages of each case with compression; the Autobahn suite sends 1000")

const deflated = 0x40 // of the first byte

// A deflateCase is one of sections 12 and 13: what is offered by a client, and what is answered by
// a server.
type deflateCase struct {
	offer, answer string
	size, frag    int // bytes of the messages, and of the fragments that they are sent in; 0 is one frame
}

func (tc deflateCase) String() string {
	return fmt.Sprintf("12, 13 %q %q, %d by %d", tc.offer, tc.answer, tc.size, tc.frag)
}

func deflateCases() (list []deflateCase) {
	const x = "permessage-deflate"
	const server, client = "; server_no_context_takeover", "; client_no_context_takeover"
	for _, tc := range []deflateCase{
		{offer: x, answer: x + server},
		{offer: x + "; client_max_window_bits", answer: x + server + client},
		{offer: x + server + client, answer: x + server + client},
		{offer: x + server, answer: x + server + "; client_max_window_bits=9"},
		{offer: x + client, answer: x + server + "; client_max_window_bits=8"},
		{offer: x + "; server_max_window_bits=9", answer: x + server + "; server_max_window_bits=9"},
		{offer: x + "; server_max_window_bits=15", answer: x + server + "; server_max_window_bits=15"},
		{offer: x + server + "; server_max_window_bits=8", answer: x + server + "; server_max_window_bits=8; client_max_window_bits=15"},
		{offer: x + "; server_max_window_bits=15; client_max_window_bits=9" + server, answer: x + server + "; client_max_window_bits=12" + client},
		{offer: x + server + "; server_max_window_bits=9, " + x + server + ", " + x, answer: "\t" + x + " ;" + server[1:]},
	} {
		for _, size := range []int{16, 64, 256, 1 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10} {
			tc.size, tc.frag = size, 0
			list = append(list, tc)
		}
		for _, frag := range []int{256, 1 << 10, 4 << 10, 32 << 10} {
			tc.size, tc.frag = 128<<10, frag
			list = append(list, tc)
		}
	}
	return list
}

// codec is the suite's end of permessage-deflate.
type codec struct {
	outKeeps, inKeeps bool // takeover for what it sends, and what it receives
	w                 *flate.Writer
	out               bytes.Buffer
	r                 io.ReadCloser
	window            []byte // the end of what was inflated
}

// newCodec reads what was agreed on out of the server's answer.
func newCodec(answer string, server bool) *codec {
	z := &codec{r: flate.NewReader(nil)}
	z.outKeeps, z.inKeeps = !strings.Contains(answer, "client_no_context_takeover"), !strings.Contains(answer, "server_no_context_takeover")
	mine := "client_max_window_bits="
	if server {
		z.outKeeps, z.inKeeps = z.inKeeps, z.outKeeps
		mine = "server_max_window_bits="
	}
	z.w, _ = flate.NewWriter(&z.out, 6)
	if _, bits, ok := strings.Cut(answer, mine); ok {
		n := 0
		fmt.Sscan(strings.Trim(strings.Split(bits, ";")[0], " "), &n)
		z.w, _ = flate.NewWriterWindow(&z.out, 1<<n)
	}
	return z
}

const tail = "\x00\x00\xff\xff"

func (z *codec) deflate(p string) string {
	z.out.Reset()
	if !z.outKeeps {
		z.w.Reset(&z.out)
	}
	io.WriteString(z.w, p)
	z.w.Flush()
	return strings.TrimSuffix(z.out.String(), tail)
}

func (z *codec) inflate(p string) (string, error) {
	in := strings.NewReader(p + tail + "\x01\x00\x00\xff\xff")
	z.r.(flate.Resetter).Reset(in, z.window)
	out, err := io.ReadAll(z.r)
	if z.inKeeps {
		z.window = append(z.window, out...)
		z.window = append(z.window[:0], z.window[max(0, len(z.window)-1<<15):]...)
	}
	return string(out), err
}

// deflated plays a case: messages, each of which has to come back, and the closing handshake.
func (s *side) deflated(tc deflateCase, z *codec) error {
	s.SetDeadline(time.Now().Add(120 * time.Second))
	var json []byte
	for i := 0; len(json) < tc.size+1000; i++ {
		json = fmt.Appendf(json, `{"id":%d,"name":"κόσμε %d","value":%d.%02d,"ok":true},`, i*37, i%7, i*i%101, i*31%100)
	}
	count := *suiteMessages
	if !exhaustive.On() {
		count = 3
	}
	for i := range count {
		p := strings.ToValidUTF8(string(json[i*7%1000:][:tc.size]), "?")
		first := byte(text + i%2) // text and binary in turn
		frames := []frame{{first | deflated, z.deflate(p)}}
		if tc.frag > 0 {
			frames = pieces(first|deflated, frames[0].payload, tc.frag)
		}
		var b []byte
		for k, f := range frames {
			if b = s.wire(b, f); k == 0 && len(frames) > 1 {
				b = s.wire(b, frame{ping, "between"})
			}
		}
		sent := make(chan error, 1)
		go func() { _, err := s.Write(b); sent <- err }()
		got, err := s.read()
		if err == nil && len(frames) > 1 && got == (frame{pong, "between"}) {
			got, err = s.read()
		}
		if err != nil || got.first&^deflated != first {
			return fmt.Errorf("message %d: %#x, %v", i, got.first, err)
		}
		if got.first&deflated != 0 {
			if got.payload, err = z.inflate(got.payload); err != nil {
				return fmt.Errorf("message %d: %w", i, err)
			}
		} else if tc.size >= 1<<10 {
			return fmt.Errorf("message %d was not compressed", i)
		}
		if got.payload != p {
			return fmt.Errorf("message %d: %d bytes came back, not the same", i, len(got.payload))
		}
		if err := <-sent; err != nil {
			return err
		}
	}
	return s.run(suiteCase{code: 1000})
}

// dial opens a WebSocket to the program, and returns what it answered to the offer.
func dialSide(addr, offer string) (*side, string, error) {
	c, err := connect(addr)
	if err != nil {
		return nil, "", err
	}
	if offer != "" {
		offer = "Sec-WebSocket-Extensions: " + offer + "\r\n"
	}
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", addr, offer)
	r := bufio.NewReaderSize(c, 64<<10)
	reply, err := http.ReadResponse(r, nil)
	if err == nil && reply.StatusCode != 101 {
		err = fmt.Errorf("answered %s", reply.Status)
	}
	if err != nil {
		c.Close()
		return nil, "", err
	}
	return &side{Conn: c, r: r, masked: true}, reply.Header.Get("Sec-Websocket-Extensions"), nil
}

// The program as a server, with takeover and without.
func TestSuiteAgainstTheServer(t *testing.T) {
	for _, args := range [][]string{{"-poller", "epoll"}, {"-poller", "select", "-takeover"}} {
		for _, cert := range [][]string{nil, certificate(t)} {
			t.Run(strings.Join(args, " ")+strings.Repeat(" with TLS", len(cert)/4), func(t *testing.T) {
				p := start(t, append(cert, args...)...)
				failed := 0
				play := func(name, offer string, run func(s *side, answer string) error) {
					if failed == most {
						return
					}
					s, answer, err := dialSide(p.Addr, offer)
					if err == nil {
						err = run(s, answer)
						s.Close()
					}
					if err != nil {
						failed++
						t.Errorf("%s: %v", name, err)
					}
				}
				for _, tc := range suiteCases() {
					play(tc.name, "", func(s *side, _ string) error { return s.run(tc) })
				}
				for _, tc := range deflateCases() {
					play(tc.String(), tc.offer, func(s *side, answer string) error {
						if !strings.HasPrefix(answer, "permessage-deflate") {
							return fmt.Errorf("answered %q", answer)
						}
						return s.deflated(tc, newCodec(answer, false))
					})
				}
			})
		}
	}
}

// most is how many cases may fail before a run is given up: those that wait for what does not come
// take a minute.
const most = 5

// suiteServer is a fuzzing server that runs the suite.
type suiteServer struct {
	plain    []suiteCase
	deflated []deflateCase

	mu   sync.Mutex
	ran  []int
	errs []error
}

func (f *suiteServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := 0
	fmt.Sscan(r.URL.Query().Get("case"), &n)
	answer := ""
	if n > len(f.plain) {
		answer = "Sec-WebSocket-Extensions: " + f.deflated[n-1-len(f.plain)].answer + "\r\n"
	}
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	c, b, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
		base64.StdEncoding.EncodeToString(sum[:]), answer)
	s := &side{Conn: c, r: b.Reader}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case r.URL.Path == "/getCaseCount":
		s.Write(s.wire(s.wire(nil, frame{text, fmt.Sprint(len(f.plain) + len(f.deflated))}), frame{closed, status(1000, "")}))
		_, err = s.read()
	case r.URL.Path == "/updateReports":
		s.Write(s.wire(nil, frame{closed, status(1000, "")}))
		_, err = s.read()
	case len(f.errs) == most:
	case n <= len(f.plain):
		if err = s.run(f.plain[n-1]); err != nil {
			err = fmt.Errorf("%s: %w", f.plain[n-1].name, err)
		}
	default:
		tc := f.deflated[n-1-len(f.plain)]
		if err = s.deflated(tc, newCodec(tc.answer, true)); err != nil {
			err = fmt.Errorf("%s: %w", tc, err)
		}
	}
	if n > 0 {
		f.ran = append(f.ran, n)
	}
	if err != nil {
		f.errs = append(f.errs, err)
	}
}

// The program as a client.
func TestSuiteAgainstTheClient(t *testing.T) {
	for _, args := range [][]string{{"-poller", "epoll"}, {"-poller", "select", "-takeover"}, {"-poller", "epoll", "-insecure"}, {"-poller", "select", "-insecure"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			f := &suiteServer{plain: suiteCases(), deflated: deflateCases()}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := &http.Server{Handler: f}
			url := "ws://" + l.Addr().String()
			if slices.Contains(args, "-insecure") {
				files := certificate(t)
				s.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // no HTTP/2
				go s.ServeTLS(l, files[1], files[3])
				url = "wss://" + l.Addr().String()
			} else {
				go s.Serve(l)
			}
			defer s.Close()
			out, err := programtest.Run(t, append(args, "-client", url)...)
			f.mu.Lock()
			defer f.mu.Unlock()
			n := len(f.plain) + len(f.deflated)
			if err != nil || out != fmt.Sprintf("%d cases have run\n", n) || len(f.ran) != n || !slices.IsSorted(f.ran) {
				t.Errorf("%d cases of %d ran, ended with %v: %s", len(f.ran), n, err, out)
			}
			for _, err := range f.errs {
				t.Error(err)
			}
		})
	}
}
