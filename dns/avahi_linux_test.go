package dns_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/dns"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/mgr"
)

// Avahi and we are two hosts on one link: two network namespaces, and a wire between them.
func TestAvahi(t *testing.T) {
	if os.Getenv("MANGUSTA_AVAHI") != "" {
		testAvahi(t)
		return
	}
	if !exhaustive.On() {
		t.Skip("it takes 8 s: MANGUSTA_EXHAUSTIVE=1 runs it")
	}
	for _, p := range []string{"avahi-daemon", "avahi-browse", "avahi-publish", "avahi-resolve", "dbus-daemon", "ip"} {
		if _, err := exec.LookPath(p); err != nil {
			if _, err := os.Stat("/usr/sbin/" + p); err != nil {
				t.Skipf("%s is not installed", p)
			}
		}
	}
	t.Parallel()
	cmd := exec.Command("/bin/sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; mount -t proc none /proc && mount -t tmpfs none /run && mkdir -p /run/avahi-daemon && ip link set lo up && "+
		"ip link add d0 type veth peer name d1 && ip addr add 10.9.8.7/24 dev d0 && ip link set d0 up && exec \"$0\" -test.run '^TestAvahi$' -test.v", os.Args[0])
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	cmd.Env = append(os.Environ(), "MANGUSTA_AVAHI=1")
	out, err := cmd.CombinedOutput()
	switch {
	case strings.Contains(string(out), "--- FAIL"):
		t.Errorf("in a namespace:\n%s", out)
	case err != nil || !strings.Contains(string(out), "--- PASS"):
		t.Skipf("no network namespace with Avahi here: %v\n%s", err, out)
	}
}

func testAvahi(t *testing.T) {
	dir := t.TempDir()
	bus := "unix:path=" + filepath.Join(dir, "bus")
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	os.Setenv("DBUS_SYSTEM_BUS_ADDRESS", bus)
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin")
	start := func(name string, args ...string) (pid int) {
		cmd := exec.Command(name, args...)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
			if t.Failed() {
				t.Logf("%s: %s", name, out.String())
			}
		})
		return cmd.Process.Pid
	}
	run := func(name string, args ...string) string {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		out, _ := exec.CommandContext(ctx, name, args...).CombinedOutput()
		return string(out)
	}
	until := func(what string, done func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("still not: %s", what)
			}
		}
	}
	start("dbus-daemon", "--nofork", "--config-file="+write("bus.conf", `<busconfig><type>system</type><listen>`+bus+`</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy></busconfig>`))
	until("the bus", func() bool { _, err := os.Stat(filepath.Join(dir, "bus")); return err == nil })
	pid := fmt.Sprint(start("unshare", "-n", "sleep", "1000"))
	until("the namespace", func() bool {
		ours, _ := os.Readlink("/proc/self/ns/net")
		its, err := os.Readlink("/proc/" + pid + "/ns/net")
		return err == nil && its != ours
	})
	if out := run("sh", "-c", "ip link set d1 netns "+pid+" && nsenter -n -t "+pid+" sh -c 'ip addr add 10.9.8.8/24 dev d1 && ip link set d1 up && ip link set lo up'"); out != "" {
		t.Skip(out)
	}
	start("nsenter", "-n", "-t", pid, "avahi-daemon", "--no-drop-root", "--no-chroot", "--no-rlimits", "-f",
		write("avahi.conf", "[server]\nhost-name=avahibox\nuse-ipv6=no\n[rlimits]\n[publish]\npublish-workstation=no\npublish-aaaa-on-ipv4=no\npublish-hinfo=no\n"))
	until("avahi-daemon", func() bool { return strings.Contains(run("avahi-resolve", "-4", "-n", "avahibox.local"), "10.9.8.8") })

	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	t.Cleanup(func() { cancel(); <-ended; m.Close() })
	on := func(f func()) { // on the loop
		done := make(chan struct{})
		m.Do(func() { defer close(done); f() })
		<-done
	}
	d, err := dns.NewMulticast(m)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 10)
	tell := func(s string) { told <- s }
	take := func() string {
		select {
		case s := <-told:
			return s
		case <-time.After(time.Minute):
			t.Fatal("nothing came")
			return ""
		}
	}
	if err := d.SetHost("avahibox", tell); err != nil { // Avahi has it, and defends it
		t.Fatal(err)
	}
	if _, err := d.Announce(dns.Service{Name: "Pump v1.5", Type: "_http._tcp", Port: 8080, TXT: []string{"path=/", "x=y"}, Subtypes: []string{"_pump"}}, tell); err != nil {
		t.Fatal(err)
	}
	found := make(chan *dns.Found, 10)
	if _, err := d.Browse("_ipp._tcp", func(f *dns.Found) { found <- f }); err != nil {
		t.Fatal(err)
	}
	kinds := make(chan *dns.Found, 10)
	if _, err := d.Browse("_color._sub._ipp._tcp", func(f *dns.Found) { kinds <- f }); err != nil {
		t.Fatal(err)
	}
	go func() { m.Run(ctx); close(ended) }()
	if host := take(); host != "avahibox-2" {
		t.Errorf("the host is %q", host)
	}
	if name := take(); name != "Pump v1.5" {
		t.Errorf("the service is %q", name)
	}

	// Avahi sees us.
	want := `;local;avahibox-2.local;10.9.8.7;8080;`
	out := ""
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("avahi-browse says %s", out)
		}
	})
	until("Avahi finds the service", func() bool { out = run("avahi-browse", "-rpt", "_http._tcp"); return strings.Contains(out, want) })
	if !strings.Contains(out, `Pump\032v1\.5;`) || !strings.Contains(out, `"path=/"`) || !strings.Contains(out, `"x=y"`) {
		t.Errorf("avahi-browse says %s", out)
	}
	if out := run("avahi-resolve", "-4", "-n", "avahibox-2.local"); !strings.Contains(out, "10.9.8.7") {
		t.Errorf("avahi-resolve says %s", out)
	}

	if out := run("avahi-resolve", "-a", "10.9.8.7"); !strings.Contains(out, "avahibox-2.local") {
		t.Errorf("avahi-resolve -a says %s", out)
	}
	if out := run("avahi-browse", "-rpt", "_pump._sub._http._tcp"); !strings.Contains(out, want) {
		t.Errorf("avahi-browse of the subtype says %s", out)
	}
	if out := run("avahi-browse", "-rpt", "_fan._sub._http._tcp"); strings.Contains(out, want) {
		t.Errorf("avahi-browse of another subtype says %s", out)
	}

	// We see Avahi.
	publish := exec.Command("avahi-publish", "-s", "--subtype=_color._sub._ipp._tcp", "Printer. hall", "_ipp._tcp", "631", "rp=x", "ty=y")
	if err := publish.Start(); err != nil {
		t.Fatal(err)
	}
	next := func() *dns.Found {
		select {
		case f := <-found:
			return f
		case <-time.After(time.Minute):
			publish.Process.Kill()
			t.Fatal("nothing was found")
			return nil
		}
	}
	f := next()
	if f.Name != "Printer. hall" || f.Port != 631 || f.Host != "avahibox.local" || fmt.Sprint(f.Addrs) != "[10.9.8.8]" || len(f.TXT) != 2 || f.Gone {
		t.Errorf("found %+v", f)
	}
	select {
	case f := <-kinds:
		if f.Name != "Printer. hall" || f.Type != "_ipp._tcp" || f.Port != 631 {
			t.Errorf("of the subtype %+v", f)
		}
	case <-time.After(time.Minute):
		t.Error("nothing of the subtype was found")
	}
	publish.Process.Signal(os.Interrupt)
	publish.Wait()
	if f := next(); !f.Gone || f.Name != "Printer. hall" {
		t.Errorf("found %+v", f)
	}
	got := make(chan mgr.Resolved, 1)
	on(func() {
		d.Resolve(m, "avahibox.local", func(x mgr.Resolved) { got <- mgr.Resolved{Addrs: append(x.Addrs[:0:0], x.Addrs...), Err: x.Err} })
	})
	if x := <-got; fmt.Sprint(x.Addrs) != "[10.9.8.8]" {
		t.Errorf("avahibox.local: %+v", x)
	}

	names := make(chan string, 1)
	on(func() {
		d.PTR(m, netip.MustParseAddr("10.9.8.8"), func(list []string, err error) { names <- fmt.Sprint(list, err) })
	})
	if s := <-names; s != "[avahibox.local] <nil>" {
		t.Errorf("the names of 10.9.8.8 are %s", s)
	}

	// And sees us go.
	on(d.Close)
	until("Avahi forgets the service", func() bool { return !strings.Contains(run("avahi-browse", "-pt", "_http._tcp"), "Pump") })
}
