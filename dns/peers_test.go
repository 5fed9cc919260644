package dns_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/dns"
	"github.com/seed4930a636/mangusta/mgr"
)

// Real name servers. Each is given the same zone:
//
//	both.test, four.test, six.test   addresses
//	alias.test                       a CNAME of both.test
//	many.test                        more addresses than a datagram takes
//	_mqtt._tcp.test, texts.test      SRV and TXT records

// program starts a server, and returns when it answers on port.
func program(t *testing.T, port int, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path = "/usr/sbin/" + name; exec.Command(path, "--version").Run() != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	cmd := exec.Command(path, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skipf("%s does not start: %v", name, err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return
		}
		select {
		case <-ended:
			t.Skipf("%s has ended: %s", name, out.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen: %s", name, out.String())
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestDnsmasq(t *testing.T) {
	p := freePort(t)
	args := []string{"--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--no-resolv", "--no-hosts", "--bind-interfaces",
		"--listen-address=127.0.0.1", "--user=", "--local=/test/", fmt.Sprintf("--port=%d", p), "--local-ttl=60", "--neg-ttl=60",
		"--host-record=both.test,192.0.2.1,2001:db8::1", "--host-record=four.test,192.0.2.4", "--host-record=six.test,2001:db8::6",
		"--cname=alias.test,both.test", "--srv-host=_mqtt._tcp.test,both.test,1883,1,2", "--txt-record=texts.test,hello,world"}
	for i := range 150 {
		args = append(args, fmt.Sprintf("--host-record=many.test,10.0.0.%d", i))
	}
	program(t, p, "dnsmasq", args...)
	testPeer(t, p)
}

func TestUnbound(t *testing.T) {
	p := freePort(t)
	var b strings.Builder
	fmt.Fprintf(&b, "server:\n interface: 127.0.0.1\n port: %d\n do-daemonize: no\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n use-syslog: no\n"+
		" num-threads: 1\n module-config: \"iterator\"\n access-control: 127.0.0.0/8 allow\n local-zone: \"test.\" static\n", p)
	data := func(format string, args ...any) {
		fmt.Fprintf(&b, " local-data: '"+format+"'\n", args...)
	}
	data("test. 60 SOA test. test. 1 60 60 60 60")
	data("both.test. 60 A 192.0.2.1")
	data("both.test. 60 AAAA 2001:db8::1")
	data("four.test. 60 A 192.0.2.4")
	data("six.test. 60 AAAA 2001:db8::6")
	data("alias.test. 60 CNAME both.test.")
	data("_mqtt._tcp.test. 60 SRV 1 2 1883 both.test.")
	data(`texts.test. 60 TXT "hello" "world"`)
	for i := range 150 {
		data("many.test. 60 A 10.0.0.%d", i)
	}
	conf := filepath.Join(t.TempDir(), "unbound.conf")
	if err := os.WriteFile(conf, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	program(t, p, "unbound", "-d", "-c", conf)
	testPeer(t, p)
}

func testPeer(t *testing.T, port int) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		r := newRig(t, o, dns.Options{Servers: []netip.AddrPort{netip.MustParseAddrPort(fmt.Sprintf("127.0.0.1:%d", port))}, Search: []string{"test"}})
		r.want("both.test", "2001:db8::1", "192.0.2.1")
		r.want("four", "192.0.2.4")
		r.want("six", "2001:db8::6")
		r.want("alias", "2001:db8::1", "192.0.2.1")
		r.wantError("nowhere.test.", dns.ErrNoName)
		if got, err := r.addrs("many.test"); len(got) != 150 || err != nil {
			t.Errorf("many.test: %d addresses, %v", len(got), err)
		}
		if st := r.r.Stats(r.m); st.TCP == 0 {
			t.Errorf("150 addresses came without TCP: %+v", st)
		}
		done := 0
		r.r.SRV(r.m, "_mqtt._tcp.test.", func(srv []dns.SRV, err error) {
			if done++; err != nil || !slices.Equal(srv, []dns.SRV{{Target: "both.test", Port: 1883, Priority: 1, Weight: 2}}) {
				t.Errorf("%+v, %v", srv, err)
			}
		})
		r.r.TXT(r.m, "texts.test.", func(list []string, err error) {
			if done++; err != nil || !slices.Equal(list, []string{"helloworld"}) {
				t.Errorf("%q, %v", list, err)
			}
		})
		r.r.TXT(r.m, "four.test.", func(list []string, err error) {
			if done++; !errors.Is(err, dns.ErrNoData) {
				t.Errorf("%q, %v", list, err)
			}
		})
		r.until(func() bool { return done == 3 })
	})
}
