package tlsconn

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
)

// A ClientConfig says whom a Client trusts, and how it proves who it is. The zero value trusts the
// roots of the system.
type ClientConfig struct {
	// Roots are who may have issued the certificate of a server; nil means the system's. RootFiles
	// are PEM files of more; with them and without Roots the system's are not used.
	Roots     *x509.CertPool
	RootFiles []string
	// ServerName is the name that the certificate must be for; default the host of the URL.
	ServerName string
	// Pins are hashes of public keys (SPKI), in base64 with or without "sha256/" before. If there
	// are any, one of the certificates that were verified must have one of these keys. With
	// Insecure it must be the server's own.
	Pins []string
	// Certificates are what a server is given that asks for one.
	Certificates []tls.Certificate
	// Insecure takes any certificate. Anybody on the way can read and change all then, unless Pins
	// says who it is.
	Insecure bool

	// NextProtos are the protocols of ALPN. nil means http/1.1; an empty list that is not nil
	// offers none.
	NextProtos []string
	MinVersion uint16 // the least version: default, and least, TLS 1.2
	Sessions   int    // how many are kept for resumption; default 64, negative none

	Compact     bool // as that of Config
	Limits      Limits
	Synchronous bool // as that of Config
}

// A Client is TLS for outbound connections. Its methods are safe for concurrent use; connections of
// several loops may share it.
type Client struct {
	side
	base *tls.Config
	name string
	pins [][]byte
}

// ErrPin is in the error of a connection whose server has none of the keys in ClientConfig.Pins.
var ErrPin = errors.New("tlsconn: the server has none of the pinned keys")

// NewClient makes a Client, or says what is wrong with a file or a pin.
func NewClient(c ClientConfig) (*Client, error) {
	s := &Client{name: c.ServerName}
	s.init(c.Limits, true)
	s.synchronous, s.compact = c.Synchronous, c.Compact
	s.base = baseConfig(c.NextProtos, c.MinVersion)
	s.base.RootCAs = c.Roots
	for _, name := range c.RootFiles {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("tlsconn: roots: %w", err)
		}
		if s.base.RootCAs == nil {
			s.base.RootCAs = x509.NewCertPool()
		} else if s.base.RootCAs == c.Roots {
			s.base.RootCAs = c.Roots.Clone()
		}
		if !s.base.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("tlsconn: roots: no certificate in %s", name)
		}
	}
	for _, p := range c.Pins {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(p, "sha256/"))
		if err != nil || len(raw) != sha256.Size {
			return nil, fmt.Errorf("tlsconn: pin %q is not the base64 of a SHA-256", p)
		}
		s.pins = append(s.pins, raw)
	}
	s.base.Certificates = patients(c.Certificates)
	s.base.InsecureSkipVerify = c.Insecure
	if len(s.pins) > 0 {
		s.base.VerifyConnection = s.verifyPins
	}
	if c.Sessions >= 0 {
		s.base.ClientSessionCache = tls.NewLRUClientSessionCache(c.Sessions) // 0 is 64 there too
	}
	s.newConn = func(nc net.Conn, name string) *tls.Conn {
		config := s.base
		if config.ServerName != name {
			config = config.Clone()
			config.ServerName = name
		}
		return tls.Client(nc, config)
	}
	s.prepare = func() {}
	return s, nil
}

// Pin returns what ClientConfig.Pins has for the key of cert.
func Pin(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256/" + base64.StdEncoding.EncodeToString(sum[:])
}

func (s *Client) verifyPins(state tls.ConnectionState) error {
	chains := state.VerifiedChains
	if s.base.InsecureSkipVerify && len(state.PeerCertificates) > 0 {
		chains = [][]*x509.Certificate{state.PeerCertificates[:1]} // the others may be anybody's
	}
	for _, chain := range chains {
		for _, cert := range chain {
			sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
			for _, pin := range s.pins {
				if subtle.ConstantTimeCompare(sum[:], pin) == 1 {
					return nil
				}
			}
		}
	}
	return ErrPin
}

// DialTLS puts TLS beneath an outbound connection to host before it begins: mgr.ConnectOptions.TLS.
// host is a name or an address.
func (s *Client) DialTLS(c *conn.Conn, host string) {
	if s.name != "" {
		host = s.name
	}
	s.put(c, ready, host)
}
