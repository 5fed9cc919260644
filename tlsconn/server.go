package tlsconn

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// A Config says how a Server proves who it is, and what it asks of its clients. It needs at least
// one certificate.
type Config struct {
	// Pairs are certificates in files, which are read again when they change: see Reload and Poll.
	Pairs []Pair
	// Certificates are further ones, in memory. A client gets the first of all, Pairs before these,
	// that is for the name it asks for (SNI) and of a kind it understands; or the very first.
	Certificates []tls.Certificate
	// GetCertificate is asked before that; it may return nil, nil. For who calls it, and how long
	// it may wait, see Callbacks in the comment of the package.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Signer, if it is not nil, is given each key of Pairs and Certificates when it is loaded, and
	// returns what signs in its place: see Nice.
	Signer func(key crypto.Signer) crypto.Signer

	// ClientAuth says whether clients are asked for a certificate, and ClientCAs who must have
	// issued it. VerifyConnection may refuse a connection by its error; it is called for resumed
	// sessions too. It may wait, as GetCertificate may.
	ClientAuth       tls.ClientAuthType
	ClientCAs        *x509.CertPool
	VerifyConnection func(tls.ConnectionState) error

	// NextProtos are the protocols of ALPN. nil means http/1.1; an empty list that is not nil
	// refuses no client.
	NextProtos []string
	// MinVersion is the least version: default, and least, TLS 1.2.
	MinVersion uint16

	// Tickets is where the keys of session tickets are kept, so that sessions are resumed after a
	// restart: a TicketFile. Without it keys live in memory only.
	Tickets Tickets

	// Poll is how often the files of Pairs are looked at, when a handshake begins; default a
	// minute, negative never.
	Poll time.Duration

	// Redirect answers an HTTP request without TLS with 308 to the same URL with https, if it names
	// its host. The default is 400.
	Redirect bool

	// Compact drops the buffers of crypto/tls while a connection is idle: 4 KB after its handshake,
	// 18 after a large record. It costs an allocation, of 576 bytes or more, when the next record
	// comes. It reaches into crypto/tls by the names and types of three fields, and
	// does nothing where they are not there.
	Compact bool

	Limits Limits
	// Log is told of reloads that fail, and of the fingerprint of SelfSigned; nil is silent. It is
	// called by handshakes too (see Callbacks), so it must be safe for concurrent use, as a
	// *slog.Logger is.
	Log conn.Logger

	// Synchronous makes the loop wait for each step of a handshake. It is for tests that must run
	// the same each time.
	Synchronous bool
}

// A Server is TLS for accepted connections. Its methods are safe for concurrent use, and so may
// several listeners on several loops share it.
type Server struct {
	side
	certs   *store
	tickets keeper
	base    *tls.Config
	asks    bool // Config.GetCertificate
}

// Files returns a Server with one certificate: a PEM file of the chain, the server's first, and one
// of its key.
func Files(cert, key string) (*Server, error) {
	return NewServer(Config{Pairs: []Pair{{Cert: cert, Key: key}}})
}

// suites are those of TLS 1.2: forward secrecy and AEAD only. Those of TLS 1.3 are not a choice.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// NewServer makes a Server, or says what is wrong with a file or with c.
func NewServer(c Config) (*Server, error) {
	if len(c.Pairs)+len(c.Certificates) == 0 && c.GetCertificate == nil {
		return nil, errors.New("tlsconn: no certificate")
	}
	s := &Server{certs: &store{pairs: slices.Clone(c.Pairs), fixed: slices.Clone(c.Certificates), signer: c.Signer, every: c.Poll, log: c.Log}}
	s.certs.stats = &s.stats
	if s.certs.every == 0 {
		s.certs.every = time.Minute
	}
	if err := s.certs.load(); err != nil {
		return nil, err
	}
	if c.Tickets != nil {
		s.tickets = c.Tickets.open()
	}
	s.init(c.Limits, c.ClientAuth != tls.NoClientCert)
	s.synchronous, s.redirect, s.compact, s.log = c.Synchronous, c.Redirect, c.Compact, c.Log
	s.base = baseConfig(c.NextProtos, c.MinVersion)
	s.base.ClientAuth, s.base.ClientCAs, s.base.VerifyConnection = c.ClientAuth, c.ClientCAs, refusing(c.VerifyConnection)
	s.makesRoom, s.asks = true, c.GetCertificate != nil
	s.base.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return s.certificate(hello, c.GetCertificate)
	}
	s.newConn = func(nc net.Conn, _ string) *tls.Conn { return tls.Server(nc, s.base) }
	s.prepare = func() {
		now := time.Now()
		s.certs.poll(now)
		if s.tickets != nil {
			if err := s.tickets.renew(s.base); err != nil && s.log != nil {
				s.log.Warn("tlsconn: session ticket keys", "err", err)
			}
		}
	}
	if s.tickets != nil {
		if err := s.tickets.renew(s.base); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// baseConfig is what servers and clients have in common.
func baseConfig(protos []string, least uint16) *tls.Config {
	if protos == nil {
		protos = []string{"http/1.1"}
	}
	return &tls.Config{
		MinVersion:    max(least, tls.VersionTLS12),
		CipherSuites:  suites,
		NextProtos:    slices.Clone(protos),
		Renegotiation: tls.RenegotiateNever, // it would be a handshake in the middle of Read, where EAGAIN is fatal
		// Small records at the beginning would each be a call of the transport, and a system call
		// of the peer.
		DynamicRecordSizingDisabled: true,
	}
}

// certificate chooses the certificate for a client.
func (s *Server) certificate(hello *tls.ClientHelloInfo, ask func(*tls.ClientHelloInfo) (*tls.Certificate, error)) (cert *tls.Certificate, err error) {
	if ask != nil {
		outside(func() { cert, err = ask(hello) })
		if cert != nil || err != nil {
			return patient(cert), err
		}
	}
	return s.certs.choose(hello)
}

// ServeTLS puts TLS beneath an accepted connection before it begins: mgr.ListenOptions.TLS.
//
// preface may be nil; see conn.ServerTLS.
func (s *Server) ServeTLS(c *conn.Conn, preface func(b []byte) (n int, err error)) {
	s.put(c, listening, "").preface = preface
}

// RefusalTLS returns what a peer is sent that is turned away before its handshake: an alert.
func (s *Server) RefusalTLS() []byte { return alertRecord(alertInternalError) }

// Reload reads the files of Config.Pairs again. New connections get the new certificates; open ones
// go on. If there is an error, nothing changes. Safe for concurrent use.
func (s *Server) Reload() error { return s.certs.load() }

// SetPairs reads these files in place of those of Config.Pairs, now and whenever they change. It
// returns an error, and changes nothing, if one of them is not good or no certificate would remain.
// Safe for concurrent use.
func (s *Server) SetPairs(pairs ...Pair) error {
	if len(pairs)+len(s.certs.fixed) == 0 && !s.asks {
		return errors.New("tlsconn: no certificate")
	}
	return s.certs.set(slices.Clone(pairs))
}
