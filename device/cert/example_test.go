package cert_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device/cert"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// A server that speaks HTTPS from its first start on, and whose authority can be downloaded.
func ExampleNew() {
	dir, err := os.MkdirTemp("", "box-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	k, err := cert.New(cert.Options{
		Dir: filepath.Join(dir, "tls"), Name: "box", Log: slog.New(slog.DiscardHandler),
		Hosts: func() []string { return []string{"box.local"} },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer k.Close()

	server, err := k.Server(tlsconn.Config{Redirect: true})
	if err != nil {
		log.Fatal(err)
	}
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	x := http.NewMux()
	// A product asks package owner here.
	nobody := func(c *conn.Conn, _ *http.Request) bool {
		http.Error(c, 403)
		return false
	}
	k.Mount(x, "/certificate", nobody, nobody)
	if _, err := http.Listen(m, "https://127.0.0.1:0", x.Serve, http.Options{TLS: server}); err != nil {
		log.Fatal(err)
	}

	b, _ := pem.Decode(k.Authority())
	authority, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the authority vouches for", authority.PermittedDNSDomains)
	fmt.Println("the certificate is for", k.Active().DNSNames)
	fmt.Println("it is valid for", time.Until(k.Active().NotAfter).Round(24*time.Hour).Hours()/24, "days")
	// Output:
	// the authority vouches for [box.local localhost]
	// the certificate is for [box.local localhost]
	// it is valid for 396 days
}
