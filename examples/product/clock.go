package main

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/sntp"
)

// clock compares the clock of the device with that of a time server, as the settings say, and shows
// how far it is off and how fast it drifts. It does not set the clock: that takes a privilege that
// this program does not have, and is the work of the system's time service.
type clock struct {
	p      *product
	client *sntp.Client // nil while it is off
	drift  *sntp.Drift
}

// watchClock begins the comparison, anew after each change of its settings.
func (p *product) watchClock() {
	c := &clock{p: p}
	c.begin()
	p.dev.OnChange(func(change *device.Change) {
		if change.Has("ntp.on") || change.Has("ntp.server") || change.Has("ntp.every") {
			c.begin()
		}
	})
}

// begin asks as the settings say now.
func (c *clock) begin() {
	if c.client != nil {
		c.client.Stop()
		c.client = nil
	}
	c.drift = new(sntp.Drift)
	ntp, state := c.p.dev.Get().NTP, "off"
	if url, ok := timeServer(ntp.Server); ok && ntp.On {
		var err error
		c.client, err = sntp.New(c.p.m, sntp.Options{
			Servers: []string{url}, Interval: ntp.Every, OnSample: c.sample,
			OnError: func(err error) { c.state("no answer: " + err.Error()) },
		})
		if state = "asking " + ntp.Server; err != nil {
			state = err.Error()
		}
	}
	c.show(state, math.NaN(), math.NaN())
}

// timeServer returns the URL of a server, which the settings call by a name or an address, with or
// without a port.
func timeServer(text string) (url string, ok bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		return "udp://" + netip.AddrPortFrom(a, ntpPort).String(), true
	}
	if a, err := netip.ParseAddrPort(text); err == nil {
		return "udp://" + a.String(), true
	}
	host, port, found := strings.Cut(text, ":")
	if !found {
		port = strconv.Itoa(ntpPort)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return "udp://" + host + ":" + port, err == nil && n > 0 && conn.IsHostName(host)
}

const ntpPort = 123

// sample is called for each good answer.
func (c *clock) sample(s sntp.Sample) {
	c.drift.Add(s)
	drift := math.NaN()
	// A drift that may be as wrong as a bad clock drifts says nothing.
	if ppm, within, ok := c.drift.Rate(); ok && within < 50 {
		drift = math.Round(10*ppm) / 10
	}
	c.show("answered at "+s.At.Add(s.Offset).UTC().Format(time.RFC3339), float64(s.Offset.Microseconds())/1e3, drift)
}

func (c *clock) state(text string) {
	c.p.set(func(s *Settings) { s.Readings.Clock.State = text })
}

func (c *clock) show(state string, offset, drift float64) {
	c.p.set(func(s *Settings) {
		r := &s.Readings.Clock
		r.State, r.Offset, r.Drift = state, offset, drift
	})
}
