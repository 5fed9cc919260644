package main

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

const oldLine = "GET /plaintext HTTP/1.0\n"

// connectionProbes are about RFC 9112 9.3 and 9.6, and RFC 9110 7.6.1 and 7.8.
func connectionProbes() []probe {
	ps := []probe{
		{"HTTP/1.1 stays open", getLine + "\n", "200", []string{"!Connection"}},
		{"HTTP/1.0 closes", oldLine + "\n", "200!", nil},
		{"HTTP/1.0 with keep-alive stays open", oldLine + "Connection: keep-alive\n\n", "200", []string{"Connection: keep-alive"}},
		{"HTTP/1.0 with Keep-Alive in a list", oldLine + "Connection: foo, Keep-Alive\n\n", "200", []string{"Connection: keep-alive"}},
		{"HTTP/1.0 with keep-alive in the second line", oldLine + "Connection: foo\nConnection: keep-alive\n\n", "200", nil},
		{"HTTP/1.0 with keep-alive and close", oldLine + "Connection: keep-alive, close\n\n", "200!", nil},
		{"HTTP/1.0 with close and keep-alive", oldLine + "Connection: close\nConnection: keep-alive\n\n", "200!", nil},
		{"HTTP/1.0 with a Keep-Alive field only", oldLine + "Keep-Alive: timeout=5\n\n", "200!", nil},
		{"HTTP/1.0 with Proxy-Connection", oldLine + "Proxy-Connection: keep-alive\n\n", "200!", nil},
		{"HTTP/1.0, keep-alive, a body", "POST /echo HTTP/1.0\nConnection: keep-alive\nContent-Length: 5\n\nhello", "200", []string{"=hello"}},
		{"HTTP/1.0, keep-alive, 404", "GET /nothing HTTP/1.0\nConnection: keep-alive\n\n", "404", nil},
		{"keep-alive on HTTP/1.1", getLine + "Connection: keep-alive\n\n", "200", nil},
		{"404 stays open", "GET /nothing HTTP/1.1" + rest, "404", nil},
		{"close behind 404", "GET /nothing HTTP/1.1\nHost: h\nConnection: close\n\n", "404!", nil},
		{"close behind 204", "GET /status/204 HTTP/1.1\nHost: h\nConnection: close\n\n", "204!", nil},
		{"close behind 304", "GET /static/a.txt HTTP/1.1\nHost: h\nIf-None-Match: *\nConnection: close\n\n", "304!", nil},
		{"close behind a body", postLine + "Connection: close\nContent-Length: 5\n\nhello" + smuggled, "200!", []string{"=hello"}},
		{"close behind a chunked body", postLine + "Connection: close\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n" + smuggled, "200!", []string{"=hello"}},
		{"close of a large file", "GET /static/big.bin HTTP/1.1\nHost: h\nConnection: close\n\n" + smuggled, "200!", []string{"Content-Length: 320000"}},
		{"Connection names Host", getLine + "Connection: host, content-length\n\n", "200", nil},
		{"Upgrade to what we do not know", getLine + "Connection: Upgrade\nUpgrade: foo/2\n\n", "200", []string{"!Upgrade"}},
		{"Upgrade to h2c", getLine + "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\n\n", "200", []string{"!Upgrade"}},
		{"Upgrade without Connection", getLine + "Upgrade: websocket\n\n", "200", nil},
	}
	for _, v := range []string{"close", "Close", "CLOSE", " close", "close ", "\tclose\t", "close,", ",close", " , close , ", "close, foo", "foo, close", "foo,close,bar", "keep-alive, close", "close, keep-alive", "TE, close", "close,close", "foo;q=1, close"} {
		ps = append(ps, probe{fmt.Sprintf("Connection: %q", v), getLine + "Connection: " + v + "\n\n" + smuggled, "200!", nil})
	}
	for _, v := range []string{"keep-alive\nConnection: close", "close\nConnection: keep-alive", "foo\nConnection: bar\nConnection: close", "close\nConnection: foo", "\nConnection: close", "Foo\nA: b\nconnection: x, close"} {
		ps = append(ps, probe{fmt.Sprintf("Connection: %q", v), getLine + "Connection: " + v + "\n\n" + smuggled, "200!", nil})
	}
	for _, v := range []string{"", ",", "closed", "xclose", "clos", "close-", "\"close\"", "close=1", "foo", "@", "close;q=1", "close foo"} {
		ps = append(ps, probe{fmt.Sprintf("Connection: %q is no close", v), getLine + "Connection: " + v + "\n\n", "200", nil})
	}
	return ps
}

// expectProbes are about RFC 9110 10.1.1.
func expectProbes() []probe {
	ps := []probe{
		{"without a body", getLine + "Expect: 100-continue\n\n", "200", nil},
		{"with a body of nothing", postLine + "Expect: 100-continue\nContent-Length: 0\n\n", "200", nil},
		{"the body is there", postLine + "Expect: 100-continue\nContent-Length: 5\n\nhello", "200", []string{"=hello"}},
		{"a chunked body is there", postLine + "Expect: 100-continue\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", "200", []string{"=hello"}},
		{"empty", postLine + "Expect:\nContent-Length: 5\n\nhello", "200", nil},
		{"twice", postLine + "Expect: 100-continue\nExpect: 100-continue\nContent-Length: 5\n\nhello", "200", nil},
		{"with HTTP/1.0", "POST /echo HTTP/1.0\nExpect: 100-continue\nContent-Length: 5\n\nhello", "200!", []string{"=hello"}},
		{"too large", postLine + "Expect: 100-continue\nContent-Length: 2000001\n\n", "413!", nil},
		{"refused, with the body there", "POST /nothing HTTP/1.1\nHost: h\nExpect: 100-continue\nContent-Length: 5\n\nhello", "404", nil},
	}
	for _, v := range []string{"100-continue, foo", "foo", "100-continued", "100", "continue", "200-ok", "100-continue;a=b", "100-continue foo", "\"100-continue\"", "foo=bar", "100-continue\nExpect: foo"} {
		ps = append(ps, probe{fmt.Sprintf("unknown %q", v), postLine + "Expect: " + v + "\nContent-Length: 5\n\nhello" + smuggled, "417!", nil})
	}
	for _, v := range []string{"100-Continue", "100-CONTINUE", " 100-continue ", "100-continue,", ", 100-continue"} {
		ps = append(ps, probe{fmt.Sprintf("known %q", v), postLine + "Expect: " + v + "\nContent-Length: 5\n\nhello", "200", nil})
	}
	return ps
}

// pipelineProbes are about RFC 9112 9.3.2.
func pipelineProbes() []probe {
	echo := postLine + "Content-Length: 5\n\nhello"
	return []probe{
		{"two", getLine + "\n" + getLine + "\n", "200 200", nil},
		{"a hundred", strings.Repeat(getLine+"\n", 100), strings.TrimSpace(strings.Repeat("200 ", 100)), nil},
		{"bodies", echo + chunkedLine + "5\nhello\n0\n\n" + echo, "200 200 200", nil},
		{"statuses in order", "GET /nothing HTTP/1.1" + rest + getLine + "\nGET /status/204 HTTP/1.1" + rest + "POST /plaintext HTTP/1.1" + rest, "404 200 204 405", nil},
		{"an empty line between", echo + "\n" + getLine + "\n", "200 200", nil},
		{"two empty lines between", echo + "\n\n" + getLine + "\n", "200 400!", nil},
		{"LF between", echo + "␊" + getLine + "\n", "200 400!", nil},
		{"a broken one behind", getLine + "\nGET /\x00 HTTP/1.1" + rest, "200 400!", nil},
		{"a broken one between", getLine + "\nGET / HTTP/1.1\n\n" + getLine + "\n", "200 400!", nil},
		{"too long a body between", getLine + "\n" + postLine + "Content-Length: 9999999\n\n" + getLine + "\n", "200 413!", nil},
		{"closed between", getLine + "\n" + getLine + "Connection: close\n\n" + getLine + "\n", "200 200!", nil},
		{"files", strings.Repeat("GET /static/big.bin HTTP/1.1"+rest, 3), "200 200 200", nil},
		{"a file and an error", "GET /static/big.bin HTTP/1.1" + rest + "GET / HTTP/3.0" + rest, "200 505!", nil},
		{"body behind an error page", "POST /nothing HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello" + getLine + "\n", "404 200", nil},
		{"half a request", getLine + "\nGET /pla", "200 400!", nil},
	}
}

// TestProbeHalfClose: a client that ends its side still gets its answer (RFC 9112 9.6), and one
// that does so inside a request is told that it was not understood (RFC 9112 8).
func TestProbeHalfClose(t *testing.T) {
	probes := []probe{
		{"nothing", "", "!", nil},
		{"an empty line", "\n", "!", nil},
		{"a request", getLine + "\n", "200", nil},
		{"two requests", getLine + "\n" + getLine + "\n", "200 200", nil},
		{"a body", postLine + "Content-Length: 5\n\nhello", "200", []string{"=hello"}},
		{"a large file", "GET /static/big.bin HTTP/1.1" + rest, "200", []string{"Content-Length: 320000"}},
		{"inside the method", "GE", "400!", nil},
		{"inside the target", "GET /plain", "400!", nil},
		{"inside the version", "GET /plaintext HTTP/1.", "400!", nil},
		{"behind the request line", "GET /plaintext HTTP/1.1\n", "400!", nil},
		{"inside a field", getLine + "a: b", "400!", nil},
		{"before the last line end", getLine, "400!", nil},
		{"inside a HEAD request", "HEAD /plaintext HTTP/1.1\n", "400!", nil},
		{"before the last LF", getLine + "\r", "400!", nil},
		{"inside a body", postLine + "Content-Length: 5\n\nhell", "400!", nil},
		{"before a body", postLine + "Content-Length: 5\n\n", "400!", nil},
		{"inside a chunk", chunkedLine + "5\nhell", "400!", nil},
		{"inside a chunk size", chunkedLine + "5", "400!", nil},
		{"before the last chunk", chunkedLine + "5\nhello\n", "400!", nil},
		{"before the trailers end", chunkedLine + "5\nhello\n0\n", "400!", nil},
		{"inside a trailer", chunkedLine + "5\nhello\n0\na: b", "400!", nil},
		{"inside the second request", getLine + "\nGET", "200 400!", nil},
	}
	underProbes(t, func(t *testing.T, addr string) {
		for _, p := range probes {
			out, err := talk(addr, true, p.bytes())
			if err == nil {
				want, closes := strings.CutSuffix(p.want, "!")
				err = p.judgeEnd(want, closes, out)
			}
			if err != nil {
				t.Errorf("%s: %v", p.name, err)
			}
		}
	})
}

// judgeEnd is judge for a stream without a marker in the end.
func (p *probe) judgeEnd(want string, closes bool, out []byte) error {
	if !closes {
		return p.judge(want, false, append(bytes.Clone(out), "HTTP/1.1 200 OK\r\nDate: "+time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")+
			"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"...))
	}
	return p.judge(want, true, out)
}

// underProbes runs f against a testee under each poller.
func underProbes(t *testing.T, f func(t *testing.T, addr string)) {
	dir := probeFiles(t)
	underAll(t, func(t *testing.T, flags []string) {
		f(t, start(t, append(flags, "-dir", dir, "-max-body", "2000000")...).Addr)
	})
}

// A body is the same wherever it is cut, and so is the request after it.
func TestProbeBodiesInPieces(t *testing.T) {
	requests := []string{
		postLine + "Content-Length: 11\n\nhello\x00world",
		chunkedLine + "5;a=\"b\"\nhello\n1 ; c\n\x00\n05\nworld\n0\nX-Sum: 1\n\n",
	}
	underProbes(t, func(t *testing.T, addr string) {
		for _, send := range requests {
			p := probe{send: send, want: "200", has: []string{"=hello\x00world"}}
			b := append(p.bytes(), marker...)
			for i := 1; i < len(b); i++ {
				out, err := talk(addr, false, b[:i], b[i:])
				if err == nil {
					err = p.judge("200", false, out)
				}
				if err != nil {
					t.Fatalf("cut at %d: %v", i, err)
				}
			}
			out, err := talk(addr, false, bytes.SplitAfter(b, nil)...)
			if err == nil {
				err = p.judge("200", false, out)
			}
			if err != nil {
				t.Fatalf("byte by byte: %v", err)
			}
		}
	})
}

// A client that waits for 100 (Continue) is told to go on only where its body is wanted (RFC 9110
// 10.1.1).
func TestProbeContinue(t *testing.T) {
	const interim = "HTTP/1.1 100 Continue\r\n\r\n"
	underProbes(t, func(t *testing.T, addr string) {
		for _, framing := range [][2]string{{"Content-Length: 5\n\n", "hello"}, {"Transfer-Encoding: chunked\n\n", "5\nhello\n0\n\n"}} {
			c := dial(t, addr)
			p := probe{send: postLine + "Expect: 100-continue\n" + framing[0], has: []string{"=hello"}}
			c.Write(p.bytes())
			if got := c.read(len(interim)); got != interim {
				t.Fatalf("%q", got)
			}
			body := probe{send: framing[1]}
			c.Write(append(body.bytes(), marker...))
			if err := p.judge("200", false, c.readAll()); err != nil {
				t.Error(err)
			}
		}
		for line, status := range map[string]string{"POST /nothing": "404", "PUT /plaintext": "405", "PUT /static/a.txt": "405", "POST /ws": "405"} {
			for _, framing := range []string{"Content-Length: 5\n\n", "Transfer-Encoding: chunked\n\n"} {
				p := probe{send: line + " HTTP/1.1\nHost: h\nExpect: 100-continue\n" + framing}
				out, err := talk(addr, false, p.bytes())
				if err == nil {
					err = p.judge(status, true, out)
				}
				if err != nil {
					t.Errorf("%s: %v", line, err)
				}
			}
		}
	})
}

// RFC 9112 9.5, RFC 9110 15.5.9: what comes too slowly is answered with 408. The cases take 10 s,
// side by side.
func TestProbeSlowClients(t *testing.T) {
	if !exhaustive.On() {
		t.Skip("takes more than 10 s")
	}
	cases := []struct{ name, send, drip string }{
		{"stalled request line", "GET /pla", ""},
		{"stalled head", getLine, ""},
		{"stalled HEAD request", "HEAD /plaintext HTTP/1.1\n", ""},
		{"dripping head", getLine + "a: ", "b"},
		{"stalled body", postLine + "Content-Length: 5\n\nhell", ""},
		{"dripping body", postLine + "Content-Length: 99999\n\n", "x"},
		{"stalled chunk", chunkedLine + "5\nhell", ""},
		{"dripping chunks", chunkedLine, "1\nx\n"},
		{"stalled trailers", chunkedLine + "0\n", ""},
		{"stalled behind an answered request", getLine + "\n" + "GET", ""},
	}
	underProbes(t, func(t *testing.T, addr string) {
		var wait sync.WaitGroup
		for _, tc := range cases {
			wait.Go(func() {
				c := dial(t, addr)
				begun := time.Now()
				c.SetDeadline(begun.Add(60 * time.Second))
				first := probe{send: tc.send}
				c.Write(first.bytes())
				stop := make(chan struct{})
				go c.drip(tc.drip, stop)
				p := probe{send: tc.send}
				want := "408"
				if strings.Contains(tc.name, "answered") {
					want = "200 408"
				}
				err := p.judge(want, true, c.readAll())
				close(stop)
				if took := time.Since(begun); err == nil && took < 9*time.Second {
					err = fmt.Errorf("refused after %v", took)
				}
				if err != nil {
					t.Errorf("%s: %v", tc.name, err)
				}
			})
		}
		wait.Wait()
	})
}

// A visitor is a connection whose steps must not fail.
type visitor struct {
	stream
	t *testing.T
}

func dial(t *testing.T, addr string) *visitor {
	t.Helper()
	c, err := connect(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return &visitor{c, t}
}

// read returns the next n bytes, or what there is of them.
func (c *visitor) read(n int) string {
	b := make([]byte, n)
	k := 0
	for k < n {
		m, err := c.Read(b[k:])
		if k += m; err != nil {
			break
		}
	}
	return string(b[:k])
}

func (c *visitor) readAll() []byte {
	var b bytes.Buffer
	if _, err := b.ReadFrom(c); err != nil {
		c.t.Errorf("%v behind %.200q", err, b.String())
	}
	return b.Bytes()
}

// drip sends text every 200 ms until stop is closed.
func (c *visitor) drip(text string, stop <-chan struct{}) {
	p := probe{send: text}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for text != "" {
		select {
		case <-stop:
			return
		case <-tick.C:
			c.Write(p.bytes())
		}
	}
}
