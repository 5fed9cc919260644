package program

import (
	"errors"
	"flag"
	"net/netip"
	"strings"
)

// Web are the flags of a program that browsers reach, be it through a proxy.
type Web struct {
	Hosts   []string       // for http.Options.Hosts, never empty
	Origins []string       // for websocket.Options.Origins
	Trusted []netip.Prefix // the networks of proxies
}

// Register adds -host, -origin and -trusted-proxy to f. Each may be given several times, and each
// time several values with commas between them.
func (w *Web) Register(f *flag.FlagSet) {
	w.RegisterHosts(f)
	list(f, "origin", "`origin` of other pages that may use this server, such as https://app.example", w.addOrigin)
}

// RegisterHosts is Register without -origin.
func (w *Web) RegisterHosts(f *flag.FlagSet) {
	w.Hosts = []string{"localhost"}
	list(f, "host", "`name` that clients may call this server by, besides the names and addresses of this machine; * is any", w.addHost)
	list(f, "trusted-proxy", "`network` of proxies whose X-Forwarded-For is believed, such as 127.0.0.1 or 10.1.0.0/16", w.trust)
}

// list adds a flag that may be given several times.
func list(f *flag.FlagSet, name, usage string, add func(string) error) {
	f.Func(name, usage, func(s string) error {
		for v := range strings.SplitSeq(s, ",") {
			if err := add(strings.TrimSpace(v)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *Web) addHost(s string) error {
	w.Hosts = append(w.Hosts, s)
	return nil // http.Listen tells what is wrong with it
}

func (w *Web) addOrigin(s string) error {
	scheme, host, ok := strings.Cut(s, "://")
	if !ok || scheme == "" || host == "" || strings.ContainsAny(host, "/*@? ") {
		return errors.New("an origin is SCHEME://HOST[:PORT]")
	}
	w.Origins = append(w.Origins, s)
	return nil
}

func (w *Web) trust(s string) error {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return err
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	w.Trusted = append(w.Trusted, p)
	return nil
}
