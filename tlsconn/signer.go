package tlsconn

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"io"
)

// A patientSigner is a key that is not in memory: in a chip, or on another machine. Signing waits,
// so it is done without a place to compute.
type patientSigner struct{ crypto.Signer }

// patient returns cert with a patientSigner, if its key may be one.
func patient(cert *tls.Certificate) *tls.Certificate {
	if cert == nil {
		return nil
	}
	switch key := cert.PrivateKey.(type) {
	case *ecdsa.PrivateKey, *rsa.PrivateKey, ed25519.PrivateKey, patientSigner, niceSigner:
	case crypto.Signer:
		c := *cert
		c.PrivateKey = patientSigner{key}
		return &c
	}
	return cert
}

// patients returns a copy of certs, each patient.
func patients(certs []tls.Certificate) []tls.Certificate {
	all := make([]tls.Certificate, len(certs))
	for i := range certs {
		all[i] = *patient(&certs[i])
	}
	return all
}

// Sign implements crypto.Signer.
func (s patientSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	outside(func() { sig, err = s.Signer.Sign(rand, digest, opts) })
	return sig, err
}

// SignMessage implements crypto.MessageSigner.
func (s patientSigner) SignMessage(rand io.Reader, msg []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	outside(func() { sig, err = crypto.SignMessage(s.Signer, rand, msg, opts) })
	return sig, err
}
