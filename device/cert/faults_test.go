package cert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// A faulty disk is full at times, or loses files.
type faulty struct {
	disk.FS
	full, loses atomic.Bool
}

func (f *faulty) Create(name string, perm fs.FileMode) (disk.File, error) {
	if f.full.Load() {
		return nil, syscall.ENOSPC
	}
	return f.FS.Create(name, perm)
}

func (f *faulty) Rename(from, to string) error {
	err := f.FS.Rename(from, to)
	if err == nil && f.loses.Load() {
		err = f.FS.Rename(to, to+".lost")
	}
	return err
}

// A device that starts with a full disk and another address can be reached: it has a certificate.
func TestAFullDiskIsNoReasonNotToStart(t *testing.T) {
	b, full := newBox(t), &faulty{FS: disk.OS}
	o := b.options()
	o.disk = full
	full.full.Store(true)
	if k, err := New(o); !errors.Is(err, syscall.ENOSPC) || k != nil {
		t.Errorf("without any certificate: %v", err)
	}
	full.full.Store(false)
	before := b.start().Active()
	b.set(func() { b.addrs = append(b.addrs, netip.MustParseAddr("10.1.2.3")) })
	full.full.Store(true)
	k, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if !k.Active().Equal(before) {
		t.Error("there is another certificate")
	}
	if err := k.Check(); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	full.full.Store(false)
	b.sleep(k, 0)
	wantActive(t, k, today, "10.1.2.3", "box.local")
}

// An uploaded certificate ends in time though the disk takes no new one of the device's own.
func TestAnUploadExpiresOnAFullDisk(t *testing.T) {
	b, full := newBox(t), &faulty{FS: disk.OS}
	o := b.options()
	o.disk = full
	k, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	cert, key := newIssuer(t).issue(t, nil, "box.local")
	if err := k.Upload([]byte(cert), []byte(key), "", false); err != nil {
		t.Fatal(err)
	}
	full.full.Store(true)
	b.set(func() {
		b.addrs = append(b.addrs, netip.MustParseAddr("10.1.2.3"))
		b.clock = b.clock.Add(90 * 24 * time.Hour)
	})
	if err := k.Check(); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if s := k.Status(); s.Active != "own" {
		t.Errorf("the %s one is used", s.Active)
	}
}

// A certificate that the server could not read when it was new is read later.
func TestTheServerIsToldAgain(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		b, lossy := newBox(t), &faulty{FS: disk.OS}
		o := b.options()
		o.disk = lossy
		k, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		addr := serve(t, p, k)
		b.set(func() { b.addrs = append(b.addrs, netip.MustParseAddr("10.9.9.9")) })
		lossy.loses.Store(true)
		if err := k.Check(); err == nil {
			t.Fatal("the server has read a file that is gone")
		}
		lossy.loses.Store(false)
		name := filepath.Join(b.dir, "own.pem")
		if err := os.Rename(name+".lost", name); err != nil {
			t.Fatal(err)
		}
		b.sleep(k, 0)
		if got := served(t, addr, ""); !got.Equal(k.Active()) || len(got.IPAddresses) != len(k.Active().IPAddresses) {
			t.Errorf("it is for %v, want %v", got.IPAddresses, k.Active().IPAddresses)
		}
	})
}

// RFC 5280 §4.2.1.10: a kind of name without an entry is not constrained.
func TestNoNetworksAreNoAddresses(t *testing.T) {
	b := newBox(t)
	o := b.options()
	o.Networks = []netip.Prefix{}
	k, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	wantActive(t, k, today, "box.local")
	for _, a := range []string{"203.0.113.9", "192.168.7.2", "2001:db8::1"} {
		forged, err := k.ca.issue(names{addrs: []netip.Addr{netip.MustParseAddr(a)}}, today)
		if err != nil {
			t.Fatal(err)
		}
		var bad x509.CertificateInvalidError
		if err := verify(t, k, forged.leaf, a, today); !errors.As(err, &bad) || bad.Reason != x509.CANotAuthorizedForThisName {
			t.Errorf("%s: %v", a, err)
		}
	}
	if s := k.Status(); s.Authority.Networks == nil {
		t.Error("a page gets null for the networks")
	}
}

// RFC 5280, appendix A.1: a common name has up to 64 characters; a part of one is no character.
func TestNamesThatAreLongOrNoText(t *testing.T) {
	for _, name := range []string{strings.Repeat("ü", 100), "x" + strings.Repeat("ü", 100), strings.Repeat("x", 39) + "€", "a\xffb"} {
		b := newBox(t)
		o := b.options()
		o.Name = name
		k, err := New(o)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		k.Close()
		if cn := k.ca.leaf.Subject.CommonName; len(cn) > 64 || !strings.HasPrefix(cn, k.Active().Subject.CommonName+" authority ") {
			t.Errorf("%q: %q, and %q", name, cn, k.Active().Subject.CommonName)
		}
		wantActive(t, k, today, "box.local")
	}
}

// An uploaded certificate that was taken is there after a restart, though the file has line feeds that
// the upload had not.
func TestALargeUploadOutlivesARestart(t *testing.T) {
	b := newBox(t)
	k, i := b.start(), newIssuer(t)
	hosts := []string{"box.local"}
	size := func() (cert, key string) {
		cert, key = i.issue(t, nil, hosts...)
		first, body, _ := strings.Cut(cert, "\n")
		body, rest, _ := strings.Cut(body, "-----END")
		return first + "\n" + strings.ReplaceAll(body, "\n", "") + "\n-----END" + rest, key
	}
	cert, key := size()
	for len(cert)+len(key) < maxPEM-400 {
		for range max(1, (maxPEM-400-len(cert)-len(key))/100) { // each has 83 bytes or so
			hosts = append(hosts, fmt.Sprintf("%054d.local", len(hosts)))
		}
		cert, key = size()
	}
	if err := k.Upload([]byte(cert), []byte(key), "", false); err != nil {
		t.Fatal(err)
	}
	if again := b.start(); again.Status().Active != "uploaded" {
		t.Errorf("%d bytes are lost after a restart", len(cert)+len(key))
	}
}

// A clock that is wrong by decades makes one certificate, and not one a minute.
func TestTheLastYears(t *testing.T) {
	b := newBox(t)
	b.clock = forever.AddDate(0, -6, 0)
	k := b.start()
	before := k.Active()
	b.sleep(k, time.Minute)
	if !k.Active().Equal(before) {
		t.Errorf("a certificate until %s is replaced after a minute", before.NotAfter)
	}
	b.set(func() { b.clock = today })
	b.sleep(k, 0)
	wantActive(t, k, today, "box.local")
}
