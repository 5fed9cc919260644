// Package broker is an MQTT broker (versions 3.1.1 and 5.0) in the program:
// github.com/mochi-mqtt/server with a small interface around it, so that another one can take its
// place.
//
// # What it does not keep
//
// Everything is in memory: sessions, retained messages and those that wait are gone when the
// program ends.
//
// A client may have 8,192 messages of QoS 1 and 2 that it has not acknowledged, also while it is
// away. Later ones are dropped for that client, and so are messages of any QoS while 8,192 packets
// wait for a connection that does not take them. Their publisher gets its acknowledgement all the
// same. Stats counts them. The Receive Maximum of a client is not heeded.
//
// Messages that a client has not acknowledged when its connection breaks are sent again when it
// comes back, for a day, in the order of the seconds in which they came: those of one second in any
// order.
//
// Where messages must survive a hub that cannot take them for long, such as one whose engine is
// down, or where their order matters over a break, use Mosquitto.
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Options are the settings of a Broker.
type Options struct {
	// Listen is the address, such as "127.0.0.1:1883"; "" listens nowhere: only Dial gets in.
	Listen string

	// Users are names and passwords, also for Dial; nil lets in every client that reaches the
	// address.
	Users map[string]string

	// MaxMessage bounds packets, in bytes; 1 MiB when 0.
	MaxMessage uint32

	// Log gets what the broker says; nothing when nil.
	Log *slog.Logger
}

// A Broker is a broker that runs. Its retained messages and the sessions of its clients are gone
// when it ends.
type Broker struct {
	server *mochi.Server
	addr   string
	pipes  sync.WaitGroup // those of Dial

	mu     sync.Mutex
	closed bool
}

// Start begins to serve.
func Start(o Options) (*Broker, error) {
	if o.MaxMessage == 0 {
		o.MaxMessage = 1 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumPacketSize = o.MaxMessage
	b := &Broker{server: mochi.New(&mochi.Options{Capabilities: capabilities, Logger: o.Log})}
	err := b.server.AddHook(&bound{most: o.MaxMessage}, nil)
	if err == nil {
		err = b.server.AddHook(new(unlimited), nil)
	}
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	if o.Users == nil {
		err = b.server.AddHook(&auth.AllowHook{}, nil)
	} else {
		ledger := &auth.Ledger{Users: auth.Users{}}
		for name, password := range o.Users {
			ledger.Users[name] = auth.UserRule{Username: auth.RString(name), Password: auth.RString(password)}
		}
		err = b.server.AddHook(&auth.Hook{}, &auth.Options{Ledger: ledger})
	}
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	if o.Listen != "" {
		l := listeners.NewTCP(listeners.Config{ID: "tcp", Address: o.Listen})
		if err := b.server.AddListener(l); err != nil {
			return nil, fmt.Errorf("broker: %w", err)
		}
		b.addr = l.Address()
	}
	if err := b.server.Serve(); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	return b, nil
}

// unlimited sends clients all their messages, whatever their Receive Maximum is. With such a limit
// mochi (version 2.7.9) looks, at each packet, for a message that waits, in Inflight.NextImmediate.
// NextImmediate locks an RWMutex for reading twice, and hangs for ever if another goroutine wants
// it for writing in between.
type unlimited struct{ mochi.HookBase }

func (*unlimited) ID() string { return "unlimited" }

func (*unlimited) Provides(b byte) bool { return b == mochi.OnSessionEstablished }

func (*unlimited) OnSessionEstablished(c *mochi.Client, _ packets.Packet) {
	c.State.Inflight.ResetSendQuota(0)
}

// Stats are figures of a Broker.
type Stats struct {
	Clients int    // connected now, those of Dial among them
	Dropped uint64 // messages that a client did not get, because too many waited for it; each client counts
}

// Stats returns the figures. Safe for concurrent use.
func (b *Broker) Stats() Stats {
	i := b.server.Info
	return Stats{
		Clients: int(atomic.LoadInt64(&i.ClientsConnected)),
		Dropped: uint64(atomic.LoadInt64(&i.MessagesDropped) + atomic.LoadInt64(&i.InflightDropped)),
	}
}

// Addr returns the address that the broker listens on.
func (b *Broker) Addr() string { return b.addr }

// pipe is what mochi calls the connections of Dial.
const pipe = "pipe"

// Dial connects by a pair of sockets without an address: it is for mqtt.Options.Dial. After Close
// it fails.
func (b *Broker) Dial(context.Context) (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errClosed
	}
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	b.pipes.Go(func() { b.server.EstablishConnection(pipe, theirs) }) // with an error when the connection ends
	return ours, nil
}

// pair returns two ends with room between them. With a net.Pipe, which has none, the broker and
// paho wait for each other while both write.
func pair() (a, b net.Conn, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("broker: %w", os.NewSyscallError("socketpair", err))
	}
	f, g := os.NewFile(uintptr(fds[0]), pipe), os.NewFile(uintptr(fds[1]), pipe)
	defer f.Close() // net has copies
	defer g.Close()
	if a, err = net.FileConn(f); err != nil {
		return nil, nil, fmt.Errorf("broker: %w", err)
	}
	if b, err = net.FileConn(g); err != nil {
		a.Close()
		return nil, nil, fmt.Errorf("broker: %w", err)
	}
	return a, b, nil
}

var errClosed = errors.New("broker: the broker is closed")

// grace is how long Close waits for clients.
const grace = time.Second

// Close ends the broker and all connections: those of Dial first, then the others, after their
// clients have acknowledged what they were sent with QoS 1, or after a second.
func (b *Broker) Close() error {
	b.mu.Lock()
	again := b.closed
	b.closed = true
	b.mu.Unlock()
	if again {
		return nil
	}
	for _, c := range b.server.Clients.GetByListener(pipe) {
		c.Stop(packets.ErrServerShuttingDown) // without a DISCONNECT, for which a pipe would wait
	}
	b.pipes.Wait() // what they have published is in the queues of the others
	for began := time.Now(); b.owed() && time.Since(began) < grace; {
		time.Sleep(time.Millisecond) // mochi does not tell when a message is acknowledged
	}
	for _, c := range b.server.Clients.GetAll() {
		if c.Net.Conn != nil {
			c.Net.Conn.SetWriteDeadline(time.Now().Add(grace)) // mochi waits for those that do not read
		}
	}
	return b.server.Close()
}

// owed reports whether a connected client has something to acknowledge.
func (b *Broker) owed() bool {
	for _, c := range b.server.Clients.GetAll() {
		if !c.Closed() && c.State.Inflight.Len() > 0 {
			return true
		}
	}
	return false
}

// bound tells clients how large a packet may be (MQTT 5.0 §3.2.2.3.6), which the server keeps to
// itself: a client would send a larger one, be disconnected, and send it again.
type bound struct {
	mochi.HookBase
	most uint32
}

// ID implements mochi.Hook.
func (*bound) ID() string { return "bound" }

// Provides implements mochi.Hook.
func (*bound) Provides(b byte) bool { return b == mochi.OnPacketEncode }

// OnPacketEncode implements mochi.Hook.
func (h *bound) OnPacketEncode(_ *mochi.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type == packets.Connack {
		pk.Properties.MaximumPacketSize = h.most
	}
	return pk
}
