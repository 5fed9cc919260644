package main

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

func TestAnswersWhenTheGoroutinesWake(t *testing.T) {
	p := programtest.Start(t, "-listen", "127.0.0.1:0")
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(c, "500\n1\nsoon\n")
	want := []string{"want a number of milliseconds up to 60000\n", "slept 1 ms\n", "slept 500 ms\n"}
	r := bufio.NewReader(c)
	for _, w := range want {
		if got, err := r.ReadString('\n'); got != w {
			t.Fatalf("got %q, %v; want %q", got, err, w)
		}
	}
}
