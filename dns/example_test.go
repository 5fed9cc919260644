package dns_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/dns"
	"github.com/seed4930a636/mangusta/mgr"
)

// With a Resolver, Connect takes names.
func ExampleNew() {
	m, err := mgr.New(mgr.Options{Resolver: dns.New()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	l, err := m.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Accept); ok {
			c.WriteString("welcome")
			c.Drain()
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	over := false
	_, err = m.Connect(fmt.Sprintf("tcp://server.localhost:%d", l.LocalAddr().Port()), func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Resolve:
			fmt.Println(ev.Name, "has addresses")
		case *conn.Connect:
			fmt.Println("connected to", c.RemoteAddr().Addr())
		case *conn.EOF:
			fmt.Printf("the server says %q\n", c.Recv.Bytes())
		case *conn.Close:
			over = true
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for !over {
		m.Poll(-1)
	}
	// Output:
	// server.localhost has addresses
	// connected to 127.0.0.1
	// the server says "welcome"
}

// A program may ask for addresses itself.
func ExampleResolver_Addrs() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	r := dns.New()
	for _, name := range []string{"printer.localhost", "192.0.2.1", "printer.invalid"} {
		r.Addrs(m, name, func(addrs []netip.Addr, err error) { fmt.Println(addrs, err) }) // these need no name server
	}
	// Output:
	// [::1 127.0.0.1] <nil>
	// [192.0.2.1] <nil>
	// [] dns: printer.invalid: no such name
}

// A program's own Resolver: a table.
func ExampleResolver() {
	table := map[string]netip.Addr{"server.test": netip.MustParseAddr("127.0.0.1")}
	own := mgr.ResolverFunc(func(m *mgr.Manager, name string, found func(mgr.Resolved)) func() {
		if a, ok := table[name]; ok {
			found(mgr.Resolved{Addrs: []netip.Addr{a}})
		} else {
			found(mgr.Resolved{Err: fmt.Errorf("%s is not in the table", name)})
		}
		return nil // all is said
	})
	m, err := mgr.New(mgr.Options{Resolver: own})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	over := false
	m.Connect("tcp://other.test:80", func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Error:
			fmt.Println(ev.Err)
		case *conn.Close:
			over = true
		}
	})
	for !over {
		m.Poll(-1)
	}
	// Output:
	// conn: name not resolved: other.test: other.test is not in the table
}

// A device announces itself and its page, and looks for others.
func ExampleMulticast() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	d, err := dns.NewMulticast(m)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = d.SetHost("boiler", func(label string) { fmt.Println("this host is", label+".local") })
	if err != nil {
		fmt.Println(err)
		return
	}
	page := dns.Service{Name: "Boiler in the cellar", Type: "_http._tcp", Port: 80, TXT: []string{"path=/"}}
	if _, err := d.Announce(page, nil); err != nil {
		fmt.Println(err)
		return
	}
	d.Browse("_http._tcp", func(f *dns.Found) {
		if f.Gone {
			fmt.Println(f.Name, "is gone")
			return
		}
		fmt.Println(f.Name, "is at", f.Addrs, f.Port)
	})
	for range 100 { // or m.Run
		m.Poll(100 * time.Millisecond)
	}
}
