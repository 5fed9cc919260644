package mqtt_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/internal/selftest"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/mqtt"
)

// TestMain is also the program that TestAKilledBridge kills: a hub with a bridge, which writes each
// message to the file KEEP when the hub has it, and says "up" when it is connected.
func TestMain(m *testing.M) {
	if socket := os.Getenv("BROKER"); socket != "" {
		if err := keep(socket, os.Getenv("KEEP")); err != nil {
			fmt.Println(err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func keep(socket, file string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		return err
	}
	b, err := mqtt.New(mqtt.Options{In: []mqtt.In{{Filter: "t", QoS: 1}}, Log: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "unix", socket) }})
	if err != nil {
		return err
	}
	hub := broadcast.NewHub(broadcast.Options{Tap: func(m *broadcast.Message, _ string) { fmt.Fprintf(f, "%s\n", m.Data) }}, m)
	if err := b.Start(hub); err != nil {
		return err
	}
	for !b.Stats().Connected {
		if err := m.Poll(1e6); err != nil {
			return err
		}
	}
	fmt.Println("up")
	return m.Run(context.Background())
}

// kill -9 of the bridge while messages flow: each one that the broker has acknowledged comes to the
// hub of one of its lives.
func TestAKilledBridgeLosesNothingThatWasAcknowledged(t *testing.T) {
	q := newMosquitto(t)
	q.start()
	file := filepath.Join(t.TempDir(), "keep")
	life := func() *exec.Cmd {
		cmd, out := selftest.Start(t, append(os.Environ(), "BROKER="+filepath.Join(q.dir, "s"), "KEEP="+file))
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
			t.Fatal(line, err)
		}
		return cmd
	}
	c := newClient(t, place{"mosquitto", q.dial})
	cmd := life()
	const messages = 400
	for i := range messages {
		if i%100 == 50 { // in the middle of what the broker has sent it
			cmd.Process.Kill()
			cmd.Wait()
		}
		if i%100 == 70 { // twenty came while it was dead
			cmd = life()
		}
		c.send("t", fmt.Sprint(i), 1, false)
	}
	c.send("t", "end", 1, false)
	var text []byte
	for {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "end\n") { // nothing tells that a file has grown
			break
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	got := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		got[strings.TrimSpace(line)] = true
	}
	for i := range messages {
		if !got[fmt.Sprint(i)] {
			t.Errorf("message %d is lost", i)
		}
	}
}
