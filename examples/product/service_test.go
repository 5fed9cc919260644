package main

import (
	"bufio"
	"crypto/tls"
	"net"
	nethttp "net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A service manager hears that the program is ready, that its loop turns, and that it ends; and a
// reboot is an end, after which it starts the program again.
func TestServiceManager(t *testing.T) {
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "notify")
			c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			t.Setenv("NOTIFY_SOCKET", path)
			t.Setenv("WATCHDOG_USEC", "100000")
			p := start(t, t.TempDir(), poller)
			hear := func(want string) {
				t.Helper()
				c.SetReadDeadline(time.Now().Add(patience))
				b := make([]byte, 4096)
				for {
					n, err := c.Read(b)
					if err != nil {
						t.Fatalf("%s: %v", want, err)
					}
					if strings.Contains(string(b[:n]), want) {
						return
					}
				}
			}
			hear("READY=1")
			for range 3 {
				hear("WATCHDOG=1")
			}
			ann := setUp(t, "http://"+p.Addr, p.Said)
			ann.want(204, "", "POST", "/api/actions/reboot", `{"confirm": true}`)
			hear("STOPPING=1")
			if err := p.Wait(patience); err != nil {
				t.Error(err)
			}
		})
	}
}

// The sockets that a service manager has opened are those that the program listens on, for HTTPS and
// for the redirect.
func TestSocketsOfAServiceManager(t *testing.T) {
	var files []*os.File
	var addrs []string
	for range 2 {
		l, err := net.Listen("tcp", "[::]:0")
		if err != nil {
			t.Skip(err)
		}
		defer l.Close()
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		files, addrs = append(files, f), append(addrs, "[::]:"+port)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=2 exec "$@"`, "sh", self, "-tls", "-listen", addrs[0], "-http", addrs[1], "-data", t.TempDir())
	cmd.ExtraFiles = files
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for said, lines := "", bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if said += line; err != nil { // had it bound a socket of its own, the address would be in use
			t.Fatalf("%v %s", err, said)
		}
		if strings.Contains(line, "listening on "+addrs[0]) {
			break
		}
	}
	client := &nethttp.Client{Transport: &nethttp.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: patience}
	resp, err := client.Get("http://localhost" + strings.TrimPrefix(addrs[1], "[::]") + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, want := resp.Request.URL.String(), "https://localhost"+strings.TrimPrefix(addrs[0], "[::]")+"/"; got != want || resp.StatusCode != 200 {
		t.Errorf("%s %s, want 200 at %s", resp.Status, got, want)
	}
}
