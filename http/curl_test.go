package http

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/mgr"
)

// TestHelperUploads is no test: it is the server that TestCurlUploads1GB measures, in a process of
// its own.
func TestHelperUploads(t *testing.T) {
	dir := os.Getenv("MANGUSTA_UPLOADS")
	if dir == "" {
		t.Skip("run by TestCurlUploads1GB")
	}
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	l, err := Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *Head:
			if size = 0; ev.Match("/count") {
				StreamBody(c)
				return
			}
			err := SaveBody(c, SaveOptions{Path: filepath.Join(dir, "saved"), MaxSize: -1,
				Done: func(c *conn.Conn, size int64, err error) {
					if err == nil {
						Reply(c, 200, "", "%d", size)
					}
				}})
			if err != nil {
				t.Error(err)
			}
		case *Chunk:
			if size += int64(len(ev.Data)); ev.Last {
				Reply(c, 200, "", "%d", size)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("listening on %s\n", l.LocalAddr())
	m.Run(context.Background()) // until it is killed
}

// startHelper runs a test of this package as a process of its own, with that in its environment,
// until t ends. It returns where it listens.
func startHelper(t *testing.T, test, env string) (addr string, pid int) {
	t.Helper()
	server := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	server.Env = append(os.Environ(), env)
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "listening on ")), server.Process.Pid
}

// status returns a number of kilobytes from /proc/PID/status.
func status(t *testing.T, pid int, name string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), name+":")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// An upload of a gigabyte, with curl, takes the server less than 8 MB.
func TestCurlUploadsTakeLittleMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	size := 64 << 20
	if exhaustive.On() {
		size = 1 << 30
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	if err := os.WriteFile(source, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(source, int64(size)); err != nil { // a hole takes no room on the disk
		t.Fatal(err)
	}
	addr, pid := startHelper(t, "TestHelperUploads", "MANGUSTA_UPLOADS="+dir)
	addr = "http://" + addr
	for _, args := range [][]string{
		{addr + "/count"},
		{"-H", "Transfer-Encoding: chunked", addr + "/count"},
		{addr + "/save"},
		{"-H", "Transfer-Encoding: chunked", addr + "/save"},
	} {
		// The memory of the first request does not count. After it the peak begins again.
		runCurl(t, curl, addr, nil)
		os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
		before := status(t, pid, "VmRSS")
		start := time.Now()
		got := runCurl(t, curl, addr, append([]string{"-T", source}, args...))
		if got != strconv.Itoa(size) {
			t.Fatalf("%v: %q", args, got)
		}
		grown := status(t, pid, "VmHWM") - before
		t.Logf("%v: %.1f s, grown by %d kB", args, time.Since(start).Seconds(), grown)
		if grown > 8<<10 {
			t.Errorf("%v: grown by %d kB", args, grown)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "saved")); err != nil || info.Size() != int64(size) {
		t.Error(info, err)
	}
}

// runCurl runs curl and returns what it printed. Without args it sends a small body.
func runCurl(t *testing.T, curl, addr string, args []string) string {
	t.Helper()
	if args == nil {
		args = []string{"-d", "x", addr + "/count"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, curl, append([]string{"-sS", "--noproxy", "*"}, args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("curl %v: %v\n%s", args, err, stderr.Bytes())
	}
	return string(out)
}
