package cert

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/device/internal/disk/disksim"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestFirstStartAndRestart(t *testing.T) {
	b := newBox(t)
	k := b.start()
	wantActive(t, k, today, "box.local", "localhost", "192.168.7.2", "127.0.0.1", "fe80::2")
	for _, h := range []string{"box", "203.0.113.9", "evil.example", "192.168.7.3", "x.box.local"} {
		if err := verify(t, k, k.Active(), h, today); err == nil {
			t.Errorf("it is for %s", h)
		}
	}
	for name, perm := range map[string]os.FileMode{"": 0o700, "ca.pem": 0o600, "own.pem": 0o600} {
		if info, err := os.Stat(filepath.Join(b.dir, name)); err != nil || info.Mode().Perm() != perm {
			t.Errorf("%q: %v %v", name, info, err)
		}
	}
	ca, own := k.Authority(), k.Active().Raw
	b.sleep(k, time.Hour) // nothing to do
	again := b.start()
	if string(again.Authority()) != string(ca) || string(again.Active().Raw) != string(own) || string(k.Active().Raw) != string(own) {
		t.Error("there is another certificate after a restart")
	}
	if strings.Contains(string(ca), "PRIVATE") {
		t.Error("the authority's key is in what is downloaded")
	}
}

// A thief of the authority's key cannot use it for another site: verifiers refuse.
func TestTheAuthorityCannotVouchForOthers(t *testing.T) {
	b := newBox(t)
	k := b.start()
	for _, n := range []names{
		{hosts: []string{"evil.example"}}, {hosts: []string{"box.local", "evil.example"}}, {hosts: []string{"xbox.local"}}, {hosts: []string{"local"}},
		{addrs: []netip.Addr{netip.MustParseAddr("203.0.113.9")}}, {addrs: []netip.Addr{netip.MustParseAddr("2001:db8::1")}},
		{hosts: []string{"box.local"}, addrs: []netip.Addr{netip.MustParseAddr("8.8.8.8")}},
	} {
		forged, err := k.ca.issue(n, today)
		if err != nil {
			t.Fatal(err)
		}
		host := ""
		if len(n.hosts) > 0 {
			host = n.hosts[0]
		}
		var bad x509.CertificateInvalidError
		if err := verify(t, k, forged.leaf, host, today); !errors.As(err, &bad) || bad.Reason != x509.CANotAuthorizedForThisName {
			t.Errorf("%v: %v", n, err)
		}
	}
	// Nor for mail or programs, nor for an authority below it.
	if ca := k.ca.leaf; !slices.Equal(ca.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || !ca.MaxPathLenZero || !ca.PermittedDNSDomainsCritical {
		t.Errorf("%v %v %v", ca.ExtKeyUsage, ca.MaxPathLenZero, ca.PermittedDNSDomainsCritical)
	}
}

func TestTheCertificateIsRenewed(t *testing.T) {
	b := newBox(t)
	k := b.start()
	ca, first := string(k.Authority()), k.Active()
	step := func(what string, change bool) {
		t.Helper()
		before := k.Active()
		if err := k.Check(); err != nil {
			t.Fatal(err)
		}
		if got := !k.Active().Equal(before); got != change {
			t.Errorf("%s: renewed: %v", what, got)
		}
		if string(k.Authority()) != ca {
			t.Errorf("%s: there is another authority", what)
		}
	}
	b.set(func() { b.clock = first.NotAfter.Add(-life/3 - time.Hour) })
	step("in time", false)
	b.set(func() { b.clock = b.clock.Add(2 * time.Hour) })
	step("a third is left", true)
	b.set(func() { b.addrs = append(b.addrs, netip.MustParseAddr("10.1.2.3")) })
	step("a new address", true)
	wantActive(t, k, b.clock, "10.1.2.3", "box.local")
	b.set(func() { slices.Reverse(b.addrs) })
	step("another order", false)
	b.set(func() { b.addrs = append(b.addrs, netip.MustParseAddr("198.51.100.7")) })
	step("an address outside of the networks", false)
	b.set(func() { b.hosts = append(b.hosts, "www.box.local") })
	step("a name below the first", true)
	b.set(func() { b.clock = today.AddDate(-1, 0, 0) })
	step("the clock goes back", true)
	b.set(func() { b.clock = time.Unix(1000, 0) })
	step("the clock was lost", false)
	b.set(func() { b.clock = today.AddDate(3, 0, 0) })
	step("after years in a box", true)
	wantActive(t, k, b.clock, "box.local")
}

func TestANewNameNeedsANewAuthority(t *testing.T) {
	b := newBox(t)
	k := b.start()
	old := pool(t, k)
	b.set(func() { b.hosts = []string{"hall.local"} })
	if err := k.Check(); err != nil {
		t.Fatal(err)
	}
	wantActive(t, k, today, "hall.local", "192.168.7.2")
	if _, err := k.Active().Verify(x509.VerifyOptions{Roots: old, CurrentTime: today}); err == nil {
		t.Error("the old authority vouches for the new name")
	}
}

func TestADeviceWithoutAClock(t *testing.T) {
	b := newBox(t)
	b.clock = time.Unix(42, 0)
	k := b.start()
	wantActive(t, k, today, "box.local")
	wantActive(t, k, b.clock, "box.local")
	b.set(func() { b.clock = today })
	b.sleep(k, 0)
	if c := k.Active(); c.NotAfter.Sub(c.NotBefore) != life {
		t.Errorf("it is valid from %v to %v", c.NotBefore, c.NotAfter)
	}
	wantActive(t, k, today, "box.local")
}

func TestSpoiltFilesAreMadeAnew(t *testing.T) {
	for _, name := range []string{"ca.pem", "own.pem", "uploaded.pem"} {
		for _, text := range []string{"", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
			b := newBox(t)
			b.start()
			if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			wantActive(t, b.start(), today, "box.local")
		}
	}
	// The key of another.
	b, other := newBox(t), newBox(t)
	b.start()
	other.start()
	for _, name := range []string{"ca.pem", "own.pem"} {
		text, err := os.ReadFile(filepath.Join(other.dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(b.dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		wantActive(t, b.start(), today, "box.local")
	}
}

// Wherever the power is cut, the next start has a certificate that its authority vouches for; and what
// a call had done when it returned is still so.
func TestPowerCuts(t *testing.T) {
	rnd := mathrand.New(mathrand.NewPCG(1, 2))
	issuer := newIssuer(t)
	cert, key := issuer.issue(t, nil, "box.local")
	next, nextKey := issuer.issue(t, nil, "box.local")
	for cut, whole := 1, false; !whole; cut++ {
		for range 8 { // what reaches the disk is chance
			sim := disksim.New()
			sim.CutAt = cut
			b := newBox(t)
			life := func(d *disksim.Disk) (*Keeper, error) {
				o := b.options()
				o.Dir, o.disk = "/tls", d
				k, err := New(o)
				if err == nil {
					t.Cleanup(k.Close)
				}
				return k, err
			}
			var authority []byte
			active := []string{"own"} // what may be in use after the restart
			k, err := life(sim)
			if err == nil {
				authority, active = k.Authority(), []string{"own", "uploaded"}
				err = k.Upload([]byte(cert), []byte(key), "", false)
			}
			if err == nil {
				active = []string{"uploaded"}
				b.set(func() { b.addrs = b.addrs[:2] })
				err = errors.Join(k.Check(), k.Upload([]byte(next), []byte(nextKey), "", false)) // cut in one, cut in both
			}
			if err == nil {
				active = []string{"own", "uploaded"}
				err = k.Remove()
			}
			if whole = err == nil; whole {
				active = []string{"own"}
			} else if !errors.Is(err, disksim.ErrCut) {
				t.Fatal(err)
			}
			if k, err = life(sim.Restart(rnd)); err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			if authority != nil && !bytes.Equal(k.Authority(), authority) {
				t.Errorf("cut at %d: there is another authority, which no browser knows", cut)
			}
			if got := k.Status().Active; !slices.Contains(active, got) {
				t.Errorf("cut at %d: the certificate in use is %s, want %s", cut, got, active)
			} else if got == "own" {
				wantActive(t, k, today, "box.local")
			} else if _, err := k.Active().Verify(x509.VerifyOptions{DNSName: "box.local", CurrentTime: today, Roots: roots(issuer.cert)}); err != nil {
				t.Errorf("cut at %d: %v", cut, err)
			}
		}
	}
}

func roots(c *x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c)
	return p
}

func TestAFullDiskChangesNothing(t *testing.T) {
	sim := disksim.New()
	b := newBox(t)
	o := b.options()
	o.Dir, o.disk = "/tls", sim
	k, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	cert, key := newIssuer(t).issue(t, nil, "box.local")
	before := k.Active()
	for n := range 4 {
		sim.FailAt, sim.Fail = sim.Ops()+1+n, errors.New("no room")
		if err := k.Upload([]byte(cert), []byte(key), "", false); err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("%d: %v", n, err)
		}
		if !k.Active().Equal(before) {
			t.Fatalf("%d: it is used", n)
		}
	}
	if err := k.Upload([]byte(cert), []byte(key), "", false); err != nil {
		t.Fatal(err)
	}
	for n := range 2 { // it is removed, and the directory synced
		sim.FailAt = sim.Ops() + 1 + n
		if err := k.Remove(); err == nil || k.Active().Equal(before) {
			t.Errorf("removal %d: %v", n, err)
		}
	}
	if s := k.Status(); s.Uploaded.Issuer != "test issuer" || s.Own.Issuer != k.ca.leaf.Subject.CommonName || !slices.Contains(s.Authority.Networks, "192.168.0.0/16") {
		t.Errorf("%+v", s)
	}
	cert, key = newIssuer(t).issue(t, nil, "box.local")
	p, err := parsePair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	p.leaf.Issuer = pkix.Name{Organization: []string{"Some CA"}}
	if i := p.info(); i.Issuer != "O=Some CA" {
		t.Errorf("an issuer without a common name is %q", i.Issuer)
	}
	o.Dir, o.Name, o.disk = t.TempDir(), "", nil
	unnamed, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer unnamed.Close()
	if s := unnamed.Status(); !strings.HasPrefix(s.Authority.Name, "device") {
		t.Errorf("without Options.Name it is %q", s.Authority.Name)
	}
}

func TestUploadsAreChecked(t *testing.T) {
	b := newBox(t)
	k := b.start()
	i := newIssuer(t)
	good, goodKey := i.issue(t, nil, "box.local")
	_, otherKey := i.issue(t, nil, "box.local")
	expired, expiredKey := i.issue(t, func(c *x509.Certificate) { c.NotAfter = today.Add(-time.Hour) }, "box.local")
	early, earlyKey := i.issue(t, func(c *x509.Certificate) { c.NotBefore = today.Add(time.Hour) }, "box.local")
	foreign, foreignKey := i.issue(t, nil, "shop.example")
	nameless, namelessKey := i.issue(t, nil)
	client, clientKey := i.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "box.local")
	caOnly, caOnlyKey := i.issue(t, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }, "box.local")
	strange, strangeKey := i.issue(t, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	}, "box.local")
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521DER, err := x509.MarshalECPrivateKey(p521)
	if err != nil {
		t.Fatal(err)
	}
	leaf := good[:strings.Index(good, "-----END")] + "-----END CERTIFICATE-----\n"
	other := newIssuer(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edDER, err := x509.MarshalPKCS8PrivateKey(ed)
	if err != nil {
		t.Fatal(err)
	}
	before := k.Active()
	for _, tt := range []struct{ name, cert, key, want string }{
		{"nothing", "", "", "there is no certificate in PEM"},
		{"no key", good, "", "there is no key in PEM"},
		{"no certificate", goodKey, goodKey, "there is no certificate in PEM"},
		{"another key", good, otherKey, "the key is not that of the certificate"},
		{"encrypted", good, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "the key is encrypted"},
		{"old encrypted", good, "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n", "the key is encrypted"},
		{"no real key", good, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "the key is malformed"},
		{"small RSA", good, block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small)), "the RSA key has 1024 bits, not 2048 to 4096"},
		{"Ed25519", good, block("PRIVATE KEY", edDER), "the key is neither ECDSA nor RSA"},
		{"P-521", good, block("EC PRIVATE KEY", p521DER), "the ECDSA key is of P-521, not of P-256 or P-384"},
		{"for no handshake", caOnly, caOnlyKey, "the certificate may not sign a handshake (keyUsage)"},
		{"a critical extension", strange, strangeKey, "the certificate has a critical extension that is not known: 1.2.3.4"},
		{"expired", expired, expiredKey, "the certificate has expired: on 2026-11-29"},
		{"early", early, earlyKey, "the certificate is valid from 2026-11-29 on"},
		{"no names", nameless, namelessKey, "the certificate has no names (subjectAltName)"},
		{"a client's", client, clientKey, "the certificate is not one of a server (extendedKeyUsage)"},
		{"other names", foreign, foreignKey, ErrOtherNames.Error()},
		{"another chain", leaf + block("CERTIFICATE", other.cert.Raw), goodKey, "each certificate must be followed by that of its issuer"},
		{"a long chain", leaf + strings.Repeat(block("CERTIFICATE", i.cert.Raw), 9), goodKey, "there are more than 8 certificates"},
		{"too long", good + strings.Repeat("x", maxPEM), goodKey, "the certificate is too long"},
	} {
		err := k.Upload([]byte(tt.cert), []byte(tt.key), "", false)
		if !errors.Is(err, ErrRefused) || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		if !k.Active().Equal(before) {
			t.Errorf("%s: it is used", tt.name)
		}
	}
	// The name by which the person has called the device, and the person's word, are enough.
	for _, err := range []error{
		k.Upload([]byte(foreign), []byte(foreignKey), "shop.example", false),
		k.Upload([]byte(foreign), []byte(foreignKey), "", true),
		k.Upload([]byte(leaf), []byte(goodKey), "", false),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if err := k.Upload([]byte(expired), []byte(expiredKey), "box.local", true); err == nil {
		t.Error("an expired one was taken by force")
	}
}

// New connections get the uploaded certificate at once, without a restart, and the device's own for
// the names that only it has, when it has expired, and when it is removed.
func TestHotReplace(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		b := newBox(t)
		k := b.start()
		addr := serve(t, p, k)
		own := served(t, addr, "box.local")
		if err := verify(t, k, own, "box.local", today); err != nil {
			t.Fatal(err)
		}
		want := func(what, name string, uploaded bool) {
			t.Helper()
			if got := served(t, addr, name); (got.Subject.CommonName == "uploaded") != uploaded {
				t.Errorf("%s: for %q there is the certificate of %s", what, name, got.Subject)
			}
		}
		cert, key := newIssuer(t).issue(t, nil, "box.example", "*.rooms.example")
		if err := k.Upload([]byte(cert), []byte(key), "box.example", false); err != nil {
			t.Fatal(err)
		}
		want("uploaded", "box.example", true)
		want("uploaded", "", true)
		want("uploaded", "box.local", false)
		for host, serves := range map[string]bool{"box.example": true, "hall.rooms.example": true, "a.hall.rooms.example": false, "evil.example": false, "box.local": false, "": false} {
			if k.Serves(host) != serves {
				t.Errorf("Serves(%q) is %v", host, !serves)
			}
		}
		// A restart has it too.
		if again := b.start(); again.Active().Subject.CommonName != "uploaded" {
			t.Error("it is lost after a restart")
		}
		b.sleep(k, 90*24*time.Hour) // it has expired
		want("expired", "box.example", false)
		want("expired", "", false)
		if s := k.Status(); s.Active != "own" || !s.Uploaded.Expired || k.Serves("box.example") {
			t.Errorf("%+v", s)
		}
		if again := b.start(); again.Active().Subject.CommonName == "uploaded" {
			t.Error("it is used after it has expired")
		}
		b.set(func() { b.clock = today })
		b.sleep(k, 0)
		want("the clock is right again", "", true)
		if err := k.Remove(); err != nil {
			t.Fatal(err)
		}
		want("removed", "box.example", false)
		if err := k.Remove(); err != nil {
			t.Errorf("removed twice: %v", err)
		}
		// The own one too is replaced while the server runs.
		b.set(func() { b.addrs = append(b.addrs, netip.MustParseAddr("10.9.9.9")) })
		b.sleep(k, 0)
		if got := served(t, addr, ""); !slices.ContainsFunc(got.IPAddresses, net.IPv4(10, 9, 9, 9).Equal) {
			t.Errorf("after a new address: %v", got.IPAddresses)
		}
	})
}
