package tlsconn

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// clock gives s a clock that stands still.
func clock(s *Server) *time.Time {
	now := time.Unix(1_000_000, 0)
	s.rates.now = func() time.Time { return now }
	return &now
}

// An attempt is a handshake of a client with this address, later than the one before it.
type attempt struct {
	later time.Duration
	from  string
	want  error
}

func TestRates(t *testing.T) {
	const a, b = "192.0.2.1", "192.0.2.2"
	proxies := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/31"), netip.MustParsePrefix("fe80::/64")}
	for _, tt := range []struct {
		name     string
		limits   Limits
		attempts []attempt
		busy     uint64
		crowded  uint64
	}{
		{"no bound", Limits{}, []attempt{{0, a, nil}, {0, a, nil}, {0, a, nil}}, 0, 0},
		{"negative", Limits{Rate: -1, RatePerAddr: -1}, []attempt{{0, a, nil}, {0, a, nil}}, 0, 0},
		{"all", Limits{Rate: 2}, []attempt{{0, a, nil}, {0, b, nil}, {0, a, ErrBusy}, {0, b, ErrBusy}, {time.Second, a, nil}}, 2, 0},
		{"one address", Limits{RatePerAddr: 2},
			[]attempt{{0, a, nil}, {0, a, nil}, {0, a, errCrowded}, {0, b, nil}, {time.Second / 2, a, errCrowded}, {time.Second / 2, a, nil}}, 2, 2},
		{"one address takes nothing of the others' rate", Limits{RatePerAddr: 1, Rate: 2},
			[]attempt{{0, a, nil}, {0, a, errCrowded}, {0, a, errCrowded}, {0, b, nil}, {0, "192.0.2.3", ErrBusy}}, 3, 2},
		{"a /64 of IPv6", Limits{RatePerAddr: 1}, []attempt{{0, "2001:db8::1", nil}, {0, "2001:db8::2", errCrowded}, {0, "2001:db8:0:1::1", nil}}, 1, 1},
		{"link-local addresses", Limits{RatePerAddr: 1},
			[]attempt{{0, "fe80::1%1", nil}, {0, "fe80::2%1", nil}, {0, "fe80::1%1", errCrowded}}, 1, 1},
		{"IPv4 in IPv6", Limits{RatePerAddr: 1}, []attempt{{0, a, nil}, {0, "::ffff:" + b, nil}, {0, "::ffff:" + a, errCrowded}}, 1, 1},
		{"proxies", Limits{RatePerAddr: 1, Trusted: proxies},
			[]attempt{{0, a, nil}, {0, a, nil}, {0, "fe80::1%1", nil}, {0, "fe80::1%1", nil}, {0, b, nil}, {0, b, errCrowded}}, 1, 1},
		{"a unix socket", Limits{RatePerAddr: 1}, []attempt{{0, "", nil}, {0, "", nil}}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, func(c *Config) { c.Limits = tt.limits })
			now := clock(s)
			for i, try := range tt.attempts {
				*now = now.Add(try.later)
				var failed error
				r := newRig(t, s, func(_ *conn.Conn, ev conn.Event) {
					if e, ok := ev.(*conn.Error); ok {
						failed = e.Err
					}
				}, nil)
				r.Conn.Driver().SetRemote(conn.Peer{})
				if try.from != "" {
					r.Conn.Driver().SetRemote(conn.PeerOf(netip.AddrPortFrom(netip.MustParseAddr(try.from), 1)))
				}
				err := r.peer.Handshake()
				r.Turn()
				if try.want == nil {
					if err != nil {
						t.Fatalf("%d, from %s: %v", i, try.from, err)
					}
					continue
				}
				if err == nil || !strings.Contains(err.Error(), "internal error") {
					t.Errorf("%d, from %s: the client got %v, no alert", i, try.from, err)
				}
				r.Sleep(2 * time.Second)
				r.WantClosed(conn.TLSFailed)
				if !errors.Is(failed, try.want) || !errors.Is(failed, ErrBusy) {
					t.Errorf("%d, from %s: %v, want %v", i, try.from, failed, try.want)
				}
			}
			waitFor(t, func() bool { return s.Stats().InFlight == 0 })
			if st := s.Stats(); st.Busy != tt.busy || st.Crowded != tt.crowded || st.Failed != tt.busy {
				t.Errorf("busy %d, crowded %d, failed %d", st.Busy, st.Crowded, st.Failed)
			}
		})
	}
}

// A flood from more addresses than the table holds makes it no larger. The addresses in it stay
// bounded, and the table goes with its second.
func TestAddressesAreBounded(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Limits = Limits{RatePerAddr: 1, MaxHandshakes: -1} })
	now := clock(s)
	at := func(i uint32) netip.Addr {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24+i)))
	}
	for i := range uint32(2 * mostAddrs) {
		if _, err := s.admit(new(handshake), at(i)); err != nil {
			t.Fatalf("address %d: %v", i, err)
		}
	}
	if n := len(s.rates.of); n != mostAddrs {
		t.Errorf("%d addresses", n)
	}
	if _, err := s.admit(new(handshake), at(0)); err != errCrowded {
		t.Errorf("the first address: %v", err)
	}
	*now = now.Add(time.Second)
	if _, err := s.admit(new(handshake), at(0)); err != nil || len(s.rates.of) != 1 {
		t.Errorf("a second later: %v, %d addresses", err, len(s.rates.of))
	}
}
