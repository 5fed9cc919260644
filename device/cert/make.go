package cert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// life is how long the device's own certificate is valid: no more than browsers accept.
const life = 397 * 24 * time.Hour

// newKey makes a key: P-256 costs a device a fraction of what RSA does.
func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	return key, pkcs8, err
}

func newSerial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b) // it never fails
	b[0] = b[0]&0x7f | 1
	return new(big.Int).SetBytes(b)
}

// makeAuthority makes an authority that can vouch for these names, and for addresses in the
// networks, alone.
func makeAuthority(name string, n names, networks []netip.Prefix) (*pair, error) {
	key, pkcs8, err := newKey()
	if err != nil {
		return nil, err
	}
	tag := make([]byte, 3)
	rand.Read(tag)
	// Each has a name of its own: verifiers look issuers up by their names.
	subject := shorten(name) + " authority " + strings.ToUpper(hex.EncodeToString(tag))
	t := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      pkix.Name{CommonName: subject},
		NotBefore:    time.Unix(0, 0), // a device may have no clock yet
		NotAfter:     forever,
		KeyUsage:     x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:         true, BasicConstraintsValid: true, MaxPathLenZero: true,
		// RFC 5280 §4.2.1.10: a kind of name without an entry is not constrained, so each kind that a
		// server may have gets one. A name stands for those below it, too.
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         n.hosts,
		PermittedIPRanges:           ipNets(networks),
		PermittedURIDomains:         []string{"invalid"},
		PermittedEmailAddresses:     []string{"invalid"},
	}
	if len(networks) == 0 {
		t.ExcludedIPRanges = ipNets([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")})
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &pair{leaf: leaf, key: key, pkcs8: pkcs8}, err
}

// shorten leaves room for more in a common name, which has up to 64 characters (RFC 5280, appendix A.1)
// and is UTF-8.
func shorten(name string) string {
	name = strings.ToValidUTF8(name, "?")
	n := min(len(name), 40)
	for n < len(name) && !utf8.RuneStart(name[n]) {
		n--
	}
	return name[:n]
}

func ipNets(networks []netip.Prefix) (list []*net.IPNet) {
	for _, p := range networks {
		p = p.Masked()
		list = append(list, &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
	}
	return list
}

// mayVouchFor reports whether the constraints of the authority allow each of these names. Addresses
// outside of its networks are in no names.
func (p *pair) mayVouchFor(n names) bool {
	for _, h := range n.hosts {
		if !slices.ContainsFunc(p.leaf.PermittedDNSDomains, func(d string) bool { return h == d || strings.HasSuffix(h, "."+d) }) {
			return false
		}
	}
	for _, a := range n.addrs {
		if !slices.ContainsFunc(p.leaf.PermittedIPRanges, func(r *net.IPNet) bool { return r.Contains(a.AsSlice()) }) {
			return false
		}
	}
	return true
}

// issue makes a certificate for the names.
func (p *pair) issue(n names, now time.Time) (*pair, error) {
	key, pkcs8, err := newKey()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      pkix.Name{CommonName: p.leaf.Subject.CommonName[:max(0, strings.LastIndex(p.leaf.Subject.CommonName, " authority "))]},
		NotBefore:    now.Add(-24 * time.Hour), // the clock of a browser may be late
		NotAfter:     now.Add(life - 24*time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     n.hosts, BasicConstraintsValid: true,
	}
	if !isSet(now) {
		t.NotBefore, t.NotAfter = time.Unix(0, 0), forever
	}
	for _, a := range n.addrs {
		t.IPAddresses = append(t.IPAddresses, a.AsSlice())
	}
	der, err := x509.CreateCertificate(rand.Reader, t, p.leaf, &key.PublicKey, p.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &pair{leaf: leaf, key: key, pkcs8: pkcs8}, err
}
