package main

import (
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

func TestGreetsAndEchoes(t *testing.T) {
	p := programtest.Start(t, "http://127.0.0.1:0")

	resp, err := http.Get("http://" + p.Addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); !strings.HasPrefix(string(b), "Hello, 127.0.0.1:") {
		t.Errorf("got %q, %v", b, err)
	}

	programtest.WantOwnHostsOnly(t, p.Addr, "/", "/ws")
	c, _, _, err := ws.Dial(t.Context(), "ws://"+p.Addr+"/ws")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := wsutil.WriteClientText(c, []byte("ciao")); err != nil {
		t.Fatal(err)
	}
	if b, err := wsutil.ReadServerText(c); string(b) != "ciao" {
		t.Errorf("echoed %q, %v", b, err)
	}
}

func TestFlagsPrintTheUsage(t *testing.T) {
	for _, arg := range []string{"-h", "-help", "--help", "-listen"} {
		out, err := programtest.Run(t, arg)
		if end := (*exec.ExitError)(nil); !errors.As(err, &end) || end.ExitCode() != 2 {
			t.Errorf("%s: ended with %v, want status 2", arg, err)
		}
		if !strings.HasPrefix(out, "usage: hello [URL]\n") {
			t.Errorf("%s: printed %q", arg, out)
		}
	}
}
