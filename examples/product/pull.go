package main

import (
	"time"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/update"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// pull looks for updates once a day, and when an admin asks with POST /update/pull. A fetched
// update waits for a reboot.
func (p *product) pull(x *http.Mux) error {
	if p.updater == nil || p.cfg.pull == "" {
		return nil
	}
	client, err := tlsconn.NewClient(tlsconn.ClientConfig{})
	if err != nil {
		return err
	}
	puller, err := p.updater.Pull(p.m, update.PullOptions{
		URL: p.cfg.pull, Every: 24 * time.Hour,
		Client: http.ClientOptions{TLS: client, UserAgent: board + "/" + p.updater.Status().Running.Version},
	})
	if err != nil {
		return err
	}
	puller.Mount(x, "/update/pull", p.owner.Allow(device.Admin, "update"))
	return nil
}
