package main

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

func TestTellsOfAnArgumentThatIsNoFlag(t *testing.T) {
	out, err := programtest.Run(t, "tcp://127.0.0.1:0")
	if err == nil || !strings.Contains(out, `unexpected argument "tcp://127.0.0.1:0"`) {
		t.Errorf("ended with %v and said %q", err, out)
	}
}

func TestSendsBackWhatItGets(t *testing.T) {
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) {
			p := programtest.Start(t, "-listen", "127.0.0.1:0", "-poller", poller, "-hexdump")
			c, err := net.Dial("tcp", p.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute))
			io.WriteString(c, "ciao\n")
			b := make([]byte, 5)
			if _, err := io.ReadFull(c, b); err != nil || string(b) != "ciao\n" {
				t.Fatalf("got %q, %v", b, err)
			}
			if err := p.Terminate(5 * time.Second); err != nil {
				t.Errorf("ended with %v", err)
			}
		})
	}
}
