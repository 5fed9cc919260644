package cert

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	nethttp "net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

// peers has a Keeper for the present time, its authority in a file, a server with its certificate,
// and one with a certificate that a thief of its key has made for another site.
type peers struct {
	k            *Keeper
	ca           string // a file
	good, forged string // ports
	forgedPEM    string // a file
}

func startPeers(t *testing.T) *peers {
	t.Helper()
	b := newBox(t)
	b.clock = time.Now()
	p := &peers{k: b.start(), ca: filepath.Join(b.dir, "ca.crt"), forgedPEM: filepath.Join(b.dir, "forged.crt")}
	forged, err := p.k.ca.issue(names{hosts: []string{"evil.example"}, addrs: []netip.Addr{netip.MustParseAddr("203.0.113.9")}}, b.clock)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.WriteFile(p.ca, p.k.Authority(), 0o600), os.WriteFile(p.forgedPEM, forged.certificates(), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	_, p.good, err = net.SplitHostPort(serve(t, mgr.Auto, p.k))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(forged.text(), forged.text())
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	server := &nethttp.Server{Handler: nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) { io.WriteString(w, "forged") })}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	_, p.forged, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tool returns a program's path, or skips the test.
func tool(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("SKIPPED, NOT TESTED: there is no %s here", names[0])
	return ""
}

// run returns what a tool printed, and whether it was content.
func run(t *testing.T, path string, args ...string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func TestOpenSSLVerifies(t *testing.T) {
	openssl := tool(t, "openssl")
	p := startPeers(t)
	own := filepath.Join(filepath.Dir(p.ca), "own.pem")
	for _, args := range [][]string{{"-verify_hostname", "box.local"}, {"-verify_hostname", "localhost"}, {"-verify_ip", "192.168.7.2"}, {"-verify_ip", "127.0.0.1"}} {
		if out, ok := run(t, openssl, append(append([]string{"verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", p.ca}, args...), own)...); !ok {
			t.Errorf("%v: %s", args, out)
		}
	}
	if out, ok := run(t, openssl, "verify", "-CAfile", p.ca, p.forgedPEM); ok || !strings.Contains(out, "permitted subtree violation") {
		t.Errorf("the forged one: %s", out)
	}
	if out, ok := run(t, openssl, "verify", "-CAfile", p.ca, "-purpose", "smimesign", own); ok {
		t.Errorf("for mail: %s", out)
	}
}

func TestCurlVerifies(t *testing.T) {
	curl := tool(t, "curl")
	p := startPeers(t)
	ask := func(port, host string) (string, bool) {
		t.Helper()
		return run(t, curl, "-sS", "--noproxy", "*", "--max-time", "20", "--cacert", p.ca, "--resolve", host+":"+port+":127.0.0.1", "https://"+host+":"+port+"/certificate")
	}
	for _, host := range []string{"box.local", "localhost", "127.0.0.1"} {
		if out, ok := ask(p.good, host); !ok || !strings.Contains(out, `"active":"own"`) {
			t.Errorf("%s: %s", host, out)
		}
	}
	if out, ok := ask(p.forged, "evil.example"); ok || !strings.Contains(out, "curl: (60)") {
		t.Errorf("the forged one: %s", out)
	}
	if out, ok := ask(p.good, "evil.example"); ok {
		t.Errorf("another name: %s", out)
	}
}

func TestChromiumVerifies(t *testing.T) {
	chromium, certutil := tool(t, "chromium", "chromium-browser", "google-chrome"), tool(t, "certutil")
	p := startPeers(t)
	home, err := os.MkdirTemp("", "mangusta-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home) // the browser may still be writing there
	db := filepath.Join(home, ".pki", "nssdb")
	if err := os.MkdirAll(db, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, ok := run(t, certutil, "-d", "sql:"+db, "-N", "--empty-password"); !ok {
		t.Fatal(out)
	}
	if out, ok := run(t, certutil, "-d", "sql:"+db, "-A", "-n", "box", "-t", "C,,", "-i", p.ca); !ok {
		t.Fatal(out)
	}
	see := func(port, host string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
			"--enable-logging=stderr", "--user-data-dir="+filepath.Join(home, "profile"), "--host-resolver-rules=MAP * 127.0.0.1", "--dump-dom", "https://"+host+":"+port+"/certificate")
		cmd.Env = append(os.Environ(), "HOME="+home)
		cmd.WaitDelay = time.Second
		out, _ := cmd.CombinedOutput() // an error page is no error of it
		return string(out)
	}
	if text := see(p.good, "box.local"); !strings.Contains(text, `"active":"own"`) {
		t.Errorf("box.local: %.2000s", text)
	}
	if text := see(p.forged, "evil.example"); !strings.Contains(text, "ERR_CERT_INVALID") { // of an authority that it does not know it says ERR_CERT_AUTHORITY_INVALID
		t.Errorf("the forged one: %.3000s", text)
	}
}
