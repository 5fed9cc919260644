package nats

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"

	"github.com/seed4930a636/mangusta/broadcast"
)

// Options are the settings of an Engine. The zero value works: a server in the program, which keeps
// the messages in memory and has no listener.
type Options struct {
	// Name is that of the log: nodes with the same one share topics. "mangusta" when empty. It may
	// have letters, digits and "_" in it.
	Name string

	// History and Retain are what the nodes' hubs have. The stream keeps Count messages of each
	// topic, or the last one with Retain, and never fewer than Backlog.
	History broadcast.History
	Retain  bool

	// Backlog is how many messages of each topic the stream keeps for nodes that lag or reconnect;
	// 256 when 0. A node that lags more is told how many it has missed, and so are its subscribers.
	Backlog int

	// MaxBytes bounds the stream: 64 MiB in memory, 1 GiB in files, when 0. The oldest messages
	// make room, those that Retain keeps too. It is reserved: a server makes no stream of more than
	// three quarters of the disk space that was free when it started, and the engine is down then.
	MaxBytes int64

	// MaxMessage bounds one message in bytes; 1 MiB when 0. A server elsewhere has a bound of its
	// own too.
	MaxMessage int

	// URLs are those of a server, or of the servers of a cluster, that stand elsewhere. Nothing is
	// embedded then, and what belongs to an embedded server must be empty.
	URLs []string

	// Listen is the address, as "10.0.0.1:4222", at which the embedded server takes other nodes as
	// its clients. Empty: none.
	Listen string

	// Cluster joins the embedded servers of several nodes.
	Cluster Cluster

	// Secret is the password between nodes. An address that is not of this machine alone needs one.
	// It is sent in the clear, unless Server and Client ask for TLS.
	Secret string

	// Dir is the directory of the embedded server. With it the stream is in files, and is there
	// again when the program restarts. For a server elsewhere, set Files. Two programs must not
	// share one Dir.
	Dir   string
	Files bool

	// Sync says how often files are flushed to the disk. 0: every two minutes; negative: before
	// each message is acknowledged. If the machine loses its power, the messages since then are
	// lost. If the program alone dies, none are.
	Sync time.Duration

	// Replicas is how many servers of a cluster have the stream: 1 or 3; 1 when 0.
	Replicas int

	// InFlight and InFlightBytes bound the messages that are published and not yet acknowledged;
	// 8,192 and 32 MiB when 0. Beyond them Publish returns broadcast.ErrFull.
	InFlight      int
	InFlightBytes int

	// Window is how long the stream remembers Entry.ID, so that a message that is published again
	// is not stored again; 2 minutes when 0. The server holds some 100 bytes for each message of
	// that time.
	Window time.Duration

	// Timeout is how long a message may wait for its acknowledgement; 5 s when 0.
	Timeout time.Duration

	// Server and Client, when not nil, may change the settings of the embedded server and of the
	// connection to whichever server, for TLS and accounts.
	Server func(*server.Options)
	Client func(*client.Options)

	// Log gets what the embedded server warns of, and what the engine does to the stream. Nil:
	// slog.Default.
	Log *slog.Logger
}

// A Cluster is a set of embedded servers, which choose a leader among them. It needs three at
// least: with two, neither can tell whether the other is dead or cut off.
type Cluster struct {
	// Self is this node's address, as "10.0.0.1:6222", at which it listens for the other servers.
	Self string
	// Peers are the addresses of all nodes, this one's too.
	Peers []string
}

// peers returns how many servers there are, or 0 without a cluster.
func (c Cluster) peers() int { return len(c.Peers) }

// withDefaults checks o, and fills in what is not said.
func (o Options) withDefaults() (Options, error) {
	if o.Name == "" {
		o.Name = "mangusta"
	}
	setDefault(&o.Backlog, 256)
	setDefault(&o.MaxMessage, 1<<20)
	setDefault(&o.InFlight, 8192)
	setDefault(&o.InFlightBytes, 32<<20)
	setDefault(&o.Replicas, 1)
	setDefault(&o.Timeout, 5*time.Second)
	setDefault(&o.Window, 2*time.Minute)
	o.Files = o.Files || o.Dir != ""
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 20
		if o.Files {
			o.MaxBytes = 1 << 30
		}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o, o.check()
}

func setDefault[T int | time.Duration](n *T, d T) {
	if *n == 0 {
		*n = d
	}
}

func (o *Options) check() error {
	switch {
	case strings.Trim(o.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "":
		return fmt.Errorf("nats: the name %q has more in it than letters, digits and _", o.Name)
	case o.Replicas != 1 && o.Replicas != 3:
		return fmt.Errorf("nats: %d replicas: it can be 1 or 3", o.Replicas)
	case o.MaxMessage < 0 || o.MaxMessage > 64<<20:
		return fmt.Errorf("nats: messages of %d bytes: up to 64 MiB can be", o.MaxMessage)
	case len(o.URLs) > 0 && (o.Listen != "" || o.Dir != "" || o.Cluster.Self != "" || o.Cluster.peers() > 0 || o.Server != nil):
		return errors.New("nats: URLs are of a server elsewhere: Listen, Dir, Cluster and Server belong to an embedded one")
	case len(o.URLs) > 0:
		return nil
	}
	return o.checkEmbedded()
}

func (o *Options) checkEmbedded() error {
	n := o.Cluster.peers()
	switch {
	case (n > 0) != (o.Cluster.Self != ""):
		return errors.New("nats: a cluster has both Self and Peers")
	case n > 0 && !slices.Contains(o.Cluster.Peers, o.Cluster.Self):
		return fmt.Errorf("nats: Peers are all nodes, but %s, this one, is not among them", o.Cluster.Self)
	case n == 2:
		return errors.New("nats: two peers have no quorum: if one dies, the other cannot know that it is not merely cut off, and stores nothing; take one, to which the other node connects, or three")
	case n == 1:
		return errors.New("nats: a cluster of one: leave Cluster out")
	case o.Replicas > 1 && n < o.Replicas:
		return fmt.Errorf("nats: %d replicas need a cluster of as many servers, not of %d", o.Replicas, max(n, 1))
	}
	if peers := slices.Sorted(slices.Values(o.Cluster.Peers)); len(slices.Compact(peers)) != n {
		return errors.New("nats: a peer is named twice")
	}
	for _, address := range append([]string{o.Listen}, o.Cluster.Peers...) {
		if err := o.checkAddress(address); err != nil {
			return err
		}
	}
	return nil
}

// checkAddress refuses an address that others reach, if there is no secret.
func (o *Options) checkAddress(address string) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("nats: %q is no HOST:PORT: %w", address, err)
	}
	ip, err := netip.ParseAddr(host)
	if local := host == "localhost" || err == nil && ip.IsLoopback(); !local && o.Secret == "" && o.Server == nil {
		return fmt.Errorf("nats: other machines reach %s: set a Secret, or everybody there may publish", address)
	}
	return nil
}
