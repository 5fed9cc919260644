package main

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

// process asks which process serves, on a connection of its own.
func process(t *testing.T, addr string) (pid int) {
	t.Helper()
	req, err := http.NewRequest("GET", "http://"+addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if _, err := fmt.Sscanf(string(b), "process %d", &pid); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return pid
}

func TestCountsGoOnInTheNextProcesses(t *testing.T) {
	p := programtest.Start(t, "-listen", "http://127.0.0.1:0", "-loops", "2", "-handoff", filepath.Join(t.TempDir(), "sock"))
	programtest.WantOwnHostsOnly(t, p.Addr, "/", "/ws")
	c, _, _, err := ws.Dial(t.Context(), "ws://"+p.Addr+"/ws")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(60 * time.Second))
	for n := 1; n <= 3; n++ {
		pid := process(t, p.Addr)
		t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
		// A connection that has just been told to move may still be in the process before.
		if err := wsutil.WriteClientText(c, []byte("ciao")); err != nil {
			t.Fatal(err)
		}
		b, err := wsutil.ReadServerText(c)
		if err != nil || !strings.HasSuffix(string(b), fmt.Sprintf(", message %d: ciao", n)) {
			t.Fatalf("%q, %v; want message %d", b, err, n)
		}
		if n == 3 {
			break
		}
		if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(60 * time.Second); process(t, p.Addr) == pid; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the process is not replaced")
			}
		}
	}
}
