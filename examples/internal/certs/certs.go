// Package certs has the flags of TLS of the example programs. It is apart from package program so
// that those without TLS do not link it.
package certs

import (
	"errors"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/metrics"
	tlsmetrics "github.com/seed4930a636/mangusta/metrics/tls"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// Flags are -tls-cert and -tls-key, and -tls where the program can make its own certificate.
type Flags struct {
	cert, key *string
	own       *string
	limits    tlsconn.Limits
	server    *tlsconn.Server // after Listen; nil without TLS
}

// Register adds -tls-cert and -tls-key to the command line.
func Register(set *flag.FlagSet) *Flags {
	return &Flags{
		cert: set.String("tls-cert", "", "PEM `file` of the certificate and those that link it to a root: then the program speaks HTTPS alone"),
		key:  set.String("tls-key", "", "PEM `file` of its key"),
	}
}

// RegisterOwn adds -tls too.
func RegisterOwn(set *flag.FlagSet) *Flags {
	f := Register(set)
	f.own = set.String("tls", "", "speak HTTPS with a certificate of the program's own making, which is kept in this `directory`")
	return f
}

// Bound bounds the handshakes of one address, if it is none of the trusted proxies, to so many in a
// second.
func (f *Flags) Bound(perAddr int, trusted []netip.Prefix) {
	if f != nil {
		f.limits.RatePerAddr, f.limits.Trusted = perAddr, trusted
	}
}

// Listen makes the URL of -listen and the options of http.Listen what the flags ask for, which may
// be nothing. The files are read again when they have changed, and on SIGHUP.
func (f *Flags) Listen(url string, o *http.Options, log *slog.Logger) (string, error) {
	s, err := f.newServer(log)
	if s == nil || err != nil {
		return url, err
	}
	o.TLS, f.server = s, s
	if rest, ok := strings.CutPrefix(url, "tcp://"); ok {
		url = "https://" + rest
	}
	return url, nil
}

func (f *Flags) newServer(log *slog.Logger) (*tlsconn.Server, error) {
	if f == nil {
		return nil, nil
	}
	config := tlsconn.Config{Log: log, Redirect: true, Limits: f.limits}
	var s *tlsconn.Server
	var err error
	switch {
	case f.own != nil && *f.own != "":
		if *f.cert != "" || *f.key != "" {
			return nil, errors.New("-tls makes a certificate: it goes without -tls-cert and -tls-key")
		}
		s, err = tlsconn.SelfSigned(*f.own, nil, config)
	case *f.cert != "" && *f.key != "":
		config.Pairs = []tlsconn.Pair{{Cert: *f.cert, Key: *f.key}}
		s, err = tlsconn.NewServer(config)
	case *f.cert != "" || *f.key != "":
		return nil, errors.New("-tls-cert and -tls-key go together")
	default:
		return nil, nil
	}
	if err == nil {
		go reloadOnHangup(s, log)
	}
	return s, err
}

// Metrics is the metrics.Source of TLS. It writes nothing without it.
func (f *Flags) Metrics(w *metrics.Writer) {
	if f != nil && f.server != nil {
		tlsmetrics.Source(f.server)(w)
	}
}

func reloadOnHangup(s *tlsconn.Server, log *slog.Logger) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	for range hangup {
		if err := s.Reload(); err != nil {
			log.Warn("the certificate stays as it is", "err", err)
		}
	}
}
