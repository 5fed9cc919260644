package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/sntp"
)

// In a network namespace of its own the test changes the network, and reads what the device says.
func TestNetworkChangesAreTold(t *testing.T) {
	if os.Getenv("MANGUSTA_NETNS") == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestNetworkChangesAreTold$", "-test.v")
		cmd.Env = append(os.Environ(), "MANGUSTA_NETNS=1")
		own(cmd)
		out, err := cmd.CombinedOutput()
		switch {
		case bytes.Contains(out, []byte("--- FAIL")):
			t.Errorf("in a namespace:\n%s", out)
		case err != nil || !bytes.Contains(out, []byte("--- PASS")):
			t.Skipf("no network namespace here: %v\n%s", err, out)
		}
		return
	}
	for _, poller := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		m, err := mgr.New(mgr.Options{Poller: poller})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		var told []string
		if err := watchNetwork(m, func(texts ...string) { told = append(told, texts...) }); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct{ cmd, want string }{
			{"ip link add v0 type veth peer name v1", "v0 is new, and down"},
			{"ip link set v0 up", "v0 is up, without a carrier"},
			{"ip link set v1 up", "v0 is up"},
			{"ip addr add 10.9.8.7/24 dev v0", "v0 has 10.9.8.7/24"},
			{"ip route add 10.77.0.0/16 via 10.9.8.1", "the route to 10.77.0.0/16 by 10.9.8.1 on v0 goes"},
			{"ip route del 10.77.0.0/16", "the route to 10.77.0.0/16 by 10.9.8.1 on v0 is gone"},
			{"ip route add default dev v0", "the default route on v0 goes"},
			{"ip addr del 10.9.8.7/24 dev v0", "v0 has no longer 10.9.8.7/24"},
			{"ip link del v0", "v1 is gone"},
		} {
			if out, err := exec.Command("/bin/sh", "-c", step.cmd).CombinedOutput(); err != nil {
				t.Skipf("%s: %v: %s", step.cmd, err, out)
			}
			want := func(s string) bool {
				return s == step.want || strings.HasSuffix(step.want, " goes") && strings.Join(strings.Fields(s), " ") == goesForm(step.want)
			}
			for end := time.Now().Add(time.Minute); !slices.ContainsFunc(told, want); {
				if time.Now().After(end) {
					t.Fatalf("%s: not told %q, but %q", step.cmd, step.want, told)
				}
				m.Poll(20 * time.Millisecond)
			}
			told = told[:0]
		}
	}
}

// goesForm is "the route to X goes by Y on Z" for "the route to X by Y on Z goes".
func goesForm(s string) string {
	s = strings.TrimSuffix(s, " goes")
	for _, word := range []string{" by ", " on "} {
		if i := strings.Index(s, word); i >= 0 {
			return s[:i] + " goes" + s[i:]
		}
	}
	return s
}

// own gives a command a network namespace.
func own(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// Messages that are cut, or that hold anything, make no text and no panic.
func FuzzNetlink(f *testing.F) {
	f.Add([]byte("\x14\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := &links{names: map[int]string{}, states: map[int]string{}}
		for _, text := range l.read(b) {
			if text == "" {
				t.Error("an empty text")
			}
		}
	})
}

// A page is told of changes, in order and with numbers; a burst comes in one document, and a new
// page gets the last ones.
func TestChangesReachThePages(t *testing.T) {
	d := newUnknown(t)
	p := runUnknown(t, d)
	first := p.open()
	first.want("hello", nil)
	n := &network{d: d, m: d.m.Managers()[0]}
	d.m.Do(func() {
		for i := range 300 {
			n.changed(fmt.Sprint("change ", i))
		}
	})
	check := func(who string, doc map[string]any) {
		t.Helper()
		list := doc["changes"].([]any)
		at := func(i int) map[string]any { return list[i].(map[string]any) }
		if len(list) != maxChanges || at(0)["text"] != "change 200" || at(maxChanges - 1)["text"] != "change 299" || at(maxChanges - 1)["seq"] != 300.0 {
			t.Errorf("%s: %d changes, %v", who, len(list), list)
		}
	}
	ours := func(doc map[string]any) bool { return strings.HasPrefix(fmt.Sprint(doc["changes"]), "[map[seq:201") }
	check("a page", first.want("net", ours))
	check("a new page", p.open().want("hello", nil))
}

// With -ntp the samples say how far the clock is off.
func TestTheClockIsShown(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Listen("udp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if ev, ok := ev.(*conn.Datagram); ok {
			q, _ := sntp.Parse(ev.Data)
			now := sntp.TimestampOf(time.Now().Add(2 * time.Second))
			a := sntp.Packet{Version: 4, Mode: 4, Stratum: 3, Originate: q.Transmit, Receive: now, Transmit: now}
			ev.Reply(a.Append(nil))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	url := "udp://" + s.LocalAddr().String()
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for m.Poll(-1) == nil {
		}
	}()
	defer func() { m.Close(); <-stop }()
	p := startFast(t, "-ntp", url)
	doc := p.open().want("sample", func(doc map[string]any) bool { return doc["clock"] != nil })
	clock := doc["clock"].(map[string]any)
	if off := clock["offset"].(float64); off < 1900 || off > 2100 || clock["stratum"] != 3.0 || clock["server"] != url {
		t.Errorf("%v", clock)
	}
}
