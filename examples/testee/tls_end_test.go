package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

// On SIGTERM each WebSocket over TLS gets what is queued, then code 1001, then close_notify, and so
// does one that answers late; an HTTP reply that is under way comes whole; the program ends.
func TestTheEndOverTLS(t *testing.T) {
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(dir+"/big", make([]byte, 8<<20), 0o644); err != nil {
				t.Fatal(err)
			}
			p := start(t, append(certificate(t), "-poller", poller, "-dir", dir)...)
			sides := make([]*side, 20)
			for i := range sides {
				s, _, err := dialSide(p.Addr, "")
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				s.SetDeadline(time.Now().Add(30 * time.Second))
				sides[i] = s
			}
			echo := strings.Repeat("e", 100_000)
			for _, s := range sides[:10] { // these have replies in the queue
				if _, err := s.Write(s.wire(nil, frame{text, echo})); err != nil {
					t.Fatal(err)
				}
				if _, err := s.r.Peek(1); err != nil {
					t.Fatal(err)
				}
			}
			file, err := connect(p.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			file.SetDeadline(time.Now().Add(30 * time.Second))
			io.WriteString(file, "GET /static/big HTTP/1.1\r\nHost: a\r\n\r\n")
			reply := bufio.NewReader(file)
			if _, err := reply.Peek(1); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- p.Terminate(6 * time.Second) }()
			each(t, len(sides)+1, func(i int) error {
				if i == len(sides) {
					n, err := io.Copy(io.Discard, reply)
					if err != nil || n < 8<<20 {
						return fmt.Errorf("the file: %d bytes, %v", n, err)
					}
					return nil
				}
				return sides[i].untilTheEnd(i < 10, echo)
			})
			if err := <-ended; err != nil {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// untilTheEnd reads the echo, if there is one, then code 1001, answers it, and reads the end of the
// stream.
func (s *side) untilTheEnd(echoes bool, echo string) error {
	f, err := s.read()
	if echoes && err == nil {
		if f.payload != echo {
			return fmt.Errorf("%#x with %d bytes", f.first, len(f.payload))
		}
		f, err = s.read()
	}
	if err != nil || f.first != closed || !strings.HasPrefix(f.payload, status(1001, "")) {
		return fmt.Errorf("%#x %q, %v instead of 1001", f.first, f.payload, err)
	}
	if _, err := s.Write(s.wire(nil, frame{closed, f.payload[:2]})); err != nil {
		return err
	}
	if _, err := s.r.ReadByte(); err != io.EOF {
		return fmt.Errorf("the end is %w", err)
	}
	return nil
}

// Clients come and go in each way there is: whole, resumed, cut within the handshake and after it,
// and with what is no TLS. Nothing of them stays.
func TestChurnOverTLS(t *testing.T) {
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) {
			t.Parallel()
			p := start(t, append(certificate(t), "-poller", poller)...)
			files := len(descriptors(t, p))
			churn(t, p, size(60, 1000)) // so that pools are full
			rss := p.RSS()
			churn(t, p, size(240, 20_000))
			grown(t, p, rss, 6<<20)
			for until := time.Now().Add(time.Minute); len(descriptors(t, p)) > files; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(until) {
					t.Fatalf("%d descriptors were open before, and now %q", files, descriptors(t, p))
				}
			}
		})
	}
}

// With one processor for the loop and the workers all clients get in too.
func TestChurnOverTLSWithOneProcessor(t *testing.T) {
	t.Setenv("GOMAXPROCS", "1")
	for _, poller := range []string{"epoll", "select"} {
		p := start(t, append(certificate(t), "-poller", poller)...)
		churn(t, p, size(100, 2000))
	}
}

func descriptors(t *testing.T, p *programtest.Program) (names []string) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", p.PID())
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		to, _ := os.Readlink(dir + "/" + e.Name())
		names = append(names, to)
	}
	return names
}

func churn(t *testing.T, p *programtest.Program, n int) {
	t.Helper()
	const workers = 20
	each(t, workers, func(w int) error {
		for i := w; i < n; i += workers {
			if err := comeAndGo(p.Addr, i); err != nil {
				return fmt.Errorf("client %d: %w", i, err)
			}
		}
		return nil
	})
}

func comeAndGo(addr string, i int) error {
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(30 * time.Second))
	reset := func() error { return raw.(*net.TCPConn).SetLinger(0) }
	config := trusting.Clone() // resumes
	if config.MaxVersion = tls.VersionTLS13; i%3 == 0 {
		config.MaxVersion = tls.VersionTLS12
	}
	if i%4 == 0 {
		config.ClientSessionCache = nil
	}
	switch i % 8 {
	case 0: // cut within the ClientHello, or after it
		tls.Client(&cutAfter{raw, i / 8 * 37 % 2000}, config).Handshake()
		return nil
	case 1:
		tls.Client(&cutAfter{raw, i / 8 * 37 % 2000}, config).Handshake()
		return reset()
	case 2:
		io.WriteString(raw, "\x16\x03\x01\xff\xff\x01 this is no ClientHello")
		_, err := io.Copy(io.Discard, raw)
		return ignoreReset(err)
	}
	c := tls.Client(cuttable{raw}, config)
	if err := c.Handshake(); err != nil {
		return err
	}
	if i%8 == 3 { // without a request
		return reset()
	}
	if _, err := io.WriteString(c, "GET /plaintext HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	if i%8 == 4 {
		return reset()
	}
	if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), "Hello, World!") {
		return fmt.Errorf("%q, %w", b, err)
	}
	return nil
}

func ignoreReset(err error) error {
	if errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

// cutAfter fails after n bytes.
type cutAfter struct {
	net.Conn
	n int
}

func (c *cutAfter) Write(b []byte) (int, error) {
	k := min(c.n, len(b))
	c.n -= k
	if n, err := c.Conn.Write(b[:k]); err != nil || k < len(b) {
		return n, io.ErrShortWrite
	}
	return k, nil
}
