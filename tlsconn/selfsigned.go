package tlsconn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// SelfSigned returns a Server with a certificate that nobody but itself vouches for, for a device's
// first start. It is kept in dir, which is made if need be, as cert.pem and key.pem (mode 0600),
// together with the keys of session tickets; if they are there they are used. Its names are hosts,
// the name of the machine if a certificate can have it, localhost, and the addresses of all
// interfaces at the time it is made. It is valid from 1970 to 2049, because a device may have no
// clock yet. c has further settings, and is what it is for NewServer otherwise; at most one may be
// given.
//
// Browsers warn of such a certificate. Fingerprint is what the user can compare.
func SelfSigned(dir string, hosts []string, c ...Config) (*Server, error) {
	var config Config
	if len(c) > 0 {
		config = c[0]
	}
	pair := Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	_, err := os.Stat(pair.Cert)
	if errors.Is(err, os.ErrNotExist) {
		err = makePair(pair, dir, hosts)
	}
	if err != nil {
		return nil, fmt.Errorf("tlsconn: self-signed certificate: %w", err)
	}
	config.Pairs = append([]Pair{pair}, config.Pairs...)
	if config.Tickets == nil {
		config.Tickets = TicketFile(filepath.Join(dir, "tickets.key"))
	}
	s, err := NewServer(config)
	if log, ok := config.Log.(interface{ Info(msg string, args ...any) }); ok && err == nil {
		log.Info("tlsconn: self-signed certificate", "file", pair.Cert, "sha256", s.Fingerprint())
	}
	return s, err
}

// Fingerprint returns the SHA-256 of the first certificate, as browsers show it: pairs of digits
// with colons between. It is empty without one.
func (s *Server) Fingerprint() string {
	all := *s.certs.all.Load()
	if len(all) == 0 {
		return ""
	}
	sum := sha256.Sum256(all[0].Certificate[0])
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// makePair makes a key and a certificate. The certificate is written last: if it is there, so is
// its key.
func makePair(pair Pair, dir string, hosts []string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	cert, key, err := newSelfSigned(hosts)
	if err != nil {
		return err
	}
	if err := writeFile(pair.Key, key, 0o600); err != nil {
		return err
	}
	return writeFile(pair.Cert, cert, 0o644)
}

// isHostName accepts a name of letters, digits, hyphens, underscores and dots, with "*" as the
// first label maybe. A certificate holds nothing else: other characters must be in the form of RFC
// 5891 ("xn--").
func isHostName(s string) bool {
	for label := range strings.SplitSeq(strings.TrimPrefix(s, "*."), ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, x := range []byte(label) {
			if (x|0x20)-'a' >= 26 && x-'0' >= 10 && x != '-' && x != '_' {
				return false
			}
		}
	}
	return len(s) <= 253
}

// newSelfSigned returns a certificate and its key in PEM. P-256 costs a device a fraction of what
// RSA does.
func newSelfSigned(hosts []string) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		NotBefore:             time.Unix(0, 0),
		NotAfter:              time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	add := func(name string) {
		if !slices.Contains(t.DNSNames, name) {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else if isHostName(h) {
			add(h)
		} else if h != "" {
			return nil, nil, fmt.Errorf("%q is neither a host name nor an address", h)
		}
	}
	if name, _ := os.Hostname(); isHostName(name) {
		add(name)
	}
	add("localhost")
	addrs, _ := net.InterfaceAddrs() // without them the certificate is still better than none
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !slices.ContainsFunc(t.IPAddresses, n.IP.Equal) {
			t.IPAddresses = append(t.IPAddresses, n.IP)
		}
	}
	t.Subject = pkix.Name{CommonName: t.DNSNames[0][:min(64, len(t.DNSNames[0]))]}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return nil, nil, err
	}
	return certPEM, keyPEM, nil
}
