// Command discover shows what is on this network: it asks with SSDP (UPnP: televisions, routers,
// players) and with multicast DNS (printers, speakers, computers), on each interface and over IPv4
// and IPv6, and prints each answer once.
//
//	go run ./examples/discover [-for 3s] [-interface NAME] [-poller auto|epoll|select]
//
// All of it is one loop: a UDP socket for each family and each of the two protocols. The questions
// go out by one interface after the other (conn.Via); the answers come back to the sockets.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "discover:", err)
		os.Exit(1)
	}
}

// A protocol is a way to ask who is there.
type protocol struct {
	name     string
	groups   []netip.AddrPort // that are asked, of one family each
	question func(group netip.AddrPort) []byte
	read     func(b []byte) []string // what an answer says
}

var protocols = []protocol{
	{"ssdp", []netip.AddrPort{netip.MustParseAddrPort("239.255.255.250:1900"), netip.MustParseAddrPort("[ff02::c]:1900")}, searchSSDP, readSSDP},
	{"mdns", []netip.AddrPort{netip.MustParseAddrPort("224.0.0.251:5353"), netip.MustParseAddrPort("[ff02::fb]:5353")}, askMDNS, readMDNS},
}

// again is when a question is repeated: a datagram may get lost.
const again = time.Second

// mostSeen bounds what is remembered of a network that answers without end.
const mostSeen = 10_000

// discovery is one run.
type discovery struct {
	m     *mgr.Manager
	out   io.Writer
	links []net.Interface
	seen  map[string]bool
	asked int // questions that have left
}

func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	f := flag.NewFlagSet("discover", flag.ContinueOnError)
	f.SetOutput(errOut)
	wait := f.Duration("for", 3*time.Second, "how long to wait for answers")
	name := f.String("interface", "", "`name` of the interface; all of them if there is none")
	pollerName := f.String("poller", "auto", "auto, epoll or select")
	if err := f.Parse(args); err != nil {
		return err
	}
	poller, err := mgr.ParsePoller(*pollerName)
	if err != nil {
		return err
	}
	m, err := mgr.New(mgr.Options{Poller: poller})
	if err != nil {
		return err
	}
	defer m.Close()
	d := &discovery{m: m, out: out, seen: map[string]bool{}}
	if d.links, err = interfaces(*name); err != nil {
		return err
	}
	if err := d.open(errOut); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, *wait)
	defer stop()
	if err := m.Run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	if len(d.seen) == 0 {
		fmt.Fprintln(errOut, "nobody has answered")
	}
	return nil
}

// interfaces returns those that are up and can multicast.
func interfaces(name string) (links []net.Interface, err error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		if name == "" && i.Flags&(net.FlagUp|net.FlagMulticast|net.FlagLoopback) == net.FlagUp|net.FlagMulticast || i.Name == name {
			links = append(links, i)
		}
	}
	if len(links) == 0 {
		return nil, errors.New("no interface that is up and can multicast")
	}
	return links, nil
}

// open opens the sockets and asks. A family that this machine does not have is left out.
func (d *discovery) open(errOut io.Writer) error {
	sockets := 0
	for _, p := range protocols {
		for _, group := range p.groups {
			url := "udp://0.0.0.0:0"
			if group.Addr().Is6() {
				url = "udp://[::]:0"
			}
			c, err := d.m.Listen(url, d.hear(p), mgr.ListenOptions{Socket: conn.SocketOptions{V6Only: group.Addr().Is6(), DatagramSize: 9000}})
			if err != nil {
				fmt.Fprintln(errOut, "discover:", err)
				continue
			}
			if err := c.Kernel().SetMulticastTTL(2); err != nil { // UPnP Device Architecture 2.0 §1.3.2
				return err
			}
			sockets++
			ask := func() {
				for _, link := range d.links {
					if c.SendTo(p.question(group), conn.PeerOf(group), conn.Via{Interface: link.Index}) == nil {
						d.asked++
					}
				}
			}
			ask()
			d.m.AfterFunc(again, ask)
		}
	}
	if sockets == 0 {
		return errors.New("no socket could be opened")
	}
	return nil
}

// hear returns the handler of a socket.
func (d *discovery) hear(p protocol) conn.Handler {
	return func(c *conn.Conn, ev conn.Event) {
		ans, ok := ev.(*conn.Datagram)
		if !ok {
			return // *conn.Undelivered: an interface without such an address
		}
		for _, text := range p.read(ans.Data) {
			line := fmt.Sprintf("%-40s %s  %s", ans.From.AddrPort().Addr(), p.name, text)
			if !d.seen[line] && len(d.seen) < mostSeen {
				d.seen[line] = true
				fmt.Fprintln(d.out, line)
			}
		}
	}
}

// visible returns text that may be printed: an answer may hold anything, also what a terminal
// obeys.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffd {
			return '.'
		}
		return r
	}, cmp.Or(s, "-"))
}
