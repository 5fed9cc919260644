package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
)

// Options are the settings of a Bridge.
type Options struct {
	// URL is the broker's: mqtt://HOST:PORT or mqtts://HOST:PORT, with USER:PASSWORD@ if the broker
	// asks for them.
	URL string

	// Dial, unless nil, makes the connections: broker.Broker has one. URL may be "" then; only its
	// user is used.
	Dial func(ctx context.Context) (net.Conn, error)

	// TLS is used for mqtts://; nil is the default of crypto/tls.
	TLS *tls.Config

	// Client is the MQTT client identifier, by which the broker finds the session after a restart.
	// It should stay the same, and be no other client's. "mangusta" when "".
	Client string

	// Session is how long the broker keeps messages while the bridge is away; a day when 0,
	// negative is not at all.
	Session time.Duration

	// In are the rules for messages from the broker, and Out for messages to it. If several rules
	// match a message, the first one counts.
	In  []In
	Out []Out

	// Status, unless "", is a topic of the broker with the retained text "online" while the bridge
	// is connected, and "offline" after that, which the broker publishes itself if the bridge is
	// cut.
	Status string

	// Changed, if not nil, is told when the bridge has connected and subscribed, and when it is cut
	// off again: for a page that shows it. It must not wait, and not call the Bridge.
	Changed func(connected bool)

	// ReceiveMaximum bounds the QoS 1 messages that came and are not acknowledged; 1,000 when 0.
	ReceiveMaximum uint16

	// Queue and QueueBytes bound the messages that wait for the broker; 10,000 and 16 MiB when 0.
	Queue      int
	QueueBytes int

	// Log gets what went wrong; slog.Default when nil.
	Log *slog.Logger
}

// In is a rule for messages from the broker.
type In struct {
	Filter string
	QoS    byte // 0 or 1

	// From and To change topics: a topic that begins with From begins with To instead. One that
	// does not is left as it is.
	From, To string
}

// Out is a rule for messages to the broker.
type Out struct {
	Pattern  string
	QoS      byte // 0 or 1
	Retain   bool
	From, To string // as in In
}

// Stats are the figures of a Bridge since New.
type Stats struct {
	Connected bool   // and subscribed
	Connects  uint64 // connections made

	In      uint64 // messages that the hub has taken
	Refused uint64 // messages that the hub cannot take: their topics
	Looped  uint64 // messages of this bridge that came back, and were dropped
	NoRoom  uint64 // messages of QoS 0 that came too fast
	Retries uint64 // times that the hub was full, or its engine down
	Out     uint64 // messages that the broker has acknowledged, or taken with QoS 0
	Lost    uint64 // messages to the broker over the limit, or that it refused
	Waiting int    // messages to the broker
	Resent  uint64 // messages to the broker that were sent again
}

func (o *Options) fill() error {
	if o.Client == "" {
		o.Client = "mangusta"
	}
	if o.ReceiveMaximum == 0 {
		o.ReceiveMaximum = 1000
	}
	if o.Queue == 0 {
		o.Queue = 10_000
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = 16 << 20
	}
	if o.Session == 0 {
		o.Session = 24 * time.Hour
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Dial == nil {
		u, err := url.Parse(o.URL)
		if err != nil || u.Host == "" || u.Scheme != "mqtt" && u.Scheme != "mqtts" {
			return fmt.Errorf("mqtt: the URL %q is not mqtt://HOST:PORT or mqtts://HOST:PORT", o.URL)
		}
	}
	for _, r := range o.In {
		if !broadcast.ValidPattern(r.Filter) || r.QoS > 1 {
			return fmt.Errorf("mqtt: the rule for %q is malformed", r.Filter)
		}
	}
	for _, r := range o.Out {
		if !broadcast.ValidPattern(r.Pattern) || r.QoS > 1 {
			return fmt.Errorf("mqtt: the rule for %q is malformed", r.Pattern)
		}
	}
	if len(o.In)+len(o.Out) == 0 {
		return errors.New("mqtt: there are no rules")
	}
	return nil
}

// match reports whether a rule is for topic. Wildcards do not match topics that begin with "$"
// (MQTT
// 5.0 §4.7.2).
func match(pattern, topic string) bool {
	return (topic[0] != '$' || pattern[0] == '$') && broadcast.Match(pattern, topic)
}

func rename(topic, from, to string) string {
	if rest, ok := strings.CutPrefix(topic, from); ok {
		return to + rest
	}
	return topic
}
