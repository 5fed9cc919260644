package http

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/weburl"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// A ClientRequest is a request that Send or Client.Do sends. The zero value is a GET; only URL must
// be set. It must not change until the request has ended, and neither must its Body; after that it
// can be sent again, and an unchanged one costs no allocation. It belongs to one loop.
type ClientRequest struct {
	// Method is by default GET, or POST if there is a body. CONNECT is not allowed: see
	// ClientOptions.Proxy.
	Method string
	// URL is http://host[:port]/path?query, or https:// with ClientOptions.TLS. For Send a path,
	// which begins with "/", is enough, and "" means the URL of Connect. It has no user: see
	// SetBasicAuth.
	URL string
	// Target, unless it is empty, is sent in place of the path and query of URL, byte for byte: for
	// a program that passes on what it got, such as a proxy. It begins with "/", or is "*".
	Target string
	// Host is the value of the Host field, by default the host and port of URL.
	Host string
	// ContentType is the type of the body; none when it is empty.
	ContentType string

	// Body is the body. At most one of Body, File and Source may be set.
	Body []byte
	// File is a regular file that is the body, from Offset on, Length bytes of it or all. The
	// system sends it by itself where it can (sendfile). It stays the caller's, who may close it
	// after the request has ended.
	File *os.File
	// Source gives the body piece by piece, as the server takes it. It is asked for the first one
	// when the connection stands, and is closed in any case, also when the request cannot be sent.
	// A request with a Source is neither repeated nor redirected after the Source was asked for
	// bytes.
	Source Source
	Offset int64 // of the first byte, for File
	Length int64 // bytes of File, 0 for all; bytes of Source, 0 when it is not known: the body is chunked then

	// Expect asks the server first whether it wants the body (Expect: 100-continue). The body
	// follows when the server says so, or after ClientOptions.ContinueTimeout.
	Expect bool
	// Timeout, unless it is 0, takes the place of ClientOptions.Timeout.
	Timeout time.Duration
	// MaxBody, unless it is 0, takes the place of ClientOptions.MaxBody. A larger one needs
	// ClientOptions.MaxBody as large, or StreamResponse.
	MaxBody int64
	// Events gets the events of the response: *Interim, *ResponseHead, and *Chunk after
	// StreamResponse. With Client.Do it may be nil; done gets the response. With Send a nil Events
	// leaves them to the handler of the connection. Otherwise Events gets *Response as well, and
	// two events of the connection, before its handler does: *conn.Shutdown, and *conn.Error if the
	// connection ends before the response. It may replace the Err of that; the handler gets what it
	// leaves there.
	Events conn.Handler

	lines  []byte // of SetHeader and AddHeader
	close  bool   // Connection: close
	parsed string // the URL that target was made of
	target *weburl.URL
	host   *clientHost // where target leads, of the client that sent the request last
}

var (
	// ErrBadRequest is wrapped by the errors about a ClientRequest that cannot be sent.
	ErrBadRequest = errors.New("http: the request cannot be sent")

	errManyBodies = errors.New("more than one of Body, File and Source")
	errMethod     = errors.New("the method is no token, or CONNECT")
	errLength     = errors.New("the Length or Offset is not within the file")
	errFields     = errors.New("the Host or ContentType is malformed")
	errTarget     = errors.New("the Target does not begin with a slash, or has bytes that must not be sent")
)

// SetHeader sets a field of the request, and replaces earlier ones of that name. Content-Length,
// Transfer-Encoding, Host, Expect, TE, and Connection with any value but "close" and "Upgrade",
// belong to this package: for them, and for malformed names and values, it returns ErrBadHeader. An
// Upgrade field brings its Connection field along.
func (r *ClientRequest) SetHeader(name, value string) error {
	if strings.EqualFold(name, "Connection") {
		switch {
		case strings.EqualFold(value, "close"):
			r.close = true
			return nil
		case strings.EqualFold(value, "Upgrade"):
			return nil // it goes with the Upgrade field
		}
	}
	if !mayRequest(name, value) {
		return ErrBadHeader
	}
	r.lines = appendField(removeField(r.lines, name), name, value)
	return nil
}

// AddHeader is SetHeader for a field that may be there several times: earlier ones stay.
func (r *ClientRequest) AddHeader(name, value string) error { return addRequestField(r, name, value) }

// AddField is AddHeader for a field as a request or a response has it.
func (r *ClientRequest) AddField(f Field) error { return addRequestField(r, f.Name, f.Value) }

func addRequestField[T ~string | ~[]byte](r *ClientRequest, name, value T) error {
	if !mayRequest(name, value) {
		return ErrBadHeader
	}
	r.lines = appendField(r.lines, name, value)
	return nil
}

// ResetHeader removes all fields that SetHeader and AddHeader have set.
func (r *ClientRequest) ResetHeader() { r.lines, r.close = r.lines[:0], false }

// SetBasicAuth sets an Authorization field with this user and password (RFC 7617). The user must
// have no colon.
func (r *ClientRequest) SetBasicAuth(user, password string) error {
	if strings.Contains(user, ":") {
		return ErrBadHeader
	}
	return r.SetHeader("Authorization", basicAuth(user, password))
}

func basicAuth(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// SetBearerAuth sets an Authorization field with this token (RFC 6750).
func (r *ClientRequest) SetBearerAuth(token string) error {
	return r.SetHeader("Authorization", "Bearer "+token)
}

// mayRequest reports whether a program may set this field of a request.
func mayRequest[T ~string | ~[]byte](name, value T) bool {
	if len(name) == 0 || !wire.All(name, wire.TokenByte) || !validValue(value) {
		return false
	}
	for _, own := range [...]string{"Content-Length", "Transfer-Encoding", "Connection", "Host", "Expect", "TE", "Keep-Alive", "Proxy-Connection"} {
		if wire.FoldEqual([]byte(name), own) {
			return false
		}
	}
	return true
}

func badRequest(url string, why error) error {
	return fmt.Errorf("%w: %q: %w", ErrBadRequest, url, why)
}

// locate returns where r goes. base is the URL of the connection for Send, else nil.
func (r *ClientRequest) locate(base *weburl.URL) (*weburl.URL, error) {
	if r.target != nil && r.parsed == r.URL && r.URL != "" {
		return r.target, nil
	}
	var t *weburl.URL
	var err error
	switch {
	case base != nil && r.URL == "":
		return base, nil
	case base != nil && r.URL[0] == '/':
		t, err = base.Follow(r.URL)
		if err == nil && !t.SameOrigin(base) {
			err = errOtherOrigin
		}
		if err == nil {
			return t, nil // it is another one on another connection
		}
	default:
		t, err = weburl.Parse(r.URL, weburl.HTTP)
	}
	if err != nil {
		return nil, badRequest(r.URL, err)
	}
	r.target, r.parsed, r.host = t, r.URL, nil
	return t, nil
}

var errOtherOrigin = errors.New("the connection leads to another scheme, host or port")

// method returns the method of r.
func (r *ClientRequest) method() string {
	switch {
	case r.Method != "":
		return r.Method
	case r.Body != nil || r.File != nil || r.Source != nil:
		return "POST"
	}
	return "GET"
}

// check returns why r cannot be sent, and how long its body is: untold if that is not known.
func (r *ClientRequest) check() (length int64, err error) {
	bodies := 0
	if r.Body != nil {
		bodies++
		length = int64(len(r.Body))
	}
	if r.File != nil {
		bodies++
		if length, err = r.fileLength(); err != nil {
			return 0, badRequest(r.URL, err)
		}
	}
	if r.Source != nil {
		bodies++
		if length = r.Length; length <= 0 {
			length = untold
		}
	}
	switch {
	case bodies > 1:
		err = errManyBodies
	case r.Method == "CONNECT", r.Method != "" && !wire.All(r.Method, wire.TokenByte):
		err = errMethod
	case !validValue(r.ContentType), r.Host != "" && wire.CheckHost([]byte(r.Host), false) != nil:
		err = errFields
	case r.Target != "" && r.Target != "*" && (r.Target[0] != '/' || !visible(r.Target)):
		err = errTarget
	default:
		return length, nil
	}
	return 0, badRequest(r.URL, err)
}

// visible reports whether s can stand in a request line without ending it, or a word of it.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func (r *ClientRequest) fileLength() (int64, error) {
	info, err := r.File.Stat()
	if err != nil {
		return 0, err
	}
	rest := info.Size() - r.Offset
	switch {
	case !info.Mode().IsRegular(), r.Offset < 0, r.Length < 0, rest < r.Length:
		return 0, errLength
	case r.Length > 0:
		return r.Length, nil
	}
	return rest, nil
}

// drop closes the Source of a request that is not sent.
func (r *ClientRequest) drop() {
	if r.Source != nil {
		r.Source.Close()
	}
}

// ofCredentials are the fields that a redirect to another origin leaves out (RFC 9110 15.4).
var ofCredentials = [...]string{"Authorization", "Proxy-Authorization", "Cookie", "Cookie2", "WWW-Authenticate"}

// ofBody are the fields that go with a body, and that a redirect leaves out with it.
var ofBody = [...]string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Location", "Digest", "Content-Digest", "Repr-Digest"}

// appendHead appends the head of the request as it is sent to the server, or to a proxy.
func (a *clientCall) appendHead(b []byte, side *clientSide) []byte {
	r, t := a.req, a.target
	b = append(append(b, a.method...), ' ')
	if a.absolute {
		b = append(append(b, "http://"...), t.Authority...)
	}
	if r.Target != "" && a.hops == 0 {
		b = append(b, r.Target...)
	} else {
		b = append(b, t.Resource...)
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	if r.Host != "" && a.hops == 0 {
		b = append(b, r.Host...)
	} else {
		b = append(b, t.Authority...)
	}
	b = append(b, "\r\n"...)
	if a.absolute {
		b = append(b, a.proxyAuth...)
	}
	lines := r.lines
	if a.stripped || a.bodyless {
		lines = append([]byte(nil), lines...)
		if a.stripped {
			for _, name := range ofCredentials {
				lines = removeField(lines, name)
			}
		}
		if a.bodyless {
			for _, name := range ofBody {
				lines = removeField(lines, name)
			}
		}
	}
	if side.opts.UserAgent != "" && !hasField(lines, "User-Agent") {
		b = appendField(b, "User-Agent", side.opts.UserAgent)
	}
	if side.opts.Decompress != nil && !hasField(lines, "Accept-Encoding") && !hasField(lines, "Range") {
		// RFC 9110 14.2: a range is one of the coded bytes, and useless without the others.
		b = appendField(b, "Accept-Encoding", side.opts.Decompress.Coding())
		a.decodes = true
	}
	if side.opts.Jar != nil && !hasField(lines, "Cookie") {
		b = side.appendCookies(b, t.Text)
	}
	b = append(b, lines...)
	if len(lines) > 0 && hasField(lines, "Upgrade") {
		b = append(b, "Connection: Upgrade\r\n"...)
	} else if r.close {
		b = append(b, "Connection: close\r\n"...)
	}
	switch {
	case a.bodyless:
	case a.length == untold:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case a.length > 0 || a.method == "POST" || a.method == "PUT" || a.method == "PATCH":
		// RFC 9110 8.6: these methods have a meaning for a body, so its length is told if it is 0.
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, a.length, 10), "\r\n"...)
	}
	if r.ContentType != "" && !a.bodyless {
		b = appendField(b, "Content-Type", r.ContentType)
	}
	if a.expects() {
		b = append(b, "Expect: 100-continue\r\n"...)
	}
	return append(b, "\r\n"...)
}
