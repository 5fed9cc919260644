package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	nethttp "net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/dns"
	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/mgr"
)

// The device is found by its names, which change while it runs. The test runs again in a network
// namespace, where it is alone with port 5353 and has an interface that can multicast.
func TestNamesOnTheLocalNetwork(t *testing.T) {
	if poller := os.Getenv("MANGUSTA_NETNS"); poller != "" {
		testNames(t, poller)
		return
	}
	t.Parallel()
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		cmd := exec.Command("/bin/sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && ip link add d0 type veth peer name d1 && "+
			"ip link set d1 up && ip link set d0 up && ip addr add 10.9.7.1/24 dev d0 && exec \"$0\" -test.run '^TestNamesOnTheLocalNetwork$' -test.v", os.Args[0])
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "MANGUSTA_RUN_EXAMPLE=") }), "MANGUSTA_NETNS="+poller)
		out, err := cmd.CombinedOutput()
		switch {
		case bytes.Contains(out, []byte("--- FAIL")):
			t.Errorf("in a namespace:\n%s", out)
		case err != nil || !bytes.Contains(out, []byte("--- PASS")):
			t.Skipf("no network namespace with an interface here: %v\n%s", err, out)
		}
	})
}

func testNames(t *testing.T, poller string) {
	p := programtest.Start(t, "-listen", "10.9.7.1:0", "-tls", "-data", t.TempDir(), "-poller", poller)
	port := netip.MustParseAddrPort(p.Addr).Port()

	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	news := make(chan string, 100)
	lan, err := dns.NewMulticast(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"_http._tcp", "_https._tcp"} {
		if _, err := lan.Browse(kind, func(f *dns.Found) {
			if f.Gone {
				news <- fmt.Sprint(f.Type, " ", f.Name, " is gone")
			} else {
				news <- fmt.Sprint(f.Type, " ", f.Name, " at ", f.Host, f.Addrs, f.Port, f.TXT)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan struct{})
	go func() { defer close(ended); m.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended; m.Close() })
	// want waits until there was each of the news since it was called.
	want := func(list ...string) {
		t.Helper()
		late := time.After(patience)
		for len(list) > 0 {
			select {
			case got := <-news:
				list = slices.DeleteFunc(list, func(want string) bool { return got == want })
			case <-late:
				t.Fatalf("there was no news like %q", list)
			}
		}
	}
	at := func(kind, name, host string) string {
		return fmt.Sprint(kind, " ", name, " at ", host, ".local", []string{"10.9.7.1"}, port, []string{"path=/"})
	}
	want(at("_http._tcp", "thermostat", "thermostat"), at("_https._tcp", "thermostat", "thermostat"))

	ann := setUp(t, "https://"+p.Addr, p.Said)
	until := func(host string) {
		t.Helper()
		for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			if _, text := ann.ask("GET", "/api/settings", ""); strings.Contains(text, `"host":"`+host+`"`) {
				return
			} else if time.Now().After(end) {
				t.Fatalf("%s, want the host %s", text, host)
			}
		}
	}
	until("thermostat.local")
	for _, bad := range []string{"a b", "a.b", "-a", "ü"} {
		ann.want(422, "network.hostname", "PATCH", "/api/settings", `{"network": {"hostname": "`+bad+`"}}`)
	}
	ann.want(200, "", "PATCH", "/api/settings", `{"name": "Flur"}`)
	want("_http._tcp thermostat is gone", at("_http._tcp", "Flur", "thermostat"), at("_https._tcp", "Flur", "thermostat"))
	ann.want(200, "", "PATCH", "/api/settings", `{"network": {"hostname": "hall"}}`)
	want(at("_http._tcp", "Flur", "hall"), at("_https._tcp", "Flur", "hall"))
	until("hall.local")

	found := make(chan mgr.Resolved, 2)
	m.Do(func() {
		lan.Resolve(m, "hall.local", func(r mgr.Resolved) { r.Addrs = slices.Clone(r.Addrs); found <- r })
	})
	if r := <-found; !slices.Equal(r.Addrs, []netip.Addr{netip.MustParseAddr("10.9.7.1")}) {
		t.Errorf("hall.local: %v %v", r.Addrs, r.Err)
	}
	if err := p.Terminate(patience); err != nil {
		t.Error(err)
	}
	want("_http._tcp Flur is gone", "_https._tcp Flur is gone")
}

func init() { // setUp's client takes any certificate in the namespace
	if os.Getenv("MANGUSTA_NETNS") != "" {
		nethttp.DefaultTransport.(*nethttp.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
}
