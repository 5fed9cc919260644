package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A probe is bytes from a client on a connection of its own, and what they must lead to. A marker
// request goes after them: when the connection stays open it is answered, and else it must not be.
type probe struct {
	name string
	send string   // "\n" stands for CR LF, "␊" for LF alone
	want string   // the statuses, as "100 200"; with "!" after them the connection closes
	has  []string // of the first final reply: "Name: value", "!Name" for a field that is not there, "=body"
}

// marker has a target that no probe has.
const marker = "GET /plaintext?marker HTTP/1.1\r\nHost: marker\r\nConnection: close\r\n\r\n"

func (p *probe) bytes() []byte {
	return []byte(strings.ReplaceAll(strings.ReplaceAll(p.send, "\n", "\r\n"), "␊", "\n"))
}

// A reply is one answer of the server, taken apart to the letter.
type reply struct {
	status int
	head   string // field lines
	body   string
}

// values returns the values of the fields of that name.
func (r *reply) values(name string) (values []string) {
	for line := range strings.SplitSeq(strings.TrimSuffix(r.head, "\r\n"), "\r\n") {
		if n, v, _ := strings.Cut(line, ": "); strings.EqualFold(n, name) {
			values = append(values, v)
		}
	}
	return values
}

// field returns the value of a field that must not be there twice.
func (r *reply) field(name string) string {
	return strings.Join(r.values(name), " AND ")
}

// parseReply takes the first reply off b. toHEAD says that it answers a HEAD request.
func parseReply(b []byte, toHEAD bool) (r reply, rest []byte, err error) {
	head, rest, found := bytes.Cut(b, []byte("\r\n\r\n"))
	line, fields, _ := strings.Cut(string(head)+"\r\n", "\r\n")
	if !found || !strings.HasPrefix(line, "HTTP/1.1 ") || len(line) < 13 || line[12] != ' ' {
		return r, nil, fmt.Errorf("no head of a reply: %.80q", b)
	}
	if r.status, err = strconv.Atoi(line[9:12]); err != nil {
		return r, nil, err
	}
	r.head = fields
	if err := r.check(); err != nil || toHEAD || r.status < 200 || r.status == 204 || r.status == 304 {
		return r, rest, err
	}
	n, _ := strconv.Atoi(r.field("Content-Length"))
	if n > len(rest) {
		return r, nil, fmt.Errorf("%d of %d bytes of the body have come", len(rest), n)
	}
	r.body = string(rest[:n])
	return r, rest[n:], nil
}

// check holds the head of a reply against what is true of all.
func (r *reply) check() error {
	for line := range strings.SplitAfterSeq(r.head, "\r\n") {
		line, ended := strings.CutSuffix(line, "\r\n")
		name, value, ok := strings.Cut(line, ": ")
		if ended && (!ok || name == "" || strings.ContainsAny(name, " \t\"(),/:;<=>?@[\\]{}") || value != strings.TrimSpace(value)) ||
			strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("malformed field %q", line)
		}
	}
	if r.status < 200 {
		return nil
	}
	// RFC 9110 6.6.1
	if when, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", r.field("Date")); err != nil || time.Since(when).Abs() > time.Minute {
		return fmt.Errorf("Date: %q", r.field("Date"))
	}
	length := r.field("Content-Length")
	switch _, err := strconv.ParseUint(length, 10, 63); {
	case r.status == 204 || r.status == 304:
		// RFC 9110 8.6, RFC 9112 6.1
		if length != "" || r.field("Content-Type") != "" {
			return fmt.Errorf("a %d with %q", r.status, r.head)
		}
	case r.field("Transfer-Encoding") != "":
		return fmt.Errorf("Transfer-Encoding: %s", r.field("Transfer-Encoding")) // the testee has no use for one
	case err != nil:
		return fmt.Errorf("Content-Length: %q", length)
	case length != "0" && r.field("Content-Type") == "":
		return fmt.Errorf("a body without a Content-Type") // RFC 9110 8.3
	}
	for status, name := range map[int]string{405: "Allow", 416: "Content-Range", 426: "Upgrade", 301: "Location"} {
		if r.status == status && r.field(name) == "" {
			return fmt.Errorf("a %d without %s", status, name)
		}
	}
	return nil
}

// talk sends the pieces and a marker and returns what comes until the server ends the stream. Our
// side is ended after the marker if fin is set.
func talk(addr string, fin bool, pieces ...[]byte) ([]byte, error) {
	c, err := connect(addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	go func() {
		for _, p := range pieces {
			c.Write(p)
		}
		if fin {
			c.CloseWrite()
		}
	}()
	return io.ReadAll(c)
}

// run makes the probe, in one piece or byte by byte, and says what is wrong.
func (p *probe) run(addr string, bytewise bool) error {
	want, closes := strings.CutSuffix(p.want, "!")
	pieces := [][]byte{append(p.bytes(), marker...)}
	if bytewise {
		pieces = bytes.SplitAfter(pieces[0], nil)
	}
	out, err := talk(addr, !closes, pieces...)
	if err != nil {
		return fmt.Errorf("%w behind %.300q", err, out)
	}
	return p.judge(want, closes, out)
}

// judge holds what the server has sent against what it had to.
func (p *probe) judge(want string, closes bool, out []byte) error {
	toHEAD := strings.HasPrefix(p.send, "HEAD ")
	var got []string
	var final, last reply
	rest := out
	for len(rest) > 0 {
		var err error
		if last, rest, err = parseReply(rest, toHEAD && final.status == 0); err != nil {
			return fmt.Errorf("%w in %.300q", err, out)
		}
		got = append(got, strconv.Itoa(last.status))
		if final.status == 0 && last.status >= 200 {
			final = last
		}
	}
	if !closes {
		want += " 200" // of the marker
	}
	if strings.Join(got, " ") != strings.TrimSpace(want) {
		return fmt.Errorf("statuses %v, want %s: %.300q", got, want, out)
	}
	if len(got) > 0 && last.field("Connection") != "close" {
		return fmt.Errorf("the connection closes behind Connection: %q", last.field("Connection"))
	}
	return final.checkHas(p.has)
}

func (r *reply) checkHas(has []string) error {
	for _, h := range has {
		name, value, isField := strings.Cut(h, ": ")
		switch {
		case h[0] == '=':
			if r.body != h[1:] {
				return fmt.Errorf("body %.300q, want %.300q", r.body, h[1:])
			}
		case h[0] == '!':
			if v := r.values(h[1:]); v != nil {
				return fmt.Errorf("%s: %q", h[1:], v)
			}
		case !isField || r.field(name) != value:
			return fmt.Errorf("%s: %q, want %q", name, r.field(name), value)
		}
	}
	return nil
}

// probes are the tables, by topic.
var probes = map[string]func() []probe{
	"request line": lineProbes, "target": targetProbes, "method": methodProbes,
	"fields": fieldProbes, "host": hostProbes, "limits": limitProbes,
	"content length": lengthProbes, "transfer coding": codingProbes, "chunked": chunkedProbes, "trailers": trailerProbes,
	"connection": connectionProbes, "expect": expectProbes, "pipeline": pipelineProbes, "routes": routeProbes,
	"files": fileProbes, "conditions": conditionProbes, "ranges": rangeProbes, "codings of files": precompressedProbes,
}

// TestProbe holds the testee against RFC 9110 and 9112, as strictly as they can be read, under both
// pollers.
func TestProbe(t *testing.T) {
	dir := probeFiles(t)
	underAll(t, func(t *testing.T, flags []string) {
		p := start(t, append(flags, "-dir", dir, "-max-body", "2000000")...)
		for topic, table := range probes {
			t.Run(topic, func(t *testing.T) {
				seen := make(map[string]bool)
				for _, x := range table() {
					if seen[x.name] {
						t.Errorf("%s: there twice", x.name)
					}
					seen[x.name] = true
					if x.name == "https without TLS" && isSecure(p.Addr) {
						x.want = "200"
					}
					if err := x.run(p.Addr, false); err != nil {
						t.Errorf("%s: %v", x.name, err)
					}
					if len(x.send) > 4000 || topic == "expect" { // whether 100 is sent depends on what has come
						continue
					}
					if err := x.run(p.Addr, true); err != nil {
						t.Errorf("%s, byte by byte: %v", x.name, err)
					}
				}
				t.Logf("%d probes", len(seen))
			})
		}
	})
}

// probeTime is when the files of the probes were changed last.
var probeTime = time.Date(2024, time.February, 29, 12, 34, 56, 789, time.UTC)

const alphabet = "abcdefghijklmnopqrstuvwxyz"

// probeFiles makes the directory that the probes look at.
func probeFiles(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "dir")
	files := map[string]string{"../outside.txt": "secret", "a.txt": alphabet, "empty.txt": "", "page.html": "<p>", "a b+c%41.txt": "odd",
		"ä.txt": "utf-8", "cr\r\nSet-Cookie: a=b.txt": "split", "x..y.txt": "dots", ".hidden": "no", ".dir/a.txt": "no",
		"sub/index.html": "index", "bare/b.txt": "b", "z.js": "plain", "z.js.gz": "zipped", "z.js.br": "brotli", "only.css.gz": "zipped css",
		"type.unknown": "x", "noext": "x", "big.bin": strings.Repeat("0123456789abcdef", 20_000), "we[i]rd;a=b,c.txt": "weird",
		"evil.example/index.html":         "host",
		"d\r\nSet-Cookie: a=b/index.html": "split"}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, probeTime, probeTime); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"out.txt": "../outside.txt", "abs.txt": filepath.Join(top, "outside.txt"), "up": "..",
		"in.txt": "a.txt", "loop": "loop", "dangling": "nothing"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	makeFIFO(t, filepath.Join(dir, "fifo"))
	return dir
}
