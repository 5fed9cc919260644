package dns_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/dns"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestResolves(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		s := newServer(t, zone(map[string][]string{
			"both.test.": {"192.0.2.1", "2001:db8::1", "192.0.2.2"},
			"four.test.": {"192.0.2.4"},
			"six.test.":  {"2001:db8::6"},
			"none.test.": {},
		}))
		r := newRig(t, o, dns.Options{Servers: servers(s)})
		r.want("both.test", "2001:db8::1", "192.0.2.1", "192.0.2.2")
		r.want("four.test", "192.0.2.4")
		r.want("Six.Test.", "2001:db8::6")
		r.wantError("none.test", dns.ErrNoData)
		r.wantError("missing.test", dns.ErrNoName)
		r.wantError("a..b", dns.ErrBadName)
		r.wantError("", dns.ErrBadName)

		before := len(s.queries())
		r.want("BOTH.test", "2001:db8::1", "192.0.2.1", "192.0.2.2")
		r.wantError("missing.test", dns.ErrNoName)
		r.wantError("none.test.", dns.ErrNoData)
		if n := len(s.queries()); n != before {
			t.Errorf("%d questions for what is in the cache", n-before)
		}
		ids, ports := map[uint16]bool{}, map[string]bool{}
		for _, q := range s.queries() {
			ids[q.id], ports[q.from] = true, true
			if q.edns != 1232 || q.tcp {
				t.Errorf("asked %+v", q)
			}
		}
		if len(ids) < before-1 || len(ports) < before-1 {
			t.Errorf("%d questions with %d IDs from %d ports", before, len(ids), len(ports))
		}
		if st := r.r.Stats(r.m); st.Pending != 0 || int(st.Sent) != before || st.Cached != 10 {
			t.Errorf("%+v", st)
		}
		if n := r.m.Stats().Conns; n != 0 {
			t.Errorf("%d sockets are left", n)
		}
	})
}

func TestWithoutAQuestion(t *testing.T) {
	dir := t.TempDir()
	hosts := filepath.Join(dir, "hosts")
	os.WriteFile(hosts, []byte("192.0.2.7 Printer printer.lan # in the hall\n2001:db8::7\tprinter\nnonsense here\n\n192.0.2.8\n192.0.2.9 a..b\n127.0.1.1 my.localhost"), 0o600)
	s := newServer(t, func(q query) [][]byte { t.Errorf("asked %+v", q); return nil })
	r := newRig(t, mgr.Options{}, dns.Options{Servers: servers(s), Hosts: hosts})
	r.want("192.0.2.1", "192.0.2.1")
	r.want("2001:db8::1", "2001:db8::1")
	r.want("fe80::1%lo", "fe80::1%lo")
	r.want("localhost", "::1", "127.0.0.1")
	r.want("a.LocalHost.", "::1", "127.0.0.1")
	r.want("my.localhost", "127.0.1.1")
	r.want("printer", "2001:db8::7", "192.0.2.7")
	r.want("PRINTER.lan.", "192.0.2.7")
	r.wantError("x.invalid", dns.ErrNoName)
	r.wantError("x.onion", dns.ErrNoName)
	r.wantError("1.2.3", dns.ErrBadName)
	done := false
	r.r.PTR(r.m, netip.MustParseAddr("::ffff:192.0.2.7"), func(names []string, err error) {
		if done = true; err != nil || !slices.Equal(names, []string{"printer", "printer.lan"}) {
			t.Errorf("%v, %v", names, err)
		}
	})
	if !done {
		t.Error("PTR did not answer at once")
	}
}

func TestRecords(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		name := func(s string) dnsmessage.Name { return dnsmessage.MustNewName(s) }
		s := newServer(t, func(q query) [][]byte {
			r := to(q)
			switch q.name {
			case "_mqtt._tcp.test.":
				r.rr(q.name, 60, &dnsmessage.SRVResource{Priority: 2, Weight: 0, Port: 3, Target: name("c.test.")})
				r.rr(q.name, 60, &dnsmessage.SRVResource{Priority: 1, Weight: 9, Port: 1, Target: name("A.test.")})
				r.rr(q.name, 60, &dnsmessage.SRVResource{Priority: 1, Weight: 1, Port: 2, Target: name("b.test.")})
				r.rr(q.name, 60, &dnsmessage.SRVResource{Priority: 1, Weight: 1, Port: 2, Target: name("$(rm).test.")})
			case "txt.test.":
				r.rr(q.name, 60, &dnsmessage.TXTResource{TXT: []string{"v=1 ", "a"}})
				r.rr(q.name, 60, &dnsmessage.TXTResource{TXT: []string{"b\xff"}})
			case "1.2.0.192.in-addr.arpa.":
				r.rr(q.name, 60, &dnsmessage.PTRResource{PTR: name("host.test.")})
				r.rr(q.name, 60, &dnsmessage.PTRResource{PTR: name("<b>.test.")})
			case "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.":
				r.rr(q.name, 60, &dnsmessage.PTRResource{PTR: name("six.test.")})
			default:
				r.code(dnsmessage.RCodeNameError)
			}
			return r.send()
		})
		r := newRig(t, o, dns.Options{Servers: servers(s), Search: []string{"test"}})
		var first [3]int
		for range 2000 {
			r.r.SRV(r.m, "_mqtt._tcp", func(srv []dns.SRV, err error) {
				if err != nil || len(srv) != 3 || srv[2].Target != "c.test" || srv[0].Priority != 1 {
					t.Fatalf("%+v, %v", srv, err)
				}
				first[srv[0].Port]++
			})
			r.until(func() bool { return r.r.Stats(r.m).Pending == 0 })
		}
		if first[1] < 1600 || first[2] < 80 { // 10 to 1 and 9 to 1 by RFC 2782's rule
			t.Errorf("of 2000 lookups the first was a %d times, b %d times", first[1], first[2])
		}
		var got [][]string
		note := func(list []string, err error) { got = append(got, append(list, fmt.Sprint(err))) }
		r.r.TXT(r.m, "txt", note)
		r.r.PTR(r.m, netip.MustParseAddr("192.0.2.1"), note)
		r.r.PTR(r.m, netip.MustParseAddr("2001:db8::1"), note)
		r.r.PTR(r.m, netip.MustParseAddr("192.0.2.2"), note)
		r.until(func() bool { return len(got) == 4 })
		slices.SortFunc(got, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
		want := fmt.Sprint([][]string{{"dns: 192.0.2.2: no such name (" + s.addr.String() + ")"}, {"host.test", "<nil>"}, {"six.test", "<nil>"}, {"v=1 a", "b\xff", "<nil>"}})
		if fmt.Sprint(got) != want {
			t.Errorf("%q, want %s", got, want)
		}
	})
}

func TestSearchList(t *testing.T) {
	s := newServer(t, zone(map[string][]string{
		"www.a.test.": {"192.0.2.1"}, "www.b.test.": {"192.0.2.2"}, "only.b.test.": {"192.0.2.3"},
		"x.y.a.test.": {"192.0.2.4"}, "x.y.": {"192.0.2.5"}, "www.": {"192.0.2.6"},
	}))
	asked := func() (list []string) {
		for _, q := range s.queries() {
			if q.kind == dnsmessage.TypeA {
				list = append(list, q.name)
			}
		}
		return list
	}
	r := newRig(t, mgr.Options{}, dns.Options{Servers: servers(s), Search: []string{"A.test.", "b.test", "-bad-"}})
	r.want("www", "192.0.2.1")
	r.want("only", "192.0.2.3")
	r.want("x.y", "192.0.2.5")
	r.want("www.", "192.0.2.6")
	r.want("www", "192.0.2.1")
	r.wantError("nowhere", dns.ErrNoName)
	want := []string{"www.a.test.", "only.a.test.", "only.b.test.", "x.y.", "www.", "nowhere.a.test.", "nowhere.b.test.", "nowhere."}
	if got := asked(); !slices.Equal(got, want) {
		t.Errorf("asked %v, want %v", got, want)
	}
}

// The files are read again when they have changed.
func TestFilesChange(t *testing.T) {
	dir := t.TempDir()
	conf, hosts := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "hosts")
	r := newRig(t, mgr.Options{}, dns.Options{Conf: conf, Hosts: hosts, Timeout: 50 * time.Millisecond, Attempts: 1})
	r.wantError("x.invalid", dns.ErrNoName)
	os.WriteFile(hosts, []byte("192.0.2.1 x.invalid\n"), 0o600)
	r.wantError("x.invalid", dns.ErrNoName) // it looks every 5 s
	r.r.Flush(r.m)
	r.want("x.invalid", "192.0.2.1")
	os.WriteFile(hosts, []byte("192.0.2.22 x.invalid\n"), 0o600)
	r.r.Flush(r.m)
	r.want("x.invalid", "192.0.2.22")
	os.Remove(hosts)
	r.r.Flush(r.m)
	r.wantError("x.invalid", dns.ErrNoName)
}

// The next server is asked when one is silent, fails, refuses, or talks nonsense.
func TestNextServer(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		good := newServer(t, zone(map[string][]string{"x.test.": {"192.0.2.1"}}))
		closed, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		closed.Close()
		for what, bad := range map[string]func(q query) [][]byte{
			"silent":   func(q query) [][]byte { return nil },
			"SERVFAIL": func(q query) [][]byte { return to(q).code(dnsmessage.RCodeServerFailure).send() },
			"REFUSED":  func(q query) [][]byte { return to(q).code(dnsmessage.RCodeRefused).send() },
			"lame": func(q query) [][]byte {
				r := to(q)
				r.RecursionAvailable = false
				return r.send()
			},
			"cut":     func(q query) [][]byte { b := to(q).ip(q.name, "192.0.2.66", 60).bytes(); return [][]byte{b[:len(b)-3]} },
			"loops":   func(q query) [][]byte { return to(q).cname(q.name, "y.test.", 9).cname("y.test.", q.name, 9).send() },
			"refused": nil,
		} {
			list := servers(newServer(t, bad), good)
			timeout := 10 * time.Second
			if what == "silent" {
				timeout = 50 * time.Millisecond
			}
			if what == "refused" {
				list[0] = netip.MustParseAddrPort(closed.LocalAddr().String())
			}
			r := newRig(t, o, dns.Options{Servers: list, Timeout: timeout})
			if got, err := r.addrs("x.test"); len(got) != 1 || got[0] != "192.0.2.1" {
				t.Errorf("%s: %v, %v", what, got, err)
			}
		}
	})
}

func TestFailures(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		fails := newServer(t, func(q query) [][]byte { return to(q).code(dnsmessage.RCodeServerFailure).send() })
		r := newRig(t, o, dns.Options{Servers: servers(fails)})
		r.wantError("x.test", dns.ErrServer)
		if n := len(fails.queries()); n != 4 { // A and AAAA, twice each
			t.Errorf("asked %d times", n)
		}
		r.wantError("x.test", dns.ErrServer)
		if n := len(fails.queries()); n != 4 {
			t.Error("a failure is not kept for a moment (RFC 9520)")
		}
		silent := newServer(t, func(query) [][]byte { return nil })
		r = newRig(t, o, dns.Options{Servers: servers(silent, silent), Timeout: 20 * time.Millisecond, Attempts: 3})
		r.wantError("y.test", dns.ErrTimeout)
		if n := len(silent.queries()); n != 12 {
			t.Errorf("asked %d times, want 2 questions, 2 servers, 3 rounds", n)
		}
		if n := r.m.Stats().Conns; n != 0 {
			t.Errorf("%d sockets are left", n)
		}
	})
}

// Messages that are no answer to the question are passed over, whoever sent them.
func TestForgedAnswers(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		other, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		const bad = "192.0.2.66"
		s := newServer(t, func(q query) [][]byte {
			if q.kind != dnsmessage.TypeA {
				return to(q).soa("test.", 60, 60).send()
			}
			// From another address: the kernel must not even deliver it.
			to1, _ := net.ResolveUDPAddr("udp", q.from)
			other.WriteTo(to(q).ip(q.name, bad, 60).bytes(), to1)
			id, name, kind, asks, two, class, op := to(q), to(q), to(q), to(q), to(q), to(q), to(q)
			id.ID++
			name.Questions[0].Name = dnsmessage.MustNewName("y.test.")
			kind.Questions[0].Type = dnsmessage.TypeAAAA
			asks.Response = false
			two.Questions = append(two.Questions, two.Questions[0])
			class.Questions[0].Class = dnsmessage.ClassCHAOS
			op.OpCode = 2
			var list [][]byte
			for _, r := range []*reply{id, name, kind, asks, two, class, op} {
				list = append(list, r.ip(q.name, bad, 60).bytes())
			}
			good := to(q).ip(q.name, "192.0.2.1", 60)
			good.Questions[0].Name = dnsmessage.MustNewName(strings.ToUpper(q.name)) // as some servers do
			return append(list, []byte{}, []byte{1}, good.bytes()[:11], good.bytes())
		})
		r := newRig(t, o, dns.Options{Servers: servers(s)})
		r.want("x.test", "192.0.2.1")
		if n := r.r.Stats(r.m).Foreign; n != 10 {
			t.Errorf("%d foreign messages counted, want 10", n)
		}
	})
}

func TestTruncatedByTCP(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		many := func(q query) *reply {
			r := to(q)
			if q.kind == dnsmessage.TypeA {
				for i := range 200 {
					r.ip(q.name, fmt.Sprintf("10.0.%d.%d", i/100, i%100), 60)
				}
			}
			return r
		}
		for what, udp := range map[string]func(q query) [][]byte{
			"TC": func(q query) [][]byte {
				r := to(q)
				r.Truncated = true
				return r.send()
			},
			"oversize": func(q query) [][]byte {
				r := many(q)
				for len(r.bytes()) < 5000 && q.kind == dnsmessage.TypeA {
					r.ip(q.name, "10.9.9.9", 60)
				}
				return r.send()
			},
		} {
			s := newServer(t, func(q query) [][]byte {
				if !q.tcp {
					return udp(q)
				}
				return many(q).send()
			})
			r := newRig(t, o, dns.Options{Servers: servers(s)})
			got, err := r.addrs("x.test")
			if err != nil || len(got) != 200 {
				t.Errorf("%s: %d addresses, %v", what, len(got), err)
			}
			if st := r.r.Stats(r.m); st.TCP == 0 {
				t.Errorf("%s: %+v", what, st)
			}
			if n := r.m.Stats().Conns; n != 0 {
				t.Errorf("%d sockets are left", n)
			}
		}
		// By TCP, nonsense ends the try.
		for what, tcp := range map[string]func(q query) [][]byte{
			"another id": func(q query) [][]byte { q.id++; return to(q).ip(q.name, "192.0.2.66", 60).send() },
			"closes":     func(q query) [][]byte { return nil },
			"TC again":   func(q query) [][]byte { r := to(q); r.Truncated = true; return r.send() },
		} {
			s := newServer(t, func(q query) [][]byte {
				if q.tcp {
					return tcp(q)
				}
				r := to(q)
				r.Truncated = true
				return r.send()
			})
			r := newRig(t, o, dns.Options{Servers: servers(s)})
			if got, err := r.addrs("x.test"); !errors.Is(err, dns.ErrServer) {
				t.Errorf("%s: %v, %v", what, got, err)
			}
		}
	})
}

// RFC 6891 §7: a server from before EDNS0 answers FORMERR or NOTIMP.
func TestServerWithoutEDNS(t *testing.T) {
	for _, code := range []dnsmessage.RCode{dnsmessage.RCodeFormatError, dnsmessage.RCodeNotImplemented} {
		for _, header := range []bool{false, true} {
			s := newServer(t, func(q query) [][]byte {
				if q.edns == 0 {
					return zone(map[string][]string{"x.test.": {"192.0.2.1"}})(q)
				}
				r := to(q).code(code)
				if header {
					r.Questions = nil
				}
				return r.send()
			})
			r := newRig(t, mgr.Options{}, dns.Options{Servers: servers(s)})
			r.want("x.test", "192.0.2.1")
		}
	}
}

func TestCNAMEs(t *testing.T) {
	s := newServer(t, func(q query) [][]byte {
		if q.kind != dnsmessage.TypeA && q.name != "dangling.test." {
			return to(q).soa("test.", 60, 60).send()
		}
		r := to(q)
		switch q.name {
		case "a.test.":
			r.cname("a.test.", "B.test.", 60).cname("b.test.", "c.test.", 60).ip("c.test.", "192.0.2.1", 60).ip("c.test.", "192.0.2.2", 60)
		case "unordered.test.":
			r.ip("c.test.", "192.0.2.3", 60).cname("b.test.", "c.test.", 60).cname(q.name, "b.test.", 60)
		case "chase.test.":
			r.cname(q.name, "a.test.", 60)
		case "others.test.":
			r.ip("evil.test.", "192.0.2.66", 60).ip(q.name, "192.0.2.4", 60)
		case "forever.test.":
			r.cname(q.name, "forever2.test.", 60)
		case "forever2.test.":
			r.cname(q.name, "forever.test.", 60)
		case "self.test.":
			r.cname(q.name, q.name, 60)
		case "dangling.test.":
			r.cname(q.name, "gone.test.", 60).code(dnsmessage.RCodeNameError).soa("test.", 60, 60)
		}
		return r.send()
	})
	r := newRig(t, mgr.Options{}, dns.Options{Servers: servers(s)})
	r.want("a.test", "192.0.2.1", "192.0.2.2")
	r.want("unordered.test", "192.0.2.3")
	r.want("chase.test", "192.0.2.1", "192.0.2.2")
	r.want("others.test", "192.0.2.4")
	r.wantError("forever.test", dns.ErrServer)
	r.wantError("self.test", dns.ErrServer)
	r.wantError("dangling.test", dns.ErrNoName)
}

func TestShutdownEndsQuestions(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		s := newServer(t, func(q query) [][]byte { return nil })
		r := newRig(t, o, dns.Options{Servers: servers(s)})
		var got error
		r.r.Addrs(r.m, "x.test", func(_ []netip.Addr, err error) { got = err })
		r.until(func() bool { return len(s.queries()) == 2 })
		if err := r.m.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(got, dns.ErrShutdown) {
			t.Errorf("%v", got)
		}
	})
}

// A connection to a name, from the question to the echo.
func TestConnect(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		s := newServer(t, zone(map[string][]string{"echo.test.": {"127.0.0.9", "127.0.0.1"}}))
		r := newRig(t, o, dns.Options{Servers: servers(s)})
		l, err := r.m.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok {
				c.Write(c.Recv.Bytes())
				c.Recv.Discard(c.Recv.Len())
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time from the cache
			var got string
			c, err := r.m.Connect(fmt.Sprintf("tcp://echo.test:%d", l.LocalAddr().Port()), func(c *conn.Conn, ev conn.Event) {
				if _, ok := ev.(*conn.Read); ok {
					got = string(c.Recv.Bytes())
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			c.WriteString("hello")
			r.until(func() bool { return got == "hello" })
			if a := c.RemoteAddr().Addr().String(); a != "127.0.0.1" {
				t.Errorf("connected to %s", a)
			}
			c.Close()
		}
		failed := ""
		r.m.Connect("tcp://nowhere.test:1", func(c *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Error); ok {
				failed = ev.Reason.String() + "; " + ev.Err.Error()
			}
		})
		r.until(func() bool { return failed != "" })
		if want := "name not resolved; conn: name not resolved: nowhere.test: dns: nowhere.test: no such name (" + s.addr.String() + ")"; failed != want {
			t.Errorf("%q, want %q", failed, want)
		}
	})
}

// Addresses that there is no way to come last, also if their answer is the first.
func TestAddressesAreInOrder(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		late := make(chan bool)
		table := zone(map[string][]string{"both.test.": {"2001:db8::1", "192.0.2.1"}, "late.test.": {"2001:db8::1", "192.0.2.1"}})
		s := newServer(t, func(q query) [][]byte { return table(q) })
		slow := newServer(t, func(q query) [][]byte {
			if q.kind == dnsmessage.TypeA {
				<-late
			}
			return table(q)
		})
		routes := func(to netip.Addr) (netip.Addr, error) {
			if to.Is6() {
				return netip.Addr{}, nil
			}
			return to, nil
		}
		r := newRig(t, o, dns.Options{Servers: servers(s)}.WithSource(routes))
		r.want("both.test", "192.0.2.1", "2001:db8::1")
		r.want("both.test", "192.0.2.1", "2001:db8::1")
		if n := r.m.Stats().Conns; n != 0 {
			t.Errorf("%d sockets are left", n)
		}

		r = newRig(t, o, dns.Options{Servers: servers(slow)}.WithSource(routes))
		first := ""
		r.r.Resolve(r.m, "late.test", func(x mgr.Resolved) {
			if first == "" {
				first = fmt.Sprint(x.Addrs, x.More)
				close(late)
			}
		})
		r.want("late.test", "192.0.2.1", "2001:db8::1")
		if first != "[2001:db8::1] true" {
			t.Errorf("first %s", first)
		}
	})
}
