package acme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// The files of a host, beside account.key.
func (m *Manager) certFile(s *site) string { return filepath.Join(m.dir, s.host+".pem") }
func (m *Manager) waitFile(s *site) string { return filepath.Join(m.dir, s.host+".wait") }

// open makes the directory of the authority and the key of the account, or reads what is there.
func (m *Manager) open() error {
	u, err := url.Parse(m.o.Directory)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("acme: directory %q is no https URL", m.o.Directory)
	}
	if m.o.Dir == "" {
		return errors.New("acme: no directory for keys and certificates (Options.Dir)")
	}
	name := strings.NewReplacer("/", "-", ":", "-").Replace(u.Host + strings.TrimSuffix(u.EscapedPath(), "/"))
	m.dir = filepath.Join(m.o.Dir, name)
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return fmt.Errorf("acme: %w", err)
	}
	m.client = m.newClient()
	if m.client.Key, err = accountKey(filepath.Join(m.dir, "account.key")); err != nil {
		return fmt.Errorf("acme: account: %w", err)
	}
	for _, s := range m.sites {
		m.reload(s)
		if err := m.loadWait(s); err != nil {
			m.warn("a wait is forgotten", "host", s.host, "err", err)
		}
	}
	return nil
}

// accountKey reads the key of the account, or makes one.
func accountKey(file string) (*ecdsa.PrivateKey, error) {
	b, err := readPrivate(file)
	if errors.Is(err, os.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		raw, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		return key, writeFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s is damaged", file)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if k, ok := key.(*ecdsa.PrivateKey); ok && err == nil {
		return k, nil
	}
	return nil, fmt.Errorf("%s is damaged", file)
}

// reload takes the certificate in the file of s into use if it is another than the one in use: this
// program has kept it before, or another one has renewed it.
func (m *Manager) reload(s *site) {
	file := m.certFile(s)
	st, err := os.Stat(file)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			m.warn("a certificate is not read", "host", s.host, "err", err)
		}
		return
	}
	stamp := fmt.Sprint(st.ModTime().UnixNano(), " ", st.Size())
	if stamp == s.stamp {
		return
	}
	s.stamp = stamp
	b, err := readPrivate(file)
	var cert *tls.Certificate
	if err == nil {
		cert, err = parse(s, b)
	}
	if err != nil {
		m.warn("a certificate is not read", "host", s.host, "err", err)
		return
	}
	if old := s.leaf(); old == nil || cert.Leaf.NotAfter.After(old.NotAfter) {
		s.use(cert, m.o.RenewBefore, m.random())
	}
}

// parse reads a key and certificates, which must be for s.
func parse(s *site, b []byte) (*tls.Certificate, error) {
	cert, err := tls.X509KeyPair(b, b) // Leaf too
	if err != nil {
		return nil, err
	}
	return &cert, cert.Leaf.VerifyHostname(s.host)
}

// adopt takes a new certificate into use and keeps it. One that cannot be kept is used all the
// same.
func (m *Manager) adopt(s *site, b []byte) error {
	cert, err := parse(s, b)
	if err != nil {
		return fmt.Errorf("%w: the certificate: %w", errOrder, err)
	}
	s.use(cert, m.o.RenewBefore, m.random())
	if err := writeFile(m.certFile(s), b); err != nil {
		m.warn("a certificate is not kept", "host", s.host, "err", err)
	}
	if err := os.Remove(m.waitFile(s)); err != nil && !errors.Is(err, os.ErrNotExist) {
		m.warn("a wait stays", "host", s.host, "err", err)
	}
	return nil
}

func (m *Manager) loadWait(s *site) error {
	b, err := os.ReadFile(m.waitFile(s))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var w wait
	if err == nil {
		err = json.Unmarshal(b, &w)
	}
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wait = w
	}
	return err
}

func (m *Manager) saveWait(s *site) {
	s.mu.Lock()
	b, err := json.Marshal(s.wait)
	s.mu.Unlock()
	if err == nil {
		err = writeFile(m.waitFile(s), b)
	}
	if err != nil {
		m.warn("a wait is not kept", "host", s.host, "err", err)
	}
}

// readPrivate reads a file that nobody else may read.
func readPrivate(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(file)
	if err == nil && st.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("others may read or write %s: it needs mode 0600", file)
	}
	return b, err
}

// writeFile replaces a file as one, with mode 0600: it is whole or as before after a loss of power.
func writeFile(name string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	defer f.Close()
	if _, err = f.Write(b); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
