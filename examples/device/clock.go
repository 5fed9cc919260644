package main

import (
	"time"

	"github.com/seed4930a636/mangusta/dns"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/sntp"
)

// A Clock is how far the device's clock is off, as a time server says (-ntp). Times are in ms.
type Clock struct {
	Offset  float64 `json:"offset"` // what the clock lacks
	Delay   float64 `json:"delay"`
	Server  string  `json:"server"`
	Stratum int     `json:"stratum"`
	At      int64   `json:"at"` // Unix time in ms
}

// watchClock asks the servers now and then, on the loop of m.
func (d *device) watchClock(m *mgr.Manager, servers []string) error {
	_, err := sntp.New(m, sntp.Options{
		Servers: servers,
		OnSample: func(s sntp.Sample) {
			ms := func(t time.Duration) float64 { return *round(float64(t)/float64(time.Millisecond), 3) }
			d.log.Info("the time server has answered", "server", s.Server, "offset", s.Offset, "delay", s.Delay)
			d.shared.Lock()
			defer d.shared.Unlock()
			d.shared.clock = &Clock{Offset: ms(s.Offset), Delay: ms(s.Delay), Server: s.Server, Stratum: s.Stratum, At: s.At.UnixMilli()}
		},
		OnError: func(err error) { d.log.Warn("the time server", "why", err) },
	})
	return err
}

// resolver finds the names of time servers, if there are any.
func resolver(cfg config) mgr.Resolver {
	if len(cfg.ntp) == 0 {
		return nil
	}
	return dns.New()
}
