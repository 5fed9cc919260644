package tlsconn_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// tool skips the test where a program is not there.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(err)
	}
	return path
}

// A foreign is a program that talks TLS, and what it has said so far.
type foreign struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	mu  sync.Mutex
	out bytes.Buffer
}

func (f *foreign) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out.Write(p)
}

func (f *foreign) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out.String()
}

// run starts a program, which is killed at the end of the test, or after half a minute.
func run(t *testing.T, name string, args ...string) *foreign {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	f := &foreign{t: t, cmd: exec.CommandContext(ctx, tool(t, name), args...)}
	f.cmd.Stdout, f.cmd.Stderr = f, f
	f.in, _ = f.cmd.StdinPipe()
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); f.in.Close(); f.cmd.Wait() })
	return f
}

// await waits until the program has said text n times.
func (f *foreign) await(text string, n int) {
	f.t.Helper()
	for until := time.Now().Add(time.Minute); strings.Count(f.said(), text) < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			f.t.Fatalf("%s does not say %q %d times: %s", f.cmd, text, n, f.said())
		}
	}
}

// file writes one of the site's files and returns its path.
func (s *site) file(name string) string {
	return filepath.Join(s.dir, name)
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// OpenSSL's client speaks both versions, each suite of TLS 1.2, and changes keys in the middle.
func TestOpenSSLClient(t *testing.T) {
	underBoth(t, mgr.Options{}, func(t *testing.T, s *site) {
		s.serve(pages, http.Options{})
		client := func(args ...string) *foreign {
			return run(t, "openssl", append([]string{"s_client", "-connect", s.addr, "-CAfile", s.file("cert.pem"), "-verify_return_error"}, args...)...)
		}
		for _, args := range []string{"-tls1_2", "-tls1_3", "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305", "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384",
			"-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256", "-tls1_3 -groups P-256", "-tls1_3 -groups X25519", "-alpn h2,http/1.1"} {
			f := client(append(strings.Fields(args), "-ign_eof")...)
			io.WriteString(f.in, get)
			f.await("true true 127.0.0.1", 1)
		}
		f := client("-tls1_3")
		for i, key := range []string{"K\n", "k\n", "K\n"} { // KeyUpdate, with and without a request for one
			io.WriteString(f.in, key)
			f.await("KEYUPDATE", i+1)
			io.WriteString(f.in, get)
			f.await("true true 127.0.0.1", i+1)
		}
		for _, args := range []string{"-tls1_1 -cipher ALL:@SECLEVEL=0", "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA", "-tls1_2 -cipher AES128-GCM-SHA256", "-alpn h2"} {
			f := client(strings.Fields(args)...)
			f.await("alert", 1)
		}
		f = client("-tls1_2")
		f.await("Verify return code: 0", 1)
		io.WriteString(f.in, "R\n") // renegotiation
		f.await("RENEGOTIATING", 1)
		f.await("alert unexpected message", 1) // that of crypto/tls
	})
}

// OpenSSL keeps a session in a file, and resumes it.
func TestOpenSSLResumes(t *testing.T) {
	underBoth(t, mgr.Options{}, func(t *testing.T, s *site) {
		s.serve(pages, http.Options{})
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			session := s.file("session" + version)
			for i, flag := range []string{"-sess_out", "-sess_in"} {
				f := run(t, "openssl", "s_client", "-connect", s.addr, "-CAfile", s.file("cert.pem"), version, flag, session, "-ign_eof")
				io.WriteString(f.in, strings.Replace(get, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
				f.await("true true 127.0.0.1", 1)
				f.cmd.Wait()
				if want := []string{"New, ", "Reused, "}[i]; !strings.Contains(f.said(), want) {
					t.Errorf("%s %s: no %q", version, flag, want)
				}
			}
		}
		// Nobody may send data with the ClientHello: whoever records it could send it again.
		early := s.file("early")
		if err := os.WriteFile(early, []byte(get), 0o600); err != nil {
			t.Fatal(err)
		}
		f := run(t, "openssl", "s_client", "-connect", s.addr, "-CAfile", s.file("cert.pem"), "-tls1_3", "-sess_in", s.file("session-tls1_3"), "-early_data", early, "-ign_eof")
		io.WriteString(f.in, strings.Replace(get, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
		f.await("true true 127.0.0.1", 1)
		f.cmd.Wait()
		if !strings.Contains(f.said(), "Early data was not sent") || strings.Count(f.said(), "true true 127.0.0.1") != 1 {
			t.Errorf("early data: %s", f.said())
		}
		if n := s.server.Stats().Resumed; n < 2 {
			t.Errorf("%d resumed, want 2", n)
		}
	})
}

// OpenSSL's client connects six times in a row, and resumes the session of the first.
func TestOpenSSLReconnects(t *testing.T) {
	underBoth(t, mgr.Options{}, func(t *testing.T, s *site) {
		s.serve(pages, http.Options{})
		f := run(t, "openssl", "s_client", "-connect", s.addr, "-CAfile", s.file("cert.pem"), "-tls1_2", "-reconnect")
		f.await("Reused, TLSv1.2", 5)
	})
}

// wrk keeps 50 connections busy.
func TestWrk(t *testing.T) {
	if !exhaustive.On() {
		t.Skip("a second for each poller: with MANGUSTA_EXHAUSTIVE")
	}
	underBoth(t, mgr.Options{}, func(t *testing.T, s *site) {
		s.serve(pages, http.Options{})
		out, err := exec.Command(tool(t, "wrk"), "-t1", "-c50", "-d1s", "https://"+s.addr+"/").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Requests/sec") || strings.Contains(string(out), "Socket errors") || strings.Contains(string(out), "Non-2xx") {
			t.Errorf("%s, %v", out, err)
		}
	})
}

// Our client speaks with OpenSSL's server, with and without its certificate, which changes keys in
// the middle.
func TestOpenSSLServer(t *testing.T) {
	underBoth(t, mgr.Options{}, func(t *testing.T, s *site) {
		s.run()
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			f := run(t, "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", s.file("cert.pem"), "-key", s.file("key.pem"), version)
			f.await("ACCEPT 127.0.0.1:", 1)
			_, rest, _ := strings.Cut(f.said(), "ACCEPT ")
			addr, _, _ := strings.Cut(rest, "\n")
			got := make(chan string, 10)
			s.Do(func() {
				_, err := s.Connect("tls://"+strings.TrimSpace(addr), func(c *conn.Conn, ev conn.Event) {
					switch ev := ev.(type) {
					case *tlsconn.Handshake:
						got <- "up"
					case *conn.Connect:
						c.WriteString("hello from here\n")
					case *conn.Read:
						if b := c.Recv.Bytes(); bytes.HasSuffix(b, []byte("\n")) {
							got <- string(b)
							c.Recv.Discard(len(b))
						}
					case *conn.Error:
						got <- ev.Err.Error()
					case *conn.Close:
						got <- fmt.Sprint("closed, truncated ", tlsconn.Truncated(c))
					}
				}, mgr.ConnectOptions{TLS: s.client})
				if err != nil {
					got <- err.Error()
				}
			})
			want := func(text string) {
				t.Helper()
				select {
				case g := <-got:
					if g != text {
						t.Fatalf("%q, want %q; the server: %s", g, text, f.said())
					}
				case <-time.After(time.Minute):
					t.Fatalf("no %q; the server: %s", text, f.said())
				}
			}
			want("up")
			f.await("hello from here", 1)
			if version == "-tls1_3" {
				io.WriteString(f.in, "K\n")
				f.await("SSL_do_handshake -> 1", 1)
			}
			io.WriteString(f.in, "hello from there\n")
			want("hello from there\n")
			io.WriteString(f.in, "Q\n")
			want("closed, truncated true") // Q sends no close_notify
		}
	})
}

// curl checks the certificate, keeps the connection, and is redirected from plain HTTP.
func TestCurl(t *testing.T) {
	underBoth(t, mgr.Options{}, func(t *testing.T, s *site) {
		s.serve(pages, http.Options{MaxBody: 8 << 20})
		big := s.file("big")
		if err := os.WriteFile(big, bytes.Repeat([]byte("0123456789abcdef"), 200_000), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ args, want string }{
			{"--cacert " + s.file("cert.pem") + " https://" + s.addr + "/", "true true 127.0.0.1"},
			{"--cacert " + s.file("cert.pem") + " https://" + s.addr + "/ https://" + s.addr + "/", "true true 127.0.0.1true true 127.0.0.1"},
			{"--tls-max 1.2 --cacert " + s.file("cert.pem") + " https://" + s.addr + "/", "true true 127.0.0.1"},
			{"-w %{size_download} -o /dev/null --data-binary @" + big + " --cacert " + s.file("cert.pem") + " https://" + s.addr + "/echo", "3200000"},
			{"-w %{http_code} -o /dev/null http://" + s.addr + "/", "400"},
		} {
			out, err := exec.Command(tool(t, "curl"), append([]string{"-sS", "--max-time", "20"}, strings.Fields(c.args)...)...).CombinedOutput()
			if err != nil || string(out) != c.want {
				t.Errorf("curl %s: %.200q, %v", c.args, out, err)
			}
		}
		if out, err := exec.Command(tool(t, "curl"), "-sS", "--max-time", "20", "https://"+s.addr+"/").CombinedOutput(); err == nil {
			t.Errorf("curl trusts a certificate that nobody vouches for: %s", out)
		}
	})
}
