package http

import (
	"math"
	"net/netip"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// Options are the settings of a Server. Zero fields mean the defaults.
type Options struct {
	MaxTarget  int   // bytes of a request target, else 414; default 8 KiB
	MaxHead    int   // bytes of a head, and of a trailer section, else 431; default 32 KiB
	MaxHeaders int   // fields of a request, trailers included, else 431; default 100
	MaxBody    int64 // bytes of a body, else 413; default 1 MiB. See SetMaxBody

	HeadTimeout   time.Duration // for a whole head, from its first byte, else 408; default 10 s
	BodyTimeout   time.Duration // without a byte of a body, else 408; default 10 s
	MinRate       int           // bytes per second of a body, over each BodyTimeout, else 408; default 250, negative is none
	IdleTimeout   time.Duration // between requests, then the connection closes; default 60 s
	AnswerTimeout time.Duration // for the handler to answer, else 503; default 120 s, negative is for ever

	// StrictTarget refuses with 400 what RFC 3986 keeps out of a target, though browsers send it unencoded: the bytes
	// [ ] | ^ anywhere, \ ` { } in a query, and there a percent sign without two hex digits behind it.
	StrictTarget bool
	// HTTPS says that the connections come over TLS, or from a proxy that has taken it off. Without it a target that
	// begins with https:// is refused with 421 (RFC 9110 7.4): who trusts in TLS must not be answered without.
	HTTPS bool

	MaxRequests int           // on one connection; 0 is no limit
	Server      string        // value of the Server field of replies; none when empty
	Heartbeat   time.Duration // a comment is sent after that long without a server-sent event; default 15 s, negative is none
	Compress    Compressor    // of replies, such as that of package http/gzip; nil is none

	// ErrorPage returns the Content-Type and the body of the replies of Error and of refused requests, instead of the
	// name of the status in plain text, which a nil body stands for. The body is copied.
	ErrorPage func(status int) (contentType string, body []byte)

	// ProxyFrom are the networks of proxies that begin each connection with a PROXY protocol header, version 1 or 2,
	// within HeadTimeout. Its source becomes the connection's RemoteAddr; until then, in Open and Accept, that is the
	// proxy's. With LOCAL or UNKNOWN it stays that. A connection from there without a well-formed header fails with
	// reason conn.Protocol. Any other connection is taken as it is, and a PROXY header from there for what it looks
	// like in HTTP: a bad request. Never list a network whose clients connect directly: they could claim any address.
	ProxyFrom []netip.Prefix

	Limits conn.Limits        // for Listen; zero means the manager's. Recv is raised to what MaxHead and MaxBody need
	Socket conn.SocketOptions // for Listen
}

func (o Options) withDefaults() Options {
	def(&o.MaxTarget, 8<<10)
	def(&o.MaxHead, 32<<10)
	def(&o.MaxHeaders, 100)
	def(&o.MaxBody, 1<<20)
	def(&o.HeadTimeout, 10*time.Second)
	def(&o.BodyTimeout, 10*time.Second)
	def(&o.MinRate, 250)
	def(&o.IdleTimeout, 60*time.Second)
	def(&o.AnswerTimeout, 120*time.Second)
	def(&o.Heartbeat, 15*time.Second)
	o.MaxBody = min(o.MaxBody, mostBody)
	return o
}

func def[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// mostBody keeps sums of sizes inside an int.
const mostBody = math.MaxInt / 4

// recvFor returns the receive limit that a body of n bytes needs: with it wait its head and trailers, and behind it may
// lie what holdAt allows of later requests and what one read brings.
func (o *Options) recvFor(n int64) int {
	return int(n) + 2*o.MaxHead + holdAt + 64<<10
}
