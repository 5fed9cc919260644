package acme_test

import (
	"fmt"
	"log"
	"os"

	"github.com/seed4930a636/mangusta/tlsconn"
	"github.com/seed4930a636/mangusta/tlsconn/acme"
)

// A server whose certificates come from Let's Encrypt once Run is called. Until then clients get one
// of the program's own making.
func ExampleNew() {
	dir, err := os.MkdirTemp("", "acme")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	certs, err := acme.New(acme.Options{Dir: dir, Hosts: []string{"api.example.com"}, AcceptTerms: true})
	if err != nil {
		log.Fatal(err)
	}
	server, err := tlsconn.SelfSigned(dir, nil, certs.Config())
	if err != nil {
		log.Fatal(err)
	}
	_ = server // is http.Options.TLS of a listener on port 443, and then: go certs.Run(ctx)
	for _, st := range certs.Status() {
		fmt.Println(st.Host, "has a certificate:", !st.Until.IsZero())
	}
	// Output:
	// api.example.com has a certificate: false
}
