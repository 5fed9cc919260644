package audit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/owner"
)

var today = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// put writes a file, with exactly this mode.
func put(t *testing.T, name, text string, perm os.FileMode) string {
	t.Helper()
	for _, err := range []error{os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600), os.Chmod(name, perm)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return name
}

// want runs an audit that has to find this, each as "level: what", in any order, and no more.
func want(t *testing.T, o Options, findings ...string) *Report {
	t.Helper()
	if o.Proc == "" {
		o.Proc = "-"
	}
	o.now = func() time.Time { return today }
	r := Run(o)
	var got []string
	for _, f := range r.Findings {
		got = append(got, string(f.Level)+": "+f.What)
		if f.Why == "" || f.Mend == "" {
			t.Errorf("%s: it does not say why, or what to do", f.What)
		}
	}
	slices.Sort(got)
	slices.Sort(findings)
	if !slices.Equal(got, findings) {
		t.Errorf("found\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(findings, "\n  "))
	}
	return r
}

func TestListeners(t *testing.T) {
	want(t, Options{Listeners: []Listener{{URL: "http://127.0.0.1:80"}, {URL: "http://[::1]:80"}, {URL: "http://localhost:80"}, {URL: "https://0.0.0.0:443"},
		{URL: "http://0.0.0.0:80", Redirects: true}}})
	want(t, Options{Listeners: []Listener{{URL: "http://0.0.0.0:80"}, {URL: "http://192.168.1.2:80"}, {URL: ":"}}},
		"unsafe: http://0.0.0.0:80 speaks HTTP without TLS", "unsafe: http://192.168.1.2:80 speaks HTTP without TLS", `unsafe: the listener ":" is malformed`)
}

// Services that take passwords or commands in the clear are unsafe wherever others reach them.
func TestServicesInTheClear(t *testing.T) {
	rows := []string{"21 ftp", "23 telnet", "69 tftp", "161 snmp", "512 rexec", "513 rlogin", "514 rsh", "2323 telnet", "2375 docker", "5555 adb", "6379 redis", "1883 mqtt without TLS"}
	for file, sockets := range map[string]struct{ network, host, state string }{
		"tcp": {"tcp", "192.168.1.2", "0A"}, "tcp6": {"tcp", "[2001:db8::1]", "0A"}, "udp": {"udp", "0.0.0.0", "07"}, "udp6": {"udp", "[::]", "07"},
	} {
		proc, table, findings := t.TempDir(), "head\n", []string(nil)
		for _, row := range rows {
			port, name, _ := strings.Cut(row, " ")
			at := sockets.host + ":" + port
			table += fmt.Sprintf("0: %s 0:0 %s 0:0 0:0 0 0 0 1\n", hexAddr(t, at), sockets.state)
			findings = append(findings, fmt.Sprintf("unsafe: %s %s is open: %s", sockets.network, at, name))
		}
		put(t, filepath.Join(proc, "net", file), table, 0o600)
		want(t, Options{Proc: proc}, findings...)
	}
}

// hexAddr is an address as /proc/net has it on this machine.
func hexAddr(t *testing.T, s string) string {
	t.Helper()
	a := netip.MustParseAddrPort(s)
	raw := a.Addr().AsSlice()
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	return strings.ToUpper(hex.EncodeToString(raw)) + fmt.Sprintf(":%04X", a.Port())
}

func TestPortsOfTheMachine(t *testing.T) {
	proc := t.TempDir()
	table := func(name string, rows ...string) {
		text := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
		for i, row := range rows {
			addr, state, _ := strings.Cut(row, " ")
			text += fmt.Sprintf("   %d: %s 00000000:0000 %s 00000000:00000000 00:00000000 00000000     0        0 %d 1 0 100\n", i, hexAddr(t, addr), state, 100+i)
		}
		put(t, filepath.Join(proc, "net", name), text, 0o600)
	}
	table("tcp", "0.0.0.0:443 0A", "127.0.0.1:23 0A", "0.0.0.0:23 0A", "192.168.1.2:51000 01")
	table("tcp6", "[::]:8443 0A", "[::1]:8444 0A")
	table("udp", "0.0.0.0:5353 07", "0.0.0.0:5353 07", "192.168.1.2:4000 01")
	put(t, filepath.Join(proc, "812", "comm"), "telnetd\n", 0o600)
	if err := os.MkdirAll(filepath.Join(proc, "812", "fd"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("socket:[102]", filepath.Join(proc, "812", "fd", "3")); err != nil {
		t.Fatal(err)
	}
	r := want(t, Options{Proc: proc, Listeners: []Listener{{URL: "https://[::]:443"}}}, // the socket may be of either family
		"unsafe: tcp 0.0.0.0:23 is open, by telnetd (812): telnet", "warning: tcp [::]:8443 is open", "note: udp 0.0.0.0:5353 is open")
	want(t, Options{Proc: proc, Listeners: []Listener{{URL: "https://:443"}, {URL: "https://:8443"}}}, // without a host: on all addresses
		"unsafe: tcp 0.0.0.0:23 is open, by telnetd (812): telnet", "note: udp 0.0.0.0:5353 is open")
	if len(r.Ports) != 6 { // the two of UDP are alike
		t.Errorf("%v", r.Ports)
	}
	// The real ones.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := l.Addr().(*net.TCPAddr).AddrPort()
	if r := Run(Options{}); !slices.ContainsFunc(r.Ports, func(p Port) bool {
		return p.Addr == at && strings.HasSuffix(p.Program, fmt.Sprintf("(%d)", os.Getpid()))
	}) {
		t.Errorf("%v is not in %v", at, r.Ports)
	}
	proc = t.TempDir()
	put(t, filepath.Join(proc, "net", "tcp", "x"), "", 0o600)
	want(t, Options{Proc: proc}, "warning: the open ports are not known: read "+filepath.Join(proc, "net", "tcp")+": is a directory")
}

func TestUsersAndTokens(t *testing.T) {
	dir := t.TempDir()
	users := func(text string) string { return put(t, filepath.Join(dir, "users.json"), text, 0o600) }
	const sum = `"salt":"AAAAAAAAAAAAAAAAAAAAAA==","sum":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`
	open := []Listener{{URL: "https://0.0.0.0:443"}}
	want(t, Options{Users: filepath.Join(dir, "none"), Listeners: open}, "unsafe: the device has no owner")
	want(t, Options{Users: filepath.Join(dir, "none")}, "warning: the device has no owner")
	want(t, Options{Users: users("nonsense")}, "unsafe: "+filepath.Join(dir, "users.json")+" cannot be read: owner: "+filepath.Join(dir, "users.json")+": this is no JSON")
	r := want(t, Options{Users: users(`{"users":[{"name":"ann","role":"admin","password":{"kib":8192,"passes":4,` + sum + `}},{"name":"bob","role":"viewer","password":{"kib":64,"passes":1,` + sum + `}}],
		"tokens":[
			{"name":"good","role":"viewer","scopes":["settings"],"by":"ann","made":"2026-11-01T00:00:00Z","ends":"2027-01-01T00:00:00Z"},
			{"name":"ended","role":"admin","by":"ann","made":"2020-11-01T00:00:00Z","ends":"2021-01-01T00:00:00Z"},
			{"name":"all","role":"admin","by":"ann","made":"2026-11-01T00:00:00Z"},
			{"name":"less","role":"admin","by":"bob","made":"2026-11-01T00:00:00Z"},
			{"name":"wide","role":"admin","by":"ann","made":"2026-11-01T00:00:00Z","ends":"2027-01-01T00:00:00Z"},
			{"name":"old","role":"user","by":"ann","scopes":["x"],"made":"2025-11-01T00:00:00Z","ends":"2027-01-01T00:00:00Z"}]}`)},
		"warning: the password of bob has a cheap digest (64 KiB, 1 passes)",
		"note: the token ended of ann has ended",
		"unsafe: the token all of ann can do everything, for ever",
		"warning: the token less of bob never ends",
		"warning: the token wide of ann can do everything",
		"warning: the token old of ann is 393 days old")
	if fmt.Sprint(r.Users) != "[{ann admin} {bob viewer}]" || r.Findings[0].Level != Unsafe || r.Findings[len(r.Findings)-1].Level != Note {
		t.Errorf("%v %v", r.Users, r.Findings)
	}
}

func TestPermissions(t *testing.T) {
	dir := t.TempDir()
	closed := filepath.Join(dir, "closed")
	put(t, filepath.Join(closed, "users.json"), "", 0o644) // nobody gets there
	want(t, Options{Private: []string{closed, filepath.Join(dir, "none")}})
	open := filepath.Join(dir, "open")
	a, b := put(t, filepath.Join(open, "a"), "", 0o640), put(t, filepath.Join(open, "b"), "", 0o600)
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	want(t, Options{Private: []string{open, b}}, "unsafe: "+a+" has mode 0640")
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	want(t, Options{Private: []string{b}}, "unsafe: "+open+", above "+b+", has mode 0777")
	want(t, Options{Private: []string{open}}, "unsafe: "+a+" has mode 0640", "unsafe: "+open+" has mode 0777")
	slots := filepath.Join(dir, "slots")
	slotA := put(t, filepath.Join(slots, "a"), "", 0o775)
	put(t, filepath.Join(slots, "b"), "", 0o755)
	want(t, Options{Slots: slots}, "unsafe: "+slotA+" has mode 0775")
}

// A path that is a symbolic link, as /var/lib often is on a device, stands for its target.
func TestPermissionsBelowALink(t *testing.T) {
	dir := t.TempDir()
	open, link := filepath.Join(dir, "open"), filepath.Join(dir, "link")
	a := put(t, filepath.Join(open, "data", "a"), "", 0o644)
	for _, err := range []error{os.Symlink(filepath.Join(open, "data"), link), os.Chmod(filepath.Dir(a), 0o755), os.Chmod(open, 0o777)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want(t, Options{Private: []string{link}}, "unsafe: "+a+" has mode 0644", "unsafe: "+open+", above "+filepath.Dir(a)+", has mode 0777")
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	want(t, Options{Private: []string{loop}}, "warning: "+loop+" cannot be looked at: stat "+loop+": too many levels of symbolic links")
	want(t, Options{Slots: link}, "unsafe: "+open+", above "+filepath.Dir(a)+", has mode 0777")
}

func TestCertificates(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, ends time.Time) string {
		c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: ends, DNSNames: []string{"box.local"}, IPAddresses: []net.IP{net.IPv4(192, 168, 1, 2)}}
		der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return put(t, filepath.Join(dir, name), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o600)
	}
	good, soon, over := file("good", today.AddDate(1, 0, 0)), file("soon", today.AddDate(0, 0, 7)), file("over", today.AddDate(0, 0, -7))
	bad := put(t, filepath.Join(dir, "bad"), "nothing", 0o600)
	r := want(t, Options{Certificates: []string{good, soon, over, bad, filepath.Join(dir, "none")}},
		"warning: the certificate "+soon+" ends in 7 days", "unsafe: the certificate "+over+" has expired on 2026-11-22",
		"unsafe: the certificate "+bad+" cannot be read: there is none in PEM")
	if len(r.Certificates) != 3 || fmt.Sprint(r.Certificates[0].Names) != "[box.local 192.168.1.2]" {
		t.Errorf("%v", r.Certificates)
	}
}

func TestUpdates(t *testing.T) {
	want(t, Options{UpdateKeys: []string{"RWQ1", "RWQ2"}})
	want(t, Options{NoUpdates: true}, "note: the device takes no updates")
	want(t, Options{UpdateKeys: []string{"RWQ1", "RWQ2", "RWQ3"}}, "warning: updates may be signed with 3 keys")
}

func TestPrint(t *testing.T) {
	var b strings.Builder
	r := &Report{Time: today, Versions: []string{"box v1"}, Listeners: []Listener{{URL: "http://0.0.0.0:80", Redirects: true}, {URL: "https://0.0.0.0:443"}},
		Ports: []Port{{"udp", netip.MustParseAddrPort("[::]:53"), "named (7)"}}, Users: []User{{"ann", "admin"}},
		Tokens:       []owner.TokenSummary{{Name: "all", By: "ann", Role: device.Admin, Made: today}, {Name: "some", By: "bob", Role: device.Viewer, Scopes: []string{"a", "b"}, Made: today, Ends: today.AddDate(0, 0, 9)}},
		Certificates: []Certificate{{"own.pem", []string{"box.local"}, today}}, UpdateKeys: []string{"RWQ1"},
		Findings: []Finding{{Unsafe, "this", "that", "mend it"}}}
	r.Print(&b)
	if got := b.String(); got != `versions
  box v1
ports of this program
  http://0.0.0.0:80 (redirects)
  https://0.0.0.0:443
open ports of the machine
  udp [::]:53 named (7)
users
  ann, admin
tokens
  all of ann, admin, all scopes, made 2026-11-29, never ends
  some of bob, viewer, [a b], made 2026-11-29, ends 2026-12-08
certificates
  own.pem: [box.local], until 2026-11-29
keys of updates
  RWQ1
unsafe: this
  why: that
  do: mend it
` || !r.Unsafe() {
		t.Error(got)
	}
	b.Reset()
	(&Report{}).Print(&b)
	if b.String() != "nothing unsafe was found\n" {
		t.Error(b.String())
	}
}
