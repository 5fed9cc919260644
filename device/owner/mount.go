package owner

import (
	"errors"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/internal/rest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/middleware"
	"github.com/seed4930a636/mangusta/internal/origin"
)

// Mount adds the routes of the Owner to x, below prefix. Bodies and replies are JSON.
//
//	GET    PREFIX                     who one is: {"owned": true, "name": "ann", "role": "admin"}
//	POST   PREFIX/setup               {"code", "name", "password"}: the first admin, and a session
//	POST   PREFIX/login               {"name", "password"}: a session
//	POST   PREFIX/logout
//	PUT    PREFIX/password            {"old", "password"}: one's own; the other sessions end
//	GET    PREFIX/sessions            one's own; DELETE PREFIX/sessions/ID ends one
//	GET    PREFIX/users               for an admin, as all that follows
//	PUT    PREFIX/users/NAME          {"role", "password"}: adds a user, or changes one; not with a token
//	DELETE PREFIX/users/NAME
//	GET    PREFIX/tokens
//	POST   PREFIX/tokens              {"name", "role", "scopes", "days"}: {"id", "token"}, shown this once
//	DELETE PREFIX/tokens/ID
//
// A failure is {"error": "…", "code": "…"}. Passwords are taken over TLS alone, or from a loopback address.
func (o *Owner) Mount(x *http.Mux, prefix string) {
	g := x.Group(prefix, middleware.CSRF())
	x.MustHandle("GET "+prefix, o.whoAmI)
	o.open(g, "POST /setup", o.setup)
	o.open(g, "POST /login", o.login)
	o.handle(g, "POST /logout", device.Viewer, o.logout)
	o.handle(g, "PUT /password", device.Viewer, o.setPassword)
	o.handle(g, "GET /sessions", device.Viewer, o.sessions)
	o.handle(g, "DELETE /sessions/{name}", device.Viewer, o.endSession)
	o.handle(g, "GET /users", device.Admin, o.users)
	o.handle(g, "PUT /users/{name}", device.Admin, o.putUser)
	o.handle(g, "DELETE /users/{name}", device.Admin, o.deleteUser)
	o.handle(g, "GET /tokens", device.Admin, o.tokens)
	o.handle(g, "POST /tokens", device.Admin, o.makeToken)
	o.handle(g, "DELETE /tokens/{name}", device.Admin, o.deleteToken)
}

// A call is one request on its way through the worker.
type call struct {
	who     device.Who
	session string // its key's digest
	from    netip.Addr
	proxied bool
	arg     string // the wildcard of the route
	body    struct {
		Code, Name, Old, Password, Role string
		Scopes                          []string
		Days                            int
	}
	cookie  *string // to be set; "" ends it
	release func()  // unless nil, gives back the caller's place among those who are not logged in
}

// An apiError has the status of its reply.
type apiError struct {
	status    int
	code      string
	text      string
	after     time.Duration // Retry-After
	challenge string        // WWW-Authenticate; "Bearer" of a 401 when ""
}

func (e apiError) Error() string { return e.text }
func (e apiError) Code() string  { return e.code }

var (
	errLogin = apiError{status: 401, code: "login", text: "the name or the password is wrong"}
	errName  = apiError{status: 422, code: "name", text: "a name has up to 32 small letters, digits, dots, hyphens and underscores"}
	errThere = apiError{status: 404, code: "none", text: "there is none of that name"}
)

// open adds a route for callers that are not logged in.
func (o *Owner) open(g *http.Group, pattern string, f func(*call) (any, error)) {
	g.MustHandle(pattern, func(c *conn.Conn, m *http.Message) {
		if !private(c, &m.Request) {
			fail(c, apiError{status: 403, code: "no-tls", text: "a password is not sent without TLS: use https"})
			return
		}
		addr := c.RemoteAddr().Addr().Unmap()
		if err := o.slow(addr); err != nil { // it does not even wait for the worker
			fail(c, err)
			return
		}
		release, ok := o.enter(addr)
		if !ok {
			fail(c, apiError{status: 503, code: rest.Code(errBusy), text: errBusy.Error(), after: time.Second})
			return
		}
		k := &call{who: device.Who{Via: addr.String()}, proxied: forwarded(&m.Request), release: release}
		if key := m.Cookie(cookieName(c)); len(key) > 0 {
			k.session = digestOf(string(key))
		}
		o.run(c, m, k, f)
	})
}

// handle adds a route for callers that have the role, by a session or by a token for the scope
// "owner".
func (o *Owner) handle(g *http.Group, pattern string, role device.Role, f func(*call) (any, error)) {
	g.MustHandle(pattern, func(c *conn.Conn, m *http.Message) {
		who, session := o.who(c, &m.Request, "owner")
		if who.Role < role || who.Name == local {
			refuse(c, &m.Request, who)
			return
		}
		o.run(c, m, &call{who: who, session: session, arg: string(m.PathValue("name"))}, f)
	})
}

// run reads the body, has the worker do f, and replies.
func (o *Owner) run(c *conn.Conn, m *http.Message, k *call, f func(*call) (any, error)) {
	queued := false
	defer func() {
		if !queued && k.release != nil {
			k.release()
		}
	}()
	k.from = c.RemoteAddr().Addr().Unmap()
	if len(m.Body) > 0 {
		if !rest.IsJSON(&m.Request) {
			fail(c, apiError{status: 415, code: "not-json", text: "send application/json"})
			return
		}
		if len(m.Body) > 8<<10 {
			fail(c, apiError{status: 413, code: "too-long", text: "the body is too long"})
			return
		}
		if err := rest.Read(m.Body, &k.body, "the body is malformed"); err != nil {
			fail(c, apiError{status: 400, code: rest.Code(err), text: err.Error()})
			return
		}
	}
	later := rest.LaterOf(c, m.Later())
	queue := o.members
	if k.release != nil {
		queue = o.logins
	}
	err := o.later(queue, func() {
		reply, err := f(k)
		if k.release != nil {
			k.release()
		}
		later.Complete(func(c *conn.Conn) { k.reply(c, reply, err, o.opts.Age) }, nil)
	})
	if err != nil {
		fail(c, apiError{status: 503, code: rest.Code(err), text: err.Error(), after: time.Second})
		return
	}
	queued = true
}

func (k *call) reply(c *conn.Conn, v any, err error, age time.Duration) {
	if err != nil {
		fail(c, err)
		return
	}
	if k.cookie != nil {
		cookie := http.Cookie{Name: cookieName(c), Value: *k.cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrict, MaxAge: age}
		if *k.cookie == "" {
			cookie.Value, cookie.MaxAge = "-", -time.Second
		}
		if err := http.SetCookie(c, cookie); err != nil {
			fail(c, err)
			return
		}
	}
	if v == nil {
		v = struct{}{}
	}
	rest.Reply(c, 200, v)
}

// fail replies with an error.
func fail(c *conn.Conn, err error) {
	status := 500
	var e apiError
	if errors.As(err, &e) {
		status = e.status
		if e.after > 0 {
			http.SetHeader(c, "Retry-After", strconv.Itoa(int(math.Ceil(e.after.Seconds()))))
		}
		if e.status == 401 && e.challenge == "" {
			e.challenge = "Bearer" // RFC 9110 §11.6.1: a 401 must have one, and tokens are the scheme of HTTP here
		}
		if e.challenge != "" {
			http.SetHeader(c, "WWW-Authenticate", e.challenge)
		}
	}
	rest.Fail(c, status, err)
}

// refuse replies to a caller without the right. RFC 6750 §3.1 says what the holder of a token is told.
func refuse(c *conn.Conn, r *http.Request, who device.Who) {
	switch {
	case who.Role > device.Nobody:
		fail(c, apiError{status: 403, code: "role", text: "this is for a higher role"})
	case who.Name != "":
		fail(c, apiError{status: 403, code: "token-scope", text: "the token is not for this", challenge: `Bearer error="insufficient_scope"`})
	case r.Credentials().Scheme == http.AuthBearer:
		fail(c, apiError{status: 401, code: "token", text: "the token is not valid", challenge: `Bearer error="invalid_token"`})
	default:
		fail(c, apiError{status: 401, code: "log-in", text: "log in first"})
	}
}

// cookieName is the name of the session's cookie. A browser accepts a name with this prefix only if
// it was set over TLS, by this host, for all its paths (RFC 6265bis §4.1.3.2).
func cookieName(c *conn.Conn) string {
	if http.IsHTTPS(c) {
		return "__Host-session"
	}
	return "session"
}

// private reports whether no third party can listen: the request came over TLS, or from the machine
// itself.
func private(c *conn.Conn, r *http.Request) bool {
	return http.IsHTTPS(c) || c.RemoteAddr().Addr().Unmap().IsLoopback() && !forwarded(r)
}

// forwarded reports whether a request came through a proxy: its address is not that of a person.
func forwarded(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"} {
		if len(r.Header(name)) > 0 {
			return true
		}
	}
	return false
}

// local is the name of a caller on the device itself while it has no owner.
const local = "local"

// foreign reports whether a browser says that the request comes from a page of another origin. The
// cookie is SameSite, so this is the second lock. Browsers that do not send Sec-Fetch-Site send
// Origin, which is "null" for a page that hides its own.
func foreign(c *conn.Conn, r *http.Request) bool {
	switch site := string(r.Header("Sec-Fetch-Site")); site {
	case "":
		from := r.Header("Origin")
		return from != nil && !origin.Same(from, r.Host, http.IsHTTPS(c))
	default:
		return site != "same-origin" && site != "none"
	}
}

func (o *Owner) whoAmI(c *conn.Conn, m *http.Message) {
	who, _ := o.who(c, &m.Request, "owner")
	rest.Reply(c, 200, struct {
		Owned bool   `json:"owned"`
		Name  string `json:"name,omitempty"`
		Role  string `json:"role"`
	}{o.HasOwner(), who.Name, who.Role.String()})
}

// wellNamed reports whether a user or a token may be called so.
func wellNamed(s string) bool {
	return len(s) > 0 && len(s) <= 32 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	})
}

// slow replies to an address that has failed too often.
func (o *Owner) slow(from netip.Addr) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d := o.limit.wait(from, o.opts.now()); d > 0 {
		return apiError{status: 429, code: "wait", text: "too many failures: wait", after: d}
	}
	return nil
}

// slowForName replies to the attempts for a name that had too many, whether or not there is such a
// user. A network from which the user is logged in need not wait.
func (o *Owner) slowForName(k *call, local bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.limit.waitOfName(k.body.Name, local, o.opts.now())
	if d <= 0 {
		return nil
	}
	for _, s := range o.state.Sessions {
		if a, err := netip.ParseAddr(s.From); err == nil && s.User == k.body.Name && networkOf(a) == networkOf(k.from) {
			return nil
		}
	}
	return apiError{status: 429, code: "wait", text: "too many failures: wait", after: d}
}

// failed counts a failure of an address, for a name.
func (o *Owner) failed(k *call, name, what string) {
	o.mu.Lock()
	o.limit.fail(k.from, name, o.opts.now())
	o.mu.Unlock()
	o.tell(k.who, what, "failed")
}

// scopesFit reports whether these can be the scopes of a token.
func scopesFit(scopes []string) bool {
	return len(scopes) <= 16 && !slices.ContainsFunc(scopes, func(s string) bool { return !wellNamed(s) })
}
