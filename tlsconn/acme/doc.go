// Package acme obtains the certificates of a tlsconn.Server from a certificate authority, such as
// Let's Encrypt, and renews them (RFC 8555). It is a module of its own: a program that does not use
// it needs neither golang.org/x/crypto nor net/http.
//
//	certs, err := acme.New(acme.Options{Dir: "/var/lib/api/acme", Hosts: []string{"api.example.com"}, AcceptTerms: true})
//	…
//	server, err := tlsconn.NewServer(certs.Config())
//	…
//	http.Listen(m, "https://:443", handler, http.Options{TLS: server})
//	go certs.Run(ctx)
//
// The authority connects to the host to see that this program answers for it. With tls-alpn-01 (RFC
// 8737), the default, it does so on port 443, and the tlsconn.Server answers. With http-01 (RFC
// 8555 §8.3) it does so on port 80, where Manager.Challenges must stand before the program's own
// handler:
//
//	http.Listen(m, "http://:80", certs.Challenges(middleware.RedirectHTTPS()(none)))
//
// The listeners must be there before Run, and the names must lead to them.
//
// # Care for the authority
//
// Authorities count orders and failures, and refuse those who make many. So there is one order at a
// time; a host that failed waits, twice as long after each failure, at least as long as the
// authority asks for; and the wait is kept in a file, so that a program that is started again and
// again does not begin anew. Try a new setup with Options.Directory set to LetsEncryptStaging.
//
// # Files
//
// Options.Dir has a directory for each authority, with the key of the account and a file for each
// host: the key and the certificates in one. All have mode 0600, and each is replaced as one, so
// that a loss of power leaves the old or the new. Two programs may share the directory, as two
// versions do for a while during an upgrade: each takes what the other has obtained.
package acme
