package cert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/device/internal/rest"
)

// maxPEM bounds a certificate with its chain, and a key.
const maxPEM = 64 << 10

// maxChain bounds the certificates of a chain.
const maxChain = 8

// A pair is a certificate, those that link it to a root, and its key.
type pair struct {
	leaf  *x509.Certificate
	chain []*x509.Certificate
	key   crypto.Signer
	pkcs8 []byte
}

// parsePair reads a certificate and its key in PEM. Its errors are for the person who uploads, and
// have nothing of the key in them.
func parsePair(certPEM, keyPEM []byte) (*pair, error) {
	p := &pair{}
	if err := p.parseCertificates(certPEM); err != nil {
		return nil, err
	}
	if err := p.parseKey(keyPEM); err != nil {
		return nil, err
	}
	public, ok := p.leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(p.key.Public()) {
		return nil, rest.Coded("key-other", "the key is not that of the certificate")
	}
	return p, nil
}

func (p *pair) parseCertificates(text []byte) error {
	var all []*x509.Certificate
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return rest.Coded("certificate-malformed", "the certificate is malformed: %w", err)
		}
		if all = append(all, c); len(all) > maxChain {
			return rest.Coded("too-long", "there are more than %d certificates", maxChain)
		}
	}
	if len(all) == 0 {
		return rest.Coded("certificate-missing", "there is no certificate in PEM")
	}
	for i, c := range all[1:] {
		if all[i].CheckSignatureFrom(c) != nil {
			return rest.Coded("certificate-chain", "each certificate must be followed by that of its issuer")
		}
	}
	p.leaf, p.chain = all[0], all[1:]
	return nil
}

var errKey = rest.Coded("key-malformed", "the key is malformed")

func (p *pair) parseKey(text []byte) error {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return rest.Coded("key-missing", "there is no key in PEM")
		}
		if !strings.HasSuffix(b.Type, "PRIVATE KEY") {
			continue
		}
		if b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "" {
			return rest.Coded("key-encrypted", "the key is encrypted")
		}
		key, err := parseDER(b.Bytes)
		if err != nil {
			return errKey
		}
		switch key := key.(type) {
		case *ecdsa.PrivateKey:
			if size := key.Curve.Params().BitSize; size != 256 && size != 384 { // not all browsers take others
				return rest.Coded("key-kind", "the ECDSA key is of P-%d, not of P-256 or P-384", size)
			}
			p.key = key
		case *rsa.PrivateKey:
			if bits := key.N.BitLen(); bits < 2048 || bits > 4096 {
				return rest.Coded("key-kind", "the RSA key has %d bits, not 2048 to 4096", bits)
			}
			p.key = key
		default: // Ed25519: no browser takes it
			return rest.Coded("key-kind", "the key is neither ECDSA nor RSA")
		}
		p.pkcs8, err = x509.MarshalPKCS8PrivateKey(p.key)
		return err
	}
}

// parseDER reads a key in each form that tools write.
func parseDER(der []byte) (any, error) {
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	return x509.ParsePKCS1PrivateKey(der)
}

// certificates returns the certificates in PEM.
func (p *pair) certificates() []byte {
	var b bytes.Buffer
	for _, c := range append([]*x509.Certificate{p.leaf}, p.chain...) {
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a Buffer takes everything
	}
	return b.Bytes()
}

// text returns the content of the file.
func (p *pair) text() []byte {
	return append(p.certificates(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p.pkcs8})...)
}

// fingerprint returns the SHA-256 of the certificate as browsers show it.
func (p *pair) fingerprint() string {
	sum := sha256.Sum256(p.leaf.Raw)
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// names are what a device is called by: host names in small letters, and addresses, sorted.
type names struct {
	hosts []string
	addrs []netip.Addr
}

// isFor reports whether the certificate is for exactly these names.
func (p *pair) isFor(n names) bool {
	return slices.Equal(p.leaf.DNSNames, n.hosts) && slices.EqualFunc(p.leaf.IPAddresses, n.addrs, func(a net.IP, b netip.Addr) bool {
		x, ok := netip.AddrFromSlice(a)
		return ok && x.Unmap() == b
	})
}

// isSet reports whether the clock has been set: a device without a battery begins in 1970.
func isSet(now time.Time) bool { return now.Year() >= 2025 && now.Before(forever) }

// forever is the end of a certificate without one: the last year that all of X.509 can write with
// two digits.
var forever = time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC)

// isOver reports whether the certificate has expired, if that can be known.
func (p *pair) isOver(now time.Time) bool { return isSet(now) && now.After(p.leaf.NotAfter) }

// isDue reports whether the device's own certificate has to be renewed: a third of its life is
// left, or it was made without a clock.
func (p *pair) isDue(now time.Time) bool {
	return isSet(now) && (now.Add(life/3).After(p.leaf.NotAfter) || now.Before(p.leaf.NotBefore) || p.leaf.NotBefore.Unix() == 0)
}
