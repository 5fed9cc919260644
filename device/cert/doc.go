// Package cert gives a device its certificate for HTTPS: one of its own, by an authority of its
// own, or one that the owner uploads.
//
//	k, err := cert.New(cert.Options{Dir: "/var/lib/box/tls", Name: "box", Hosts: hosts})
//	server, err := k.Server(tlsconn.Config{})
//	http.Listen(m, "https://0.0.0.0:443", x.Serve, http.Options{TLS: server, HostFunc: …})
//	k.Mount(x, "/certificate", o.Allow(device.Viewer, "certificate"), o.Allow(device.Admin, "certificate"))
//
// # The authority
//
// At the first start a Keeper makes a certificate authority, and a certificate by it for the names
// and addresses of the device. A browser warns of that until its user adds the authority (GET
// PREFIX/ca.crt) to those that are trusted. Its name constraints (RFC 5280 §4.2.1.10) make that
// safe: it can vouch for the names of this device and for addresses of private networks, and for
// no other site, even if its key is stolen. It cannot sign mail or programs either.
//
// The certificate is renewed by itself: in time, and when the names or addresses have changed. The
// authority stays, so nothing has to be done in browsers. If the device gets a name that the
// authority must not vouch for, there has to be a new authority, and it has to be added again.
//
// A device whose clock was never set makes a certificate that is valid from 1970 to 2049, and
// replaces it when it knows the time.
//
// # An uploaded certificate
//
// The owner may upload a certificate and its key: ECDSA with P-256 or P-384, or RSA with 2048 to
// 4096 bits. It is checked, so that one which browsers refuse does not keep the owner out, and new
// connections get it at once; open ones go on. Clients that ask for a name which it does not have still get the device's
// own, and so do all when it has expired or is removed.
//
// # Files
//
// Dir has mode 0700, and in it are ca.pem, own.pem and uploaded.pem, each a certificate, those that
// link it to a root, and its key, with mode 0600; and the keys of TLS session tickets. Each is
// replaced at once, so a power cut leaves the old one or the new one.
package cert
