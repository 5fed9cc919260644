package cert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/seed4930a636/mangusta/device/internal/rest"
)

// ErrRefused is wrapped by the errors of Upload that concern the certificate or its key. Their
// texts are for the person who uploads.
var ErrRefused = errors.New("cert: refused")

// ErrOtherNames is wrapped, besides ErrRefused, by the error for a certificate that is for none of
// the device's names.
var ErrOtherNames = rest.Coded("certificate-names", "the certificate is for none of this device's names")

// A refusal has its own text, and is ErrRefused.
type refusal struct{ why error }

func (r refusal) Error() string   { return r.why.Error() }
func (r refusal) Unwrap() []error { return []error{ErrRefused, r.why} }

// Upload takes a certificate into use: in PEM, followed by those that link it to a root, and its
// key. It must be for one of the device's names or addresses, or for host, the name by which the
// person who uploads has called it; with force for any other.
func (k *Keeper) Upload(certPEM, keyPEM []byte, host string, force bool) error {
	if len(certPEM)+len(keyPEM) > maxPEM {
		return refusal{rest.Coded("too-long", "the certificate is too long")}
	}
	p, err := parsePair(certPEM, keyPEM)
	if err != nil {
		return refusal{err}
	}
	k.work.Lock()
	defer k.work.Unlock()
	if err := k.judge(p, host, force); err != nil {
		return refusal{err}
	}
	if err := k.store("uploaded.pem", p); err != nil {
		return fmt.Errorf("cert: %w", err)
	}
	return k.setUploaded(p)
}

// setUploaded is called with work held, when the disk has p.
func (k *Keeper) setUploaded(p *pair) error {
	k.mu.Lock()
	k.uploaded, k.expired = p, false
	k.mu.Unlock()
	return k.use()
}

// judge says what is wrong with a certificate as that of this device.
func (k *Keeper) judge(p *pair, host string, force bool) error {
	c, now := p.leaf, k.opts.now()
	switch {
	case isSet(now) && now.After(c.NotAfter):
		return rest.Coded("certificate-expired", "the certificate has expired: on %s", c.NotAfter.Format("2006-01-02"))
	case isSet(now) && now.Before(c.NotBefore):
		return rest.Coded("certificate-early", "the certificate is valid from %s on", c.NotBefore.Format("2006-01-02"))
	case len(c.DNSNames)+len(c.IPAddresses) == 0:
		return rest.Coded("certificate-nameless", "the certificate has no names (subjectAltName)")
	case len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 && !slices.ContainsFunc(c.ExtKeyUsage, isServer):
		return rest.Coded("certificate-use", "the certificate is not one of a server (extendedKeyUsage)")
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageDigitalSignature == 0: // browsers refuse it (RFC 5280 §4.2.1.3)
		return rest.Coded("certificate-use", "the certificate may not sign a handshake (keyUsage)")
	case len(c.UnhandledCriticalExtensions) > 0: // RFC 5280 §4.2
		return rest.Coded("certificate-use", "the certificate has a critical extension that is not known: %s", c.UnhandledCriticalExtensions[0])
	case force || host != "" && c.VerifyHostname(host) == nil:
		return nil
	}
	n := k.names()
	for _, a := range n.addrs {
		n.hosts = append(n.hosts, a.String())
	}
	if !slices.ContainsFunc(n.hosts, func(h string) bool { return h != "localhost" && c.VerifyHostname(h) == nil }) {
		return ErrOtherNames
	}
	return nil
}

func isServer(u x509.ExtKeyUsage) bool {
	return u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageAny
}

// Remove takes the device's own certificate into use again.
func (k *Keeper) Remove() error {
	k.work.Lock()
	defer k.work.Unlock()
	name := filepath.Join(k.opts.Dir, "uploaded.pem")
	if err := k.opts.disk.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cert: %w", err)
	}
	if err := k.opts.disk.SyncDir(k.opts.Dir); err != nil {
		return fmt.Errorf("cert: %w", err)
	}
	return k.setUploaded(nil)
}
