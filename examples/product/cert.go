package main

import (
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/cert"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/middleware"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// certificate makes or reads the certificate, and mounts what is done with it.
func (p *product) certificate(x *http.Mux, audit func(device.Entry)) (*tlsconn.Server, error) {
	var err error
	if p.cert, err = cert.New(cert.Options{
		Dir: filepath.Join(p.cfg.data, "tls"), Name: board,
		// Not the name with a number: a neighbour that claims the host name would make us change the
		// authority.
		Hosts: func() []string { return []string{p.dev.Get().Network.Hostname + ".local"} },
		Who:   p.owner.Who("certificate"), Audit: audit, Log: p.log,
	}); err != nil {
		return nil, err
	}
	p.cert.Mount(x, "/certificate", p.owner.Allow(device.Viewer, "certificate"), p.owner.Allow(device.Admin, "certificate"))
	p.dev.OnChange(func(c *device.Change) {
		if c.Has("network.hostname") {
			go p.renew()
		}
	})
	return p.cert.Server(tlsconn.Config{Log: p.log, Redirect: true})
}

// renew gives the device a certificate for its new name.
func (p *product) renew() {
	if err := p.cert.Check(); err != nil {
		p.log.Error("there is no certificate for the new name", "why", err)
	}
}

// forgetCertificate removes what was uploaded, with its key.
func (p *product) forgetCertificate() error {
	if p.cert == nil {
		return nil
	}
	return p.cert.Remove()
}

// redirect has the second port send browsers to the one that speaks HTTPS.
func (p *product) redirect(https uint16) error {
	at, err := netip.ParseAddrPort(p.cfg.http)
	if err != nil {
		return fmt.Errorf("-http is an address and a port, such as 127.0.0.1:80: %w", err)
	}
	x := http.NewMux() // has nothing that the redirect could let pass
	x.Use(middleware.RedirectHTTPS(middleware.RedirectOptions{Port: int(https)}))
	var l *conn.Conn
	if l, err = http.Listen(p.m, "http://"+at.String(), x.Serve, http.Options{HostFunc: p.isMyName}); err != nil {
		return err
	}
	fmt.Printf("redirecting from http://%s\n", l.LocalAddr())
	return nil
}
