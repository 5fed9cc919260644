package tlsconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"reflect"
	"strings"
)

// An alert is the one that a handshake failed with. The zero value is none: close_notify ends no
// handshake with an error of its own.
type alert struct {
	description uint8
	received    bool
}

// Alerts of RFC 8446 §6 that this package sends, or tells from an error.
const (
	alertBadCertificate      = 42
	alertCertificateExpired  = 45
	alertUnknownCA           = 48
	alertProtocolVersion     = 70
	alertInternalError       = 80
	alertCertificateRequired = 116

	alertUnnamed = 255
)

// alertLen is the length of an alert's record that is not encrypted.
const alertLen = headerLen + 2

// alertRecord is a fatal alert that is not encrypted.
func alertRecord(description uint8) []byte { return []byte{typeAlert, 3, 1, 0, 2, 2, description} }

// A refusal is the error of Config.VerifyConnection.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// refusing has verify called without a place to compute, and marks its errors.
func refusing(verify func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	if verify == nil {
		return nil
	}
	return func(state tls.ConnectionState) error {
		var err error
		outside(func() { err = verify(state) })
		if err != nil {
			return refusal{err}
		}
		return nil
	}
}

// alert finds the alert of a handshake that has failed.
func (h *handshake) alert(version uint16) alert {
	if op, ok := errors.AsType[*net.OpError](h.err); ok && op.Op == "remote error" {
		// crypto/tls has a type of its own for this, which is a number.
		if v := reflect.ValueOf(op.Err); v.Kind() == reflect.Uint8 {
			return alert{named(uint8(v.Uint())), true}
		}
	}
	if n := len(h.last) - alertLen; n >= 0 && h.last[n] == typeAlert && h.last[n+1] == 3 && h.last[n+3] == 0 && h.last[n+4] == 2 {
		return alert{named(h.last[n+6]), false}
	}
	return alert{description: h.encryptedAlert(version)}
}

// encryptedAlert is what crypto/tls has sent for an error about a certificate; 0 for other errors.
func (h *handshake) encryptedAlert(version uint16) uint8 {
	bad, ofCertificate := errors.AsType[*tls.CertificateVerificationError](h.err)
	_, refused := errors.AsType[refusal](h.err)
	switch {
	case refused, errors.Is(h.err, ErrPin):
		return alertBadCertificate
	case ofCertificate:
		if h.name != "" { // a client makes no difference
			return alertBadCertificate
		}
		switch err := bad.Err.(type) {
		case x509.UnknownAuthorityError:
			return alertUnknownCA
		case x509.CertificateInvalidError:
			if err.Reason == x509.Expired {
				return alertCertificateExpired
			}
		}
		return alertBadCertificate
	case version == tls.VersionTLS13 && h.err.Error() == "tls: client didn't provide a certificate":
		return alertCertificateRequired
	}
	return 0
}

// named returns an alert that crypto/tls has a name for, or alertUnnamed: a peer may send any
// number.
func named(description uint8) uint8 {
	if strings.Contains(tls.AlertError(description).Error(), "alert(") {
		return alertUnnamed
	}
	return description
}
