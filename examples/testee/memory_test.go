package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// open opens n WebSockets, which end with the test.
func open(t *testing.T, addr, offer string, n int) []*side {
	t.Helper()
	list := make([]*side, n)
	for i := range list {
		s, answer, err := dialSide(addr, offer)
		if err == nil && (offer == "") != (answer == "") {
			err = errors.New("answered " + answer)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.SetDeadline(time.Now().Add(60 * time.Second))
		t.Cleanup(func() { s.Close() })
		list[i] = s
	}
	return list
}

// grown fails the test when the program has grown by more than limit bytes.
func grown(t *testing.T, p *programtest.Program, before, limit int) {
	t.Helper()
	if n := p.RSS() - before; n > limit {
		t.Errorf("the program grew by %d bytes", n)
	}
}

// A hundred clients announce 1 GiB each and send one byte of it. Where that is too much, each is
// told so.
func TestAnnouncedGigabytes(t *testing.T) {
	announce := []byte{0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4, 'x'}
	for _, tc := range []struct {
		limit string
		code  int
	}{{"2147483647", 0}, {"67108864", 1009}} {
		for _, poller := range []string{"epoll", "select"} {
			t.Run(tc.limit+" "+poller, func(t *testing.T) {
				p := programtest.Start(t, "-listen", "127.0.0.1:0", "-poller", poller, "-max-message", tc.limit)
				list := open(t, p.Addr, "", 100)
				before := p.RSS()
				for _, s := range list {
					s.Write(announce)
				}
				if tc.code != 0 {
					for _, s := range list {
						if err := s.run(suiteCase{code: tc.code, fails: true}); err != nil {
							t.Error(err)
						}
					}
				}
				last := open(t, p.Addr, "", 1)[0] // when it is served, so are those before
				if err := last.run(suiteCase{send: []frame{{ping, "p"}}, want: []frame{{pong, "p"}}, code: 1000}); err != nil {
					t.Error(err)
				}
				grown(t, p, before, 4<<20)
			})
		}
	}
}

// A message of 256 MiB in 256 KiB, where 1 MiB is allowed.
func TestDeflateBomb(t *testing.T) {
	size := 256 << 20
	if !exhaustive.On() {
		size = 32 << 20
	}
	z := newCodec("", false)
	bomb := frame{bin | deflated, z.deflate(strings.Repeat("\x00", size))}
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) {
			p := programtest.Start(t, "-listen", "127.0.0.1:0", "-poller", poller, "-max-message", "1048576", "-takeover")
			before := p.RSS()
			for _, frames := range [][]frame{{bomb}, pieces(bomb.first, bomb.payload, 1000)} {
				for _, s := range open(t, p.Addr, "permessage-deflate", 10) {
					if err := s.run(suiteCase{send: frames, code: 1009, fails: true}); err != nil {
						t.Error(err)
					}
				}
			}
			// 12 MiB as a rule; 17 were seen on a busy machine, where the collector comes late.
			grown(t, p, before, 24<<20)
		})
	}
}

// Eight clients send pings and do not read the pongs: the program stops to read them, and forgets
// no pong.
func TestPingFlood(t *testing.T) {
	t.Parallel()
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) {
			p := programtest.Start(t, "-listen", "127.0.0.1:0", "-poller", poller, "-max-message", "1000", "-max-body", "1000")
			before := p.RSS()
			sides := open(t, p.Addr, "", 8)
			conns := make([]net.Conn, len(sides))
			for i, s := range sides {
				conns[i] = s
			}
			payload := strings.Repeat("p", 125)
			one := string(sides[0].wire(nil, frame{ping, payload}))
			sent := flood(t, conns, one, 1<<30)
			grown(t, p, before, 16<<20)
			each(t, len(sides), func(i int) error {
				if sent[i] >= 1<<30 {
					return fmt.Errorf("it reads on after %d bytes of pings", sent[i])
				}
				for range sent[i] / len(one) {
					if got, err := sides[i].read(); err != nil || got != (frame{pong, payload}) {
						return fmt.Errorf("%#x, %v instead of a pong", got.first, err)
					}
				}
				return nil
			})
		})
	}
}

// Ten thousand idle WebSockets that have agreed on compression without takeover, and have used it.
func TestMemoryOfIdleWebSockets(t *testing.T) {
	n := 10_000
	var limit syscall.Rlimit
	syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	if !exhaustive.On() || limit.Cur < uint64(n+1000) {
		t.Skip("takes 10,000 descriptors and some seconds")
	}
	p := programtest.Start(t, "-listen", "127.0.0.1:0", "-poller", "epoll")
	z := newCodec("; server_no_context_takeover; client_no_context_takeover", false)
	message := frame{text | deflated, z.deflate(strings.Repeat("used once, ", 100))}
	use := func(list []*side) {
		for _, s := range list {
			s.Write(s.wire(nil, message))
			if got, err := s.read(); err != nil || got.first != message.first {
				t.Fatalf("%#x, %v", got.first, err)
			}
			s.r = nil // 64 KiB
		}
	}
	use(open(t, p.Addr, "permessage-deflate", 100))
	before := p.RSS()
	for range 100 {
		use(open(t, p.Addr, "permessage-deflate", n/100))
	}
	each := float64(p.RSS()-before) / float64(n)
	if t.Logf("%.0f bytes each", each); each > 700 {
		t.Error("more than 700 bytes each")
	}
}
