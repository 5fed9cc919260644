package nats

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// embed starts a server in this program. It does not wait for the others of its cluster.
func (e *Engine) embed() error {
	if e.mayLose() {
		failed, err := e.powerFailed()
		if err == nil && failed {
			err = e.renewAlone()
		}
		if err != nil {
			return fmt.Errorf("nats: %s: %w", e.opts.Dir, err)
		}
	}
	return e.startServer()
}

func (e *Engine) startServer() error {
	o, err := e.serverOptions()
	if err != nil {
		return err
	}
	if e.opts.Server != nil {
		e.opts.Server(o)
	}
	if e.server, err = server.NewServer(o); err != nil {
		return fmt.Errorf("nats: the embedded server: %w", err)
	}
	e.server.SetLoggerV2(serverLog{e.opts.Log}, false, false, false)
	e.server.Start()
	if !e.server.ReadyForConnections(startTimeout) {
		return fmt.Errorf("nats: the embedded server did not start in %v: is the address of Listen or Cluster taken?", startTimeout)
	}
	return nil
}

func (e *Engine) serverOptions() (*server.Options, error) {
	o := &server.Options{
		DontListen:         e.opts.Listen == "",
		NoSigs:             true,
		JetStream:          true,
		JetStreamMaxMemory: -1,
		JetStreamMaxStore:  -1,
		StoreDir:           e.opts.Dir,
		MaxPayload:         int32(e.opts.MaxMessage + headerRoom),
		MaxPending:         max(server.MAX_PENDING_SIZE, 8*int64(e.opts.MaxMessage)),
		PingInterval:       pingInterval,
		MaxPingsOut:        maxPings,
		SyncAlways:         e.opts.Sync < 0,
	}
	if e.opts.Sync > 0 {
		o.SyncInterval = e.opts.Sync
	}
	if !e.opts.Files {
		o.JetStreamMaxMemory = 2*e.opts.MaxBytes + 16<<20
	}
	if o.StoreDir == "" { // for what the server notes of itself; messages are in memory
		dir, err := os.MkdirTemp("", "mangusta-nats-")
		if err != nil {
			return nil, err
		}
		e.temporary, o.StoreDir = dir, dir
	}
	if e.opts.Cluster.Self != "" && e.opts.Listen == "" {
		// The server does not join others without a port for clients. This one refuses all clients.
		o.DontListen, o.Host, o.Port = false, "127.0.0.1", server.RANDOM_PORT
		if e.token == "" {
			e.token = rand.Text()
		}
	}
	o.Authorization = e.token
	if e.opts.Listen != "" {
		var err error
		if o.Host, o.Port, err = splitAddress(e.opts.Listen); err != nil {
			return nil, err
		}
	}
	if e.opts.Cluster.Self != "" {
		if err := e.joinCluster(o); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// joinCluster sets the servers that o connects to. A server is known to the others by its name, so
// that must be the same when it comes back.
func (e *Engine) joinCluster(o *server.Options) error {
	self := e.opts.Cluster.Self
	host, port, err := splitAddress(self)
	if err != nil {
		return err
	}
	o.ServerName = strings.NewReplacer(" ", "_", ".", "_", ":", "_").Replace("mangusta-" + self)
	o.Cluster = server.ClusterOpts{Name: e.opts.Name, Host: host, Port: port, PoolSize: -1, NoAdvertise: true}
	var user *url.Userinfo
	if secret := e.opts.Secret; secret != "" {
		o.Cluster.Username, o.Cluster.Password = "mangusta", secret
		user = url.UserPassword("mangusta", secret)
	}
	for _, peer := range e.opts.Cluster.Peers {
		if peer != self {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: peer, User: user})
		}
	}
	return nil
}

// splitAddress takes HOST:PORT apart. The port 0 is one that the system chooses.
func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("nats: %q is no HOST:PORT: %w", address, err)
	}
	if port, err = strconv.Atoi(text); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("nats: %q has no port", address)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// serverLog passes on the server's warnings. Its notices and traces are dropped.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Noticef(string, ...any)    {}
func (l serverLog) Debugf(string, ...any)     {}
func (l serverLog) Tracef(string, ...any)     {}
func (l serverLog) Warnf(f string, a ...any)  { l.log.Warn("nats-server: " + fmt.Sprintf(f, a...)) }
func (l serverLog) Errorf(f string, a ...any) { l.log.Error("nats-server: " + fmt.Sprintf(f, a...)) }
func (l serverLog) Fatalf(f string, a ...any) { l.log.Error("nats-server: " + fmt.Sprintf(f, a...)) }
