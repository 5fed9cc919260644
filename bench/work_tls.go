package main

import (
	"crypto/tls"
	"fmt"
	"time"
)

// anothers is mangusta beside handshakes of another process: what they cost because they take
// processor time, wherever.
const anothers = "another process's handshakes"

// plainly is mangusta without TLS, beside those with it.
const plainly = "mangusta without TLS"

// tlsWorks are about TLS.
func tlsWorks() []work {
	with := func(s server, kind string) server {
		s.args = append(append([]string(nil), s.args...), "-tls-cert", "DIR/../"+kind+".pem", "-tls-key", "DIR/../"+kind+".key")
		return s
	}
	plain := testee
	plain.name = plainly
	perhaps := func(s server) *tls.Config {
		if s.name == plainly {
			return nil
		}
		return fullHandshake
	}
	hub, plainHub := with(peer("mangusta", "mangusta"), ecdsaName), peer(plainly, "mangusta")
	var fans []work
	for _, b := range []broadcast{{subs: 200, size: 64, inFlight: 4}, {subs: 200, size: 1 << 10, inFlight: 4}} {
		fans = append(fans, work{name: "tls-broadcast-" + size(b.size), pick: usually, servers: []server{plainHub, hub},
			title: fmt.Sprintf("broadcast of %d bytes to %d subscribers over TLS 1.3, %d in flight; each delivery", b.size, b.subs, b.inFlight),
			run: func(env bench, s server, length time.Duration) (result, error) {
				return under(fanning{b, perhaps(s)})(env, s, length)
			}})
	}
	return append(fans, []work{{name: "tls-handshakes", pick: usually,
		title:   "connections with one request, TLS 1.3, ECDSA P-256, X25519, full handshakes, one at a time",
		servers: []server{plain, with(testee, ecdsaName), with(peer("net/http", "nethttp"), ecdsaName), nginxTLS},
		run: func(b bench, s server, length time.Duration) (result, error) {
			return under(handshaking{perhaps(s)})(b, s, length)
		},
	}, {name: "tls-plain-64", pick: usually, needs: []tool{wrkTool},
		title:   "GET /plaintext over TLS 1.3 (AES-128-GCM, P-256), 64 keep-alive connections",
		servers: []server{plain, with(testee, ecdsaName), with(peer("net/http", "nethttp"), ecdsaName), nginxTLS},
		run: func(b bench, s server, length time.Duration) (result, error) {
			return under(wrk{conns: 64, path: "/plaintext", secure: s.name != plainly})(b, s, length)
		},
	}, {name: "tls-beside-handshakes", pick: usually, what: besideWork,
		title:   "GET /plaintext over TLS 500 times a second, idle and beside 200 RSA-2048 handshakes a second, 2 processors shared with the load",
		servers: []server{with(testee, rsaName), with(peer("mangusta, keys with nice 5", "mangusta", "-tls-nice", "5"), rsaName), with(peer("net/http", "nethttp"), rsaName), with(server{name: anothers, program: "testee", args: testee.args}, rsaName)},
		run: func(b bench, s server, length time.Duration) (result, error) {
			p, err := startOn(b.bin, s, []int{serverCPU, loadCPU})
			if err != nil {
				return result{}, err
			}
			defer p.stop()
			x := beside{every: 2 * time.Millisecond, burst: 4, bursts: 20 * time.Millisecond, busy: p}
			if s.name == anothers {
				if x.busy, err = startOn(b.bin, s, []int{serverCPU, loadCPU}); err != nil {
					return result{}, err
				}
				defer x.busy.stop()
			}
			return x.run(p, length)
		}}}...)
}
