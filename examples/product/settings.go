package main

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
)

// Settings are what the owner of the thermostat can change, and its readings. All else, the form,
// the checks, REST, JSON-RPC, the file, the audit and the gauges, comes from this declaration.
type Settings struct {
	Name     string        `device:"name,min=1,max=32" group:"General" help:"How the device is called."`
	Location string        `device:"location,max=64" group:"General"`
	Interval time.Duration `device:"interval,unit=ms,min=200,max=10000,step=100" group:"General" help:"Time between two readings."`

	Mode       string  `device:"mode,enum=auto|heat|off" group:"Heating"`
	Target     float64 `device:"target,unit=°C,min=5,max=30,step=0.5" group:"Heating" help:"The temperature to hold."`
	Hysteresis float64 `device:"hysteresis,unit=°C,min=0.1,max=5,step=0.1" group:"Heating"`

	LED struct {
		On         bool   `device:"on"`
		Brightness int    `device:"brightness,unit=%,min=0,max=100,step=5"`
		Colour     string `device:"colour,enum=white|amber|green"`
	} `device:"led" group:"LED"`

	Alarm struct {
		On   bool    `device:"on"`
		Low  float64 `device:"low,unit=°C,min=-40,max=100"`
		High float64 `device:"high,unit=°C,min=-40,max=100" help:"Must be above the low threshold."`
	} `device:"alarm" group:"Alarm"`

	Network struct {
		Hostname string     `device:"hostname,min=1,max=63" help:"Others find the device by this name, followed by .local."`
		DHCP     bool       `device:"dhcp,restart"`
		Address  netip.Addr `device:"address,restart" help:"Without DHCP."`
		SSID     string     `device:"ssid,restart,max=32"`
		Password string     `device:"password,restart,secret,max=63"`
	} `device:"network,role=admin" group:"Network"`

	NTP struct {
		On     bool          `device:"on"`
		Server string        `device:"server,max=253"`
		Every  time.Duration `device:"every,unit=min,min=2,max=1440" help:"Time between two questions to the server."`
	} `device:"ntp" group:"Time"`

	Readings struct {
		Temperature float64       `device:"temperature,unit=°C"`
		Humidity    float64       `device:"humidity,unit=%"`
		Heating     bool          `device:"heating"`
		Alarm       bool          `device:"alarm"`
		Uptime      time.Duration `device:"uptime"`
		Identifying bool          `device:"identifying"`
		Update      string        `device:"update" help:"What the update does."`
		Host        string        `device:"host" help:"The name on the local network; it has a number if another device has the first one."`
		Clock       struct {
			State  string  `device:"state"`
			Offset float64 `device:"offset,unit=ms" help:"What to add to the clock to have the server's time."`
			Drift  float64 `device:"drift,unit=ppm" help:"How fast the clock goes, in parts per million too much."`
		} `device:"clock"`
	} `device:"readings,readonly" group:"Readings"`
}

func defaults() Settings {
	s := Settings{Name: "thermostat", Interval: time.Second, Mode: "auto", Target: 21, Hysteresis: 0.5}
	s.LED.On, s.LED.Brightness, s.LED.Colour = true, 60, "white"
	s.Alarm.Low, s.Alarm.High = 5, 35
	s.Network.Hostname, s.Network.DHCP = "thermostat", true
	// The pool asks makers of devices to use a name of their own in it (www.ntppool.org/vendors.html):
	// so no device asks this one before its owner turns it on.
	s.NTP.Server, s.NTP.Every = "pool.ntp.org", time.Hour
	s.Readings.Update = "off"
	s.Readings.Clock.State, s.Readings.Clock.Offset, s.Readings.Clock.Drift = "off", math.NaN(), math.NaN()
	return s
}

// check looks at what concerns several settings.
func check(v any) (errs []device.FieldError) {
	s := v.(Settings)
	if s.Alarm.Low >= s.Alarm.High {
		errs = append(errs, device.FieldError{Path: "alarm.high", Text: "must be above the low threshold"})
	}
	if !s.Network.DHCP && !s.Network.Address.IsValid() {
		errs = append(errs, device.FieldError{Path: "network.address", Text: "is needed without DHCP"})
	}
	if h := s.Network.Hostname; !conn.IsHostName(h) || strings.ContainsAny(h, "._") {
		errs = append(errs, device.FieldError{Path: "network.hostname", Text: "must have letters, digits and hyphens only"})
	}
	if _, ok := timeServer(s.NTP.Server); !ok && (s.NTP.On || s.NTP.Server != "") {
		errs = append(errs, device.FieldError{Path: "ntp.server", Text: "must be a name or an address, with or without a port"})
	}
	return errs
}
