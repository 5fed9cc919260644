package redis

import (
	"context"
	"net"
	"sync"

	"github.com/valkey-io/valkey-go"
)

// links are the connections of a session. The client's own Close waits up to a second for an
// answer; closing these ends a read that waits for messages at once.
type links struct {
	mu     sync.Mutex
	conns  []net.Conn
	closed bool
}

func (l *links) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, c := range l.conns {
		c.Close()
	}
}

func (l *links) add(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, c)
	if l.closed {
		c.Close()
	}
}

// watch has what o dials added to l. Connections with TLS the client makes itself; they take the
// second.
func (l *links) watch(o *valkey.ClientOption) {
	if o.TLSConfig == nil {
		o.DialCtxFn = watched(l, o.DialCtxFn)
	}
}

type dialer[T any] = func(context.Context, string, *net.Dialer, T) (net.Conn, error)

// watched returns dial with its connections added to l. T stands for *tls.Config, which this
// package does not name.
func watched[T any](l *links, dial dialer[T]) dialer[T] {
	return func(ctx context.Context, address string, d *net.Dialer, config T) (c net.Conn, err error) {
		if dial != nil {
			c, err = dial(ctx, address, d, config)
		} else {
			c, err = d.DialContext(ctx, "tcp", address)
		}
		if err == nil {
			l.add(c)
		}
		return c, err
	}
}
