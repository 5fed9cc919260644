package redis

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/valkey-io/valkey-go"
)

// Options are the settings of an Engine. The zero value works with a server at 127.0.0.1:6379.
type Options struct {
	// URL is that of the server: redis://, rediss:// for TLS, or unix:///PATH.
	// "redis://127.0.0.1:6379" when empty. A cluster of Redis is not supported: all messages are
	// one stream.
	URL string

	// Name is what the keys begin with: nodes with the same one share topics. "mangusta" when
	// empty. It may have letters, digits and "_" in it.
	Name string

	// Backlog is how many messages the stream keeps, of all topics together; 100,000 when 0. It may
	// have some more. New nodes get their history from them, and nodes that lag or reconnect get
	// the messages that they have missed. A node that lags more is told how many it has missed, and
	// so are its subscribers.
	Backlog int

	// Retain keeps the last message of each topic beside the stream, as broadcast.Options.Retain
	// does: of MaxTopics topics, 65,536 when 0. The topic with the oldest message makes room.
	Retain    bool
	MaxTopics int

	// Window is how long Entry.ID is remembered, so that a message that is published again is not
	// stored again; 2 minutes when 0. The server holds some 100 bytes for each message of that
	// time.
	Window time.Duration

	// MaxMessage bounds one message in bytes; 1 MiB when 0.
	MaxMessage int

	// InFlight and InFlightBytes bound the messages that are published and not yet acknowledged;
	// 8,192 and 32 MiB when 0. Beyond them Publish returns broadcast.ErrFull.
	InFlight      int
	InFlightBytes int

	// Timeout is how long the server may take to answer; 5 s when 0.
	Timeout time.Duration

	// Client, when not nil, may change the settings of the connection.
	Client func(*valkey.ClientOption)

	// Log gets what the engine does to the store. Nil: slog.Default.
	Log *slog.Logger
}

// withDefaults checks o, and fills in what is not said.
func (o Options) withDefaults() (Options, error) {
	if o.URL == "" {
		o.URL = "redis://127.0.0.1:6379"
	}
	if o.Name == "" {
		o.Name = "mangusta"
	}
	setDefault(&o.Backlog, 100_000)
	setDefault(&o.MaxTopics, 1<<16)
	setDefault(&o.Window, 2*time.Minute)
	setDefault(&o.MaxMessage, 1<<20)
	setDefault(&o.InFlight, 8192)
	setDefault(&o.InFlightBytes, 32<<20)
	setDefault(&o.Timeout, 5*time.Second)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	switch {
	case strings.Trim(o.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "":
		return o, fmt.Errorf("redis: the name %q has more in it than letters, digits and _", o.Name)
	case o.Backlog < 1 || o.MaxTopics < 1 || o.Window < time.Millisecond || o.Timeout < time.Millisecond:
		return o, fmt.Errorf("redis: Backlog, MaxTopics, Window and Timeout must be positive")
	}
	return o, nil
}

func setDefault[T int | time.Duration](n *T, d T) {
	if *n == 0 {
		*n = d
	}
}

// clientOption returns how the server is reached.
func (o *Options) clientOption() (valkey.ClientOption, error) {
	c, err := valkey.ParseURL(o.URL)
	if err != nil {
		return c, fmt.Errorf("redis: %q: %w", o.URL, err)
	}
	c.ForceSingleClient, c.DisableRetry, c.DisableCache = true, true, true
	c.ReadBufferEachConn, c.WriteBufferEachConn, c.RingScaleEachConn = 64<<10, 64<<10, 8
	c.ConnWriteTimeout, c.Dialer.Timeout = o.Timeout, o.Timeout
	c.ClientName = "mangusta"
	if o.Client != nil {
		o.Client(&c)
	}
	return c, nil
}
