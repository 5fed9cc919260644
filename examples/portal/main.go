// Command portal sets a device up from a phone: the device has a wireless network of its own, open or
// with a passphrase on its label, and when the phone joins it, the page that asks for the owner's
// network opens by itself.
//
//	portal -address 192.168.4.1 -dns 192.168.4.1:53 -listen 192.168.4.1:80 -wpa /run/wpa_supplicant/wlan0
//	go run ./examples/portal                          a fake network, at http://127.0.0.1:8080/
//
// The device's network itself is the system's: hostapd for the radio, dnsmasq or udhcpd for the
// addresses, with this program as the phone's DNS server:
//
//	dnsmasq --port=0 --interface=ap0 --dhcp-range=192.168.4.10,192.168.4.99,1h --dhcp-option=6,192.168.4.1
//
// Package captive is the portal, package wifi what it joins networks with.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/examples/internal/program"
	"github.com/seed4930a636/mangusta/examples/portal/captive"
	"github.com/seed4930a636/mangusta/examples/portal/wifi"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

func main() { program.Check(run()) }

func run() error {
	flags := program.Register("127.0.0.1:8080")
	address := flag.String("address", "", "`address` of the device in its own network; without it there is no DNS")
	dns := flag.String("dns", "", "`address` and port for DNS, over UDP")
	wpa := flag.String("wpa", "", "`path` of wpa_supplicant's control socket; without it networks are made up")
	name := flag.String("name", "thermostat", "`name` of the device")
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	m, err := flags.Manager(mgr.Options{Log: log})
	if err != nil {
		return err
	}
	defer m.Close()

	var network wifi.Network = &wifi.Fake{
		M: m, Delay: time.Second, Passphrases: map[string]string{"Home": "correct horse"},
		Points: []wifi.AccessPoint{{SSID: "Home", Signal: -50, Security: wifi.Personal}, {SSID: "Café", Signal: -70}, {SSID: "Office", Signal: -80, Security: wifi.Unsupported}},
	}
	if *wpa != "" {
		network = wifi.NewSupplicant(m, *wpa, wifi.SupplicantOptions{Save: true})
	}
	o := captive.Options{Name: *name, Network: network, Joined: func(ssid string) { log.Info("joined", "ssid", ssid) }}
	var p *captive.Portal
	l, err := http.Listen(m, flags.URL(), func(c *conn.Conn, ev conn.Event) {
		if p != nil { // the listener's own Open comes before there is a portal, which needs its address
			p.Serve(c, ev)
		}
	})
	if err != nil {
		return err
	}
	at := l.LocalAddr()
	if *address != "" {
		a, err := netip.ParseAddr(*address)
		if err != nil {
			return fmt.Errorf("-address: %w", err)
		}
		at = netip.AddrPortFrom(a, at.Port())
	}
	o.URL = "http://" + at.String() + "/"
	if p, err = captive.New(o); err != nil {
		return err
	}
	if *dns != "" {
		if *address == "" {
			return errors.New("-dns needs -address")
		}
		if _, err := captive.ListenDNS(m, "udp://"+*dns, captive.AnswerWith(at.Addr())); err != nil {
			return err
		}
	}
	return program.Run(m, l)
}
