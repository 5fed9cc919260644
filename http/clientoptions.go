package http

import (
	"errors"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// ClientOptions are the settings of Connect and of a Client. Zero fields mean the defaults.
type ClientOptions struct {
	MaxHead    int   // bytes of a head, of a trailer section, and of all interim responses together, else ErrLongHead; default 32 KiB
	MaxHeaders int   // fields of a response, trailers included, else ErrLongHead; default 100
	MaxBody    int64 // bytes of a body that is wanted whole, before and after Decompress, else ErrLongBody; default 1 MiB

	ResolveTimeout   time.Duration // for the name of the server, else ErrResolveTimeout; default 5 s
	ConnectTimeout   time.Duration // for the connection to stand, from the name on, else ErrConnectTimeout; default 10 s
	ContinueTimeout  time.Duration // after which a body is sent although no 100 has come; default 1 s
	FirstByteTimeout time.Duration // from the last byte of the request to the first one of the response, else ErrFirstByteTimeout; default 30 s, negative is for ever
	StallTimeout     time.Duration // without a byte in either direction, within a request or a response, else ErrStallTimeout; default 30 s, negative is for ever
	Timeout          time.Duration // for all of it, from Do or Send to the last byte, else ErrTimeout; default 2 min, negative is for ever

	// Address replaces the host and port of each URL as the place to connect to: a unix socket,
	// unix:///run/x.sock, or the address of a host that the URL names, tcp://192.0.2.1:80.
	Address string

	TLS conn.ClientTLS // for https:// URLs: a *tlsconn.Client; it has a timeout for the handshake of its own (ErrTLSTimeout)

	// Proxy returns the URL of the proxy for a URL, "" for none, such as ProxyFromEnvironment(). It
	// is http://host:port, perhaps with a user and a password; a proxy that itself wants TLS,
	// https://, is refused with ErrProxy. Requests for http:// URLs are then
	// sent to the proxy, and for https:// URLs it makes a tunnel (CONNECT). It is asked once for
	// each host.
	Proxy func(url string) (string, error)
	// Tunnel asks the proxy for a tunnel for http:// URLs, too: for a protocol that the proxy may
	// not know. The connection stands, for *conn.Connect, before the tunnel does.
	Tunnel bool

	UserAgent  string       // value of the User-Agent field; none when empty
	Decompress Decompressor // of responses, such as that of package http/gzip; nil is none
	Jar        Jar          // of cookies, such as stdhttp.Jar; nil is none

	// MaxRedirects is how many redirects are followed, one after the other, else ErrRedirect. With
	// 0 none is: the program gets the response. Connect never follows any.
	MaxRedirects int

	// Pipeline is how many requests Send sends on one connection before the first of them has its
	// response; default 1. A Client sends one at a time.
	Pipeline int

	MaxConns        int           // connections of a Client; default 256
	MaxConnsPerHost int           // of them to one scheme, host and port; default 64
	MaxQueue        int           // requests of a Client that wait for a connection, else ErrQueueFull; default 1024
	KeepAlive       time.Duration // for which a connection of a Client is kept between two requests; default 30 s, negative is not at all

	Limits conn.Limits        // the zero value means the manager's. Recv is raised to what MaxHead and MaxBody need
	Socket conn.SocketOptions // of the connections

	// Setup is called with each connection before its Open event, after the layer of this package
	// was put on it.
	Setup func(*conn.Conn)
}

// A ResponseError is wrapped by the error about a response that cannot be read. It wraps
// ErrBadResponse or ErrLongHead.
type ResponseError struct {
	Err  error
	Text string // what is wrong
	Head []byte // the head as it came, up to the bad byte; nil if the error is in the body
}

func (e *ResponseError) Error() string { return e.Err.Error() + ": " + e.Text }

// Unwrap returns e.Err.
func (e *ResponseError) Unwrap() error { return e.Err }

// Each limit of ClientOptions has an error of its own, which is wrapped by the error that tells of
// it.
var (
	ErrLongHead         = errors.New("http: the head of the response is too long")
	ErrLongBody         = errors.New("http: the body of the response is too long")
	ErrResolveTimeout   = errors.New("http: the name of the server was not resolved in time")
	ErrConnectTimeout   = errors.New("http: the server did not accept the connection in time")
	ErrTLSTimeout       = errors.New("http: the TLS handshake took too long")
	ErrFirstByteTimeout = errors.New("http: the response did not begin in time")
	ErrStallTimeout     = errors.New("http: no byte came or went for too long")
	ErrTimeout          = errors.New("http: the request took too long")
	ErrQueueFull        = errors.New("http: too many requests wait for a connection")
)

var (
	// ErrBadResponse is wrapped by the error about a response that breaks the rules of RFC 9112. No
	// byte after it is taken for a response.
	ErrBadResponse = errors.New("http: the response cannot be read")
	// ErrNoResponse says that the connection ended before the first byte of the response.
	ErrNoResponse = errors.New("http: the connection ended without a response")
	// ErrCut says that the connection ended within the response, or within the request.
	ErrCut = errors.New("http: the connection ended before the response did")
	// ErrUnsent is wrapped, beside the reason, by the error about a request of which no byte was
	// sent: whatever its method, it may be sent again, to another server too.
	ErrUnsent = errors.New("http: nothing of the request was sent")
	// ErrRedirect is wrapped by the error about a redirect that cannot be followed.
	ErrRedirect = errors.New("http: redirect")
	// ErrClientClosed is returned by a Client after Close.
	ErrClientClosed = errors.New("http: the client is closed")
)

func (o ClientOptions) withDefaults() ClientOptions {
	def(&o.MaxHead, 32<<10)
	def(&o.MaxHeaders, 100)
	def(&o.MaxBody, 1<<20)
	def(&o.ResolveTimeout, 5*time.Second)
	def(&o.ConnectTimeout, 10*time.Second)
	def(&o.ContinueTimeout, time.Second)
	def(&o.FirstByteTimeout, 30*time.Second)
	def(&o.StallTimeout, 30*time.Second)
	def(&o.Timeout, 2*time.Minute)
	def(&o.Pipeline, 1)
	def(&o.MaxConns, 256)
	def(&o.MaxConnsPerHost, 64)
	def(&o.MaxQueue, 1024)
	def(&o.KeepAlive, 30*time.Second)
	o.MaxBody = max(min(o.MaxBody, mostBody), 0)
	return o
}

// A clientSide is what the connections of one Client, or the one of Connect, have in common: the
// options, the spare calls, and the events, which the loop reuses.
type clientSide struct {
	opts ClientOptions
	lim  wire.Limits
	free []*clientCall

	head    ResponseHead
	interim Interim
	resp    Response
	chunk   Chunk
	room    []byte  // of a decompressed body
	fields  []Field // of trailers

	raisedFrom conn.Limits
	raised     *conn.Limits // raisedFrom with a higher Recv
}

func newClientSide(o ClientOptions) (*clientSide, error) {
	if !validValue(o.UserAgent) {
		return nil, ErrBadHeader
	}
	s := &clientSide{opts: o.withDefaults()}
	s.lim = wire.Limits{Head: s.opts.MaxHead, Fields: s.opts.MaxHeaders}
	return s, nil
}

// attach gives c the limits that the largest response needs. Connections that had the same limits
// share the new ones.
func (s *clientSide) attach(c *conn.Conn) {
	l := c.Limits()
	need := int(s.opts.MaxBody) + 2*s.opts.MaxHead + 64<<10
	if l.Recv >= need {
		return
	}
	if s.raised == nil || l != s.raisedFrom {
		s.raisedFrom = l
		l.Recv = need
		s.raised = &l
	}
	c.SetLimits(s.raised)
}

// take returns a call from the free list.
func (s *clientSide) take() *clientCall {
	if n := len(s.free); n > 0 {
		a := s.free[n-1]
		s.free = s.free[:n-1]
		return a
	}
	return &clientCall{}
}

// put returns a call that has ended.
func (s *clientSide) put(a *clientCall) {
	a.turn++ // first: in Source.Close the program may try to give the call up
	a.dropBody()
	a.dropDecoder()
	*a = clientCall{turn: a.turn}
	if len(s.free) < maxFree {
		s.free = append(s.free, a)
	}
}

// ErrNoResponseHead is returned by StreamResponse and Detach outside of the handler of a
// *ResponseHead.
var ErrNoResponseHead = errors.New("http: no ResponseHead is being handled")
