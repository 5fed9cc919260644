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

	HeadTimeout  time.Duration // for a whole head, from its first byte, else 408; default 10 s
	BodyTimeout  time.Duration // without a byte of a body, else 408; default 10 s
	MinRate      int           // bytes per second of a body, over each BodyTimeout, else 408; default 250, negative is none
	IdleTimeout  time.Duration // between requests, then the connection closes; default 60 s
	ReplyTimeout time.Duration // for the handler to reply, else 503; default 120 s, negative is for ever

	// StrictTarget refuses with 400 what RFC 3986 does not allow in a target, although browsers
	// send it unencoded: the bytes [ ] | ^ anywhere; in a query \ ` { } and a percent sign without
	// two hex digits after it.
	StrictTarget bool
	// HTTPS says that the connections come over TLS, or from a proxy that has taken it off. Without
	// it a target that begins with https:// is refused with 421 (RFC 9110 7.4): who trusts in TLS
	// must not be served without. Listen sets it with TLS.
	HTTPS bool
	// TLS protects the connections of Listen with an https:// URL: a *tlsconn.Server.
	TLS conn.ServerTLS
	// Accept is how several loops share the listener: such as mgr.AcceptExclusive. One loop does
	// not look at it.
	Accept Accept
	// Hosts are the names that clients may call this server by; unless it is empty, a request for
	// any other is refused with 421 (RFC 9110 15.5.20). Entries have no port, which is not
	// compared. These names are always allowed: localhost, the addresses of the machine's
	// interfaces, its host name, and that with .local. So []string{"localhost"} allows only them.
	//
	// Set it wherever a browser of the local network is let in without a password. With DNS
	// rebinding, a page of evil.example lets that name point to this server's address; then the
	// page and the server have the same origin, and checks of Origin pass. Behind a proxy that
	// passes on the client's Host, give the public names. The entry AnyHost turns the check off.
	Hosts []string
	// HostFunc reports whether a host that Hosts does not allow is a name of this server: for names
	// that change while it runs. Unless it is nil, Host is checked even if Hosts is empty. It gets
	// the host in lower case, without a port and without a dot at the end; an address of IPv6 has
	// its brackets. It is called on the loop for each such request, and by all loops of a
	// mgr.Loops. The bytes are valid until it returns.
	HostFunc func(host []byte) bool

	MaxRequests int           // on one connection; 0 is no limit
	Server      string        // value of the Server field of replies; none when empty
	Heartbeat   time.Duration // a comment is sent after this time without a server-sent event; default 15 s, negative is none
	Compress    Compressor    // of replies, such as that of package http/gzip; nil is none

	// FileCache is how many bytes of small files, 64 KiB each at most, are kept in memory between
	// requests; default 1 MiB, negative is none. Once a second a file that is asked for is compared
	// with the file system, by its size, times and inode; one that has changed within 2 seconds is
	// not kept. Only files of the operating system (on Linux) and embedded ones are kept.
	FileCache int

	// NoDate leaves the Date field out, for a device whose clock cannot be trusted (RFC 9110
	// 6.6.1). While the clock shows a time before 1981 it is left out in any case, since that clock
	// was never set.
	NoDate bool

	// ErrorPage makes the replies of Error and of refused requests.
	ErrorPage func(status int) Page

	// ProxyFrom are the networks of proxies that begin each connection with a PROXY protocol
	// header, version 1 or 2, within HeadTimeout. Its source becomes the connection's RemoteAddr;
	// before that, in Open and Accept, RemoteAddr is the proxy's. With LOCAL or UNKNOWN it stays
	// so. A connection from these networks without a well-formed header fails with reason
	// conn.Protocol, or conn.TLSFailed if the header comes before TLS. On any other connection a
	// PROXY header is a bad request. Never list a network whose clients connect directly: they
	// could claim any address.
	ProxyFrom []netip.Prefix

	Limits conn.Limits        // for Listen; zero means the manager's. Recv is raised to what MaxHead and MaxBody need
	Socket conn.SocketOptions // for Listen
}

// A Page is the content of an error reply.
type Page struct {
	ContentType string
	Body        []byte  // copied; nil stands for the name of the status, in plain text
	Fields      []Field // to be set as by SetHeader; one that it refuses, or a Date, is left out, and logged
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
	def(&o.ReplyTimeout, 120*time.Second)
	def(&o.Heartbeat, 15*time.Second)
	def(&o.FileCache, 1<<20)
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

// recvFor returns the receive limit that a body of n bytes needs, together with its head and
// trailers, with the later requests that holdAt allows, and with the bytes of one read.
func (o *Options) recvFor(n int64) int {
	return int(n) + 2*o.MaxHead + holdAt + 64<<10
}
