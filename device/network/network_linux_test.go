package network

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/internal/selftest"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestRead(t *testing.T) {
	s, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(s.Interfaces, func(f Interface) bool { return f.Loopback })
	if i < 0 {
		t.Fatalf("there is no loopback in %+v", s)
	}
	lo := s.Interfaces[i]
	if lo.Name != "lo" || lo.MTU < 1280 || lo.MAC != "" || lo.Up && !slices.Contains(lo.Addresses, netip.MustParsePrefix("127.0.0.1/8")) {
		t.Errorf("%+v", lo)
	}
	if !s.equal(&s, true) {
		t.Error("a Status is not equal to itself")
	}
	before, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	for range 9 {
		if _, err := Read(); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := os.ReadDir("/proc/self/fd"); err != nil || len(after) > len(before)+2 {
		t.Errorf("%d descriptors, there were %d; %v", len(after), len(before), err)
	}
}

// An answer ends with its own end, and says whether something has changed meanwhile, in whichever
// datagram that stood.
func TestAnswer(t *testing.T) {
	message := func(kind, flags uint16, sequence uint32, body string) string {
		b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
		b = binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(b, kind), flags)
		b = append(append(binary.NativeEndian.AppendUint32(b, sequence), 0, 0, 0, 0), body...)
		return string(append(b, make([]byte, -len(b)&3)...))
	}
	denied := string(binary.NativeEndian.AppendUint32(nil, ^uint32(unix.EPERM)+1))
	link, end := message(unix.RTM_NEWLINK, unix.NLM_F_MULTI, 7, "link"), message(unix.NLMSG_DONE, unix.NLM_F_MULTI, 7, "\x00\x00\x00\x00")
	for _, tt := range []struct {
		datagrams []string
		want      string
	}{
		{[]string{link + link, link, end}, "link link link true <nil>"},
		{[]string{link + end}, "link true <nil>"},
		{[]string{link}, "link false <nil>"},
		{[]string{message(unix.RTM_NEWLINK, 0, 7, "odd") + end}, "odd true <nil>"},
		{[]string{message(unix.RTM_NEWLINK, 0, 8, "another's") + message(unix.NLMSG_DONE, 0, 6, ""), link + end}, "link true <nil>"},
		{[]string{message(unix.NLMSG_ERROR, 0, 8, denied), end}, "true <nil>"},
		{[]string{message(unix.RTM_NEWLINK, unix.NLM_F_DUMP_INTR, 7, "early"), link, end}, "early link true the dump was interrupted"},
		{[]string{link, message(unix.NLMSG_DONE, unix.NLM_F_DUMP_INTR, 7, "")}, "link true the dump was interrupted"},
		{[]string{message(unix.RTM_NEWLINK, unix.NLM_F_DUMP_INTR, 8, "another's"), end}, "true <nil>"},
		{[]string{link, message(unix.NLMSG_ERROR, 0, 7, denied)}, "link false netlink: operation not permitted"},
		{[]string{message(unix.NLMSG_ERROR, 0, 7, "no")}, "false netlink: a message is cut"},
		{[]string{link + end[:15]}, "link false netlink: a message is cut"},
		{[]string{link[:18]}, "false netlink: a message is cut"},
		{[]string{"\x00\x00\x00\x00" + link[4:]}, "false netlink: a message is cut"},
	} {
		got := ""
		a := answer{sequence: 7, each: func(_ uint16, body []byte) { got += string(body) + " " }}
		done, err := false, error(nil)
		for _, d := range tt.datagrams {
			if done, err = a.take([]byte(d)); done || err != nil {
				break
			}
		}
		if got += fmt.Sprint(done, " ", err); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.datagrams, got, tt.want)
		}
	}
}

// A rig is a Watcher on a loop that runs, and the states that it told.
type rig struct {
	t    *testing.T
	m    *mgr.Manager
	w    *Watcher
	told chan Status
}

func watch(t *testing.T, p mgr.Poller, o Options) *rig {
	t.Helper()
	r := &rig{t: t, m: looptest.New(t, p), told: make(chan Status, 1000)}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r.w = Watch(r.m, func(s Status) { r.told <- s }, o)
	looptest.Run(t, r.m)
	return r
}

func (r *rig) next() Status {
	r.t.Helper()
	select {
	case s := <-r.told:
		return s
	case <-time.After(time.Minute):
		r.t.Fatal("nothing is told")
		return Status{}
	}
}

// until waits for a Status that is as f wants it.
func (r *rig) until(what string, f func(s Status) bool) {
	r.t.Helper()
	for end := time.After(time.Minute); ; {
		select {
		case s := <-r.told:
			if f(s) {
				return
			}
		case <-end:
			r.t.Fatalf("%s is not told", what)
		}
	}
}

// In a network namespace of its own the test changes the network, and looks at what is told.
func TestChanges(t *testing.T) {
	if !selftest.InNamespace(t, syscall.CLONE_NEWNET, "true") {
		return
	}
	route := func(to, gateway, by string) func(s Status) bool {
		return func(s Status) bool {
			return slices.ContainsFunc(s.Routes, func(r Route) bool {
				return r.To.String() == to && (gateway == "" && !r.Gateway.IsValid() || r.Gateway.String() == gateway) && r.Interface == by
			})
		}
	}
	link := func(f func(v0 *Interface) bool) func(s Status) bool {
		return func(s Status) bool {
			i := slices.IndexFunc(s.Interfaces, func(f Interface) bool { return f.Name == "v0" })
			return i >= 0 && f(&s.Interfaces[i])
		}
	}
	has := func(p string) func(s Status) bool {
		return link(func(v *Interface) bool { return slices.Contains(v.Addresses, netip.MustParsePrefix(p)) })
	}
	not := func(f func(s Status) bool) func(s Status) bool { return func(s Status) bool { return !f(s) } }
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := watch(t, p, Options{Every: time.Hour, gather: 10 * time.Millisecond})
		if s := r.next(); len(s.Interfaces) != 1 || len(s.Routes) != 0 {
			t.Errorf("at first %+v", s)
		}
		for _, step := range []struct {
			cmd  string
			want func(s Status) bool
		}{
			{"ip link add v0 type veth peer name v1", link(func(v *Interface) bool { return !v.Up && !v.Running && len(v.MAC) == 17 })},
			{"ip link set v0 up; ip link set v1 up", link(func(v *Interface) bool { return v.Up && v.Running })},
			{"ip link set v0 mtu 1400", link(func(v *Interface) bool { return v.MTU == 1400 })},
			{"ip addr add 10.9.8.7/24 dev v0", has("10.9.8.7/24")},
			{"ip addr add 10.9.7.7 peer 10.9.7.1 dev v0", has("10.9.7.7/32")},
			{"ip -6 addr add 2001:db8::7/64 dev v0 nodad", has("2001:db8::7/64")},
			{"ip route add 10.77.0.0/16 via 10.9.8.1", route("10.77.0.0/16", "10.9.8.1", "v0")},
			{"ip route add default via 10.9.8.1 metric 7", func(s Status) bool {
				return s.Routes[0].To.Bits() == 0 && s.Routes[0].Metric == 7 && s.Routes[0].Interface == "v0"
			}},
			{"ip -6 route add default via 2001:db8::1", route("::/0", "2001:db8::1", "v0")},
			{"ip route add 10.78.0.0/16 nexthop via 10.9.8.2 dev v0 nexthop via 10.9.8.3 dev v0", func(s Status) bool {
				return route("10.78.0.0/16", "10.9.8.2", "v0")(s) && route("10.78.0.0/16", "10.9.8.3", "v0")(s)
			}},
			{"ip route add 10.79.0.0/16 via inet6 2001:db8::2 dev v0", route("10.79.0.0/16", "2001:db8::2", "v0")},
			// Those of other tables and kinds are not shown; the next step is told after them.
			{"ip route add 10.80.0.0/16 via 10.9.8.1 table 500; ip route add blackhole 10.81.0.0/16; ip route add 10.82.0.0/16 dev v0", func(s Status) bool {
				if route("10.80.0.0/16", "10.9.8.1", "v0")(s) || strings.Contains(fmt.Sprint(s.Routes), "10.81.") {
					t.Error("a route of another table, or one that leads nowhere, is shown")
				}
				return route("10.82.0.0/16", "", "v0")(s)
			}},
			{"for i in $(seq 1 250); do echo route add 10.90.$i.0/24 dev v0; done | ip -batch -; ip route del default; ip route add default dev v0", func(s Status) bool {
				return len(s.Routes) <= maxRoutes && route("0.0.0.0/0", "", "v0")(s) && route("10.9.8.0/24", "", "v0")(s) && len(s.Routes) >= 250
			}},
			{"for i in $(seq 1 250); do echo route add 10.91.$i.0/24 dev v0; done | ip -batch -; ip -6 route del default; ip -6 route add default dev v0", func(s Status) bool {
				return len(s.Routes) == maxRoutes && s.MoreRoutes >= 250 && route("0.0.0.0/0", "", "v0")(s) && route("::/0", "", "v0")(s)
			}},
			{"ip addr del 10.9.8.7/24 dev v0", not(has("10.9.8.7/24"))},
			{"ip link del v0", func(s Status) bool { return len(s.Interfaces) == 1 && len(s.Routes) == 0 }},
		} {
			if out, err := exec.Command("/bin/sh", "-c", step.cmd).CombinedOutput(); err != nil {
				t.Skipf("%s: %v: %s", step.cmd, err, out)
			}
			r.until(step.cmd, step.want)
		}
	})
}

// The counters are told while they are watched, and only then; what is the same is not told again.
func TestCountersWhileWatched(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		var watched atomic.Bool
		var n atomic.Uint64
		r := watch(t, p, Options{Every: 2 * time.Millisecond, Watched: watched.Load, read: func() (Status, error) {
			return Status{Interfaces: []Interface{{Name: "eth0", Counters: Counters{SentBytes: n.Add(1)}}}}, nil
		}})
		if got := r.next().Interfaces[0].Counters.SentBytes; got != 1 {
			t.Errorf("at first %d", got)
		}
		// Without a page nothing is read, but each 30th time, and nothing is told.
		for n.Load() < 3 {
			time.Sleep(time.Millisecond)
		}
		if len(r.told) != 0 {
			t.Errorf("told %+v", <-r.told)
		}
		watched.Store(true)
		for last := uint64(0); last < 10; {
			got := r.next().Interfaces[0].Counters.SentBytes
			if got <= last {
				t.Errorf("%d after %d", got, last)
			}
			last = got
		}
	})
}

// An error is logged once, and what comes later is told.
func TestErrors(t *testing.T) {
	var n atomic.Int64
	var log lines
	r := watch(t, 0, Options{Every: time.Millisecond, Watched: func() bool { return true }, Log: slog.New(slog.NewTextHandler(&log, nil)),
		read: func() (Status, error) {
			if n.Add(1) < 5 {
				return Status{}, errors.New("no such luck")
			}
			return Status{}, nil
		}})
	r.next()
	if got := log.n.Load(); got != 1 {
		t.Errorf("%d lines are logged", got)
	}
}

type lines struct{ n atomic.Int64 }

func (l *lines) Write(b []byte) (int, error) {
	l.n.Add(1)
	return len(b), nil
}

// A slow reading holds up nothing, and there is one at a time; Stop ends the calls.
func TestSlowReadingsAndStop(t *testing.T) {
	var under, n atomic.Int64
	begun, goOn := make(chan struct{}, 100), make(chan struct{})
	r := watch(t, 0, Options{Every: time.Millisecond, Watched: func() bool { return true }, read: func() (Status, error) {
		if under.Add(1) > 1 {
			t.Error("two at a time")
		}
		defer under.Add(-1)
		begun <- struct{}{}
		<-goOn
		return Status{MoreRoutes: int(n.Add(1))}, nil
	}})
	<-begun
	free := make(chan struct{})
	r.m.Do(func() { r.m.AfterFunc(20*time.Millisecond, func() { close(free) }) }) // and some ticks pass
	<-free
	goOn <- struct{}{}
	<-begun // the ticks in between have made one more
	stopped := make(chan struct{})
	r.m.Do(func() {
		r.w.Stop()
		r.w.Stop()
		close(stopped)
	})
	<-stopped
	told := len(r.told)
	close(goOn)
	for under.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	last := make(chan struct{})
	r.m.Do(func() { close(last) }) // after what the reading had queued
	<-last
	if len(r.told) != told {
		t.Error("it is told after Stop")
	}
}

func TestNameServers(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	stub := file("stub", "# of systemd\nnameserver 127.0.0.53\noptions edns0\n")
	real := file("real", "nameserver 192.0.2.1\nnameserver\tfe80::1%eth0 \nnameserver 192.0.2.1\nnameserver nonsense\nnameserver\n;nameserver 192.0.2.9\n")
	missing := filepath.Join(dir, "missing")
	for _, tt := range []struct {
		files []string
		want  string
	}{
		{[]string{real}, "[192.0.2.1 fe80::1%eth0]"},
		{[]string{stub, real}, "[192.0.2.1 fe80::1%eth0]"},
		{[]string{real, stub}, "[192.0.2.1 fe80::1%eth0]"},
		{[]string{stub, missing}, "[127.0.0.53]"},
		{[]string{missing}, "[]"},
		{[]string{dir}, "[]"},
		{[]string{file("many", strings.Repeat("nameserver 192.0.2.1\n", 100)), stub}, "[192.0.2.1]"},
	} {
		if got := fmt.Sprint(nameServers(tt.files)); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.files, got, tt.want)
		}
	}
	if s, err := json.Marshal(Status{DNS: nameServers([]string{missing})}); err != nil || !bytes.Contains(s, []byte(`"dns":[]`)) {
		t.Errorf("%s %v", s, err)
	}
}

// Messages that are cut, or that hold anything, make no panic and no list without a bound.
func FuzzNetlink(f *testing.F) {
	for _, question := range []uint16{unix.RTM_GETLINK, unix.RTM_GETADDR, unix.RTM_GETROUTE} {
		dump(make([]byte, room), question, func(kind uint16, body []byte) { f.Add(kind, body) })
	}
	f.Fuzz(func(t *testing.T, kind uint16, b []byte) {
		s := Status{Interfaces: []Interface{{Index: 1, Name: "lo"}}}
		messages(b, func(h header, body []byte) error {
			s.addLink(body)
			return nil
		})
		for range 2 * maxRoutes {
			switch kind {
			case unix.RTM_NEWLINK:
				s.addLink(b)
			case unix.RTM_NEWADDR:
				s.addAddress(b)
			default:
				s.addRoute(b)
			}
		}
		if len(s.Interfaces) > maxInterfaces || len(s.Routes) > maxRoutes || len(s.Interfaces[0].Addresses) > maxAddresses {
			t.Error("too many")
		}
		if _, err := json.Marshal(s); err != nil {
			t.Error(err)
		}
	})
}

func TestSpeed(t *testing.T) {
	for _, name := range []string{"lo", "", ".", "..", "../../../proc", "none"} {
		if n := speedOf(name); n != 0 {
			t.Errorf("%q: %d", name, n)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(); err != nil {
			b.Fatal(err)
		}
	}
}
