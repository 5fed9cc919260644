package middleware

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

var (
	key1 = bytes.Repeat([]byte{1}, 32)
	key2 = bytes.Repeat([]byte{2}, 32)
)

func newSessions(t *testing.T, o SessionOptions) *Sessions {
	t.Helper()
	if o.Keys == nil {
		o.Keys = [][]byte{key1}
	}
	s, err := NewSessions(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sessionRig logs in at /login, out at /logout, and replies with 200 if there is a session of anna.
func sessionRig(t *testing.T, s *Sessions) *rig {
	x := http.NewMux()
	x.MustHandle("/login", func(c *conn.Conn, m *http.Message) {
		s.Start(c, "anna")
		okHandler(c, m)
	})
	x.MustHandle("/logout", func(c *conn.Conn, m *http.Message) {
		s.End(c)
		okHandler(c, m)
	})
	x.MustHandle("/", func(c *conn.Conn, m *http.Message) {
		if v, ok := s.Value(&m.Request); !ok || v != "anna" {
			t.Errorf("value %q %v", v, ok)
		}
		okHandler(c, m)
	}, s.Require)
	return newEventRig(t, x.Serve)
}

func TestSessionCookie(t *testing.T) {
	for _, tt := range []struct {
		o          SessionOptions
		name, attr string
	}{
		{SessionOptions{}, "session=", "; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax"},
		{SessionOptions{Secure: true, SameSite: http.SameSiteStrict, MaxAge: time.Minute}, "__Host-session=", "; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Strict"},
		{SessionOptions{Name: "sid", Secure: true, SameSite: http.SameSiteNone}, "sid=", "; Path=/; Max-Age=43200; Secure; HttpOnly; SameSite=None"},
	} {
		r := sessionRig(t, newSessions(t, tt.o))
		_, fields := r.ask("GET /login")
		pair, attr, _ := strings.Cut(fields["Set-Cookie"], ";")
		if !strings.HasPrefix(pair, tt.name) || ";"+attr != tt.attr {
			t.Errorf("Set-Cookie: %s", fields["Set-Cookie"])
		}
		r.want("GET /", []string{"Cookie: other=1; " + pair}, 200)
		r.want("GET /", nil, 401, "WWW-Authenticate:")
		r.want("GET /", []string{"Cookie: " + pair + "A"}, 401)
		r.want("GET /", []string{"Authorization: Bearer " + strings.TrimPrefix(pair, tt.name)}, 401) // not asked for
		_, fields = r.ask("GET /logout")
		if want := tt.name + "; Path=/; Max-Age=0"; !strings.HasPrefix(fields["Set-Cookie"], want) {
			t.Errorf("Set-Cookie: %s", fields["Set-Cookie"])
		}
	}
}

func TestSessionBearer(t *testing.T) {
	s := newSessions(t, SessionOptions{Bearer: true})
	r := sessionRig(t, s)
	token := s.Token("anna")
	r.want("GET /", []string{"Authorization: bearer " + token}, 200)
	r.want("GET /", []string{"Cookie: session=" + token}, 200)
	r.want("GET /", []string{"Authorization: Bearer x", "Cookie: session=" + token}, 401, "WWW-Authenticate: Bearer")
	r.want("GET /", []string{"Authorization: Basic " + token}, 401)
	s = newSessions(t, SessionOptions{Bearer: true, NoCookie: true})
	r = sessionRig(t, s)
	r.want("GET /", []string{"Authorization: Bearer " + s.Token("anna")}, 200)
	r.want("GET /", []string{"Cookie: session=" + s.Token("anna")}, 401)
}

func TestSessionRefuse(t *testing.T) {
	s := newSessions(t, SessionOptions{Refuse: func(c *conn.Conn, _ *http.Request) {
		http.SetHeader(c, "Location", "/login")
		http.Error(c, 303)
	}})
	sessionRig(t, s).want("GET /", nil, 303, "Location: /login")
}

func TestSessionTokenCannotBeChanged(t *testing.T) {
	s := newSessions(t, SessionOptions{})
	token := s.Token("anna")
	if v, ok := s.Verify([]byte(token)); !ok || v != "anna" {
		t.Fatal(v, ok)
	}
	for i := range token {
		for bit := range 8 {
			b := []byte(token)
			b[i] ^= 1 << bit
			if v, ok := s.Verify(b); ok {
				t.Fatalf("byte %d, bit %d: %q", i, bit, v)
			}
		}
		if _, ok := s.Verify([]byte(token[:i])); ok {
			t.Fatalf("cut to %d bytes", i)
		}
	}
	for _, other := range []string{"", token + "A", token + "=", token + token, strings.Repeat("A", 1<<16)} {
		if _, ok := s.Verify([]byte(other)); ok {
			t.Errorf("%.80q is taken", other)
		}
	}
}

// A token with a line end in it would be another one for the same session, as the decoder of base64
// skips those.
func TestSessionTokenHasNoLineEnds(t *testing.T) {
	s := newSessions(t, SessionOptions{})
	for _, value := range []string{"", "a", "aa", "aaa"} {
		token := s.Token(value)
		for i := range len(token) + 1 {
			for _, end := range []string{"\n", "\r", "\r\n", "\n\n\n\n"} {
				if _, ok := s.Verify([]byte(token[:i] + end + token[i:])); ok {
					t.Errorf("%q at %d of %d bytes is taken", end, i, len(token))
				}
			}
		}
	}
}

func TestSessionTokenOfAnotherName(t *testing.T) {
	a, b := newSessions(t, SessionOptions{Name: "a"}), newSessions(t, SessionOptions{Name: "b"})
	if _, ok := b.Verify([]byte(a.Token("anna"))); ok {
		t.Error("a session of another name is taken")
	}
}

func TestSessionExpires(t *testing.T) {
	s := newSessions(t, SessionOptions{MaxAge: time.Minute})
	start := time.Unix(1_800_000_000, 0)
	for _, tt := range []struct {
		after time.Duration
		ok    bool
	}{{0, true}, {59 * time.Second, true}, {60 * time.Second, false}, {time.Hour, false}} {
		s.now = func() time.Time { return start }
		token := s.Token("")
		s.now = func() time.Time { return start.Add(tt.after) }
		if _, ok := s.Verify([]byte(token)); ok != tt.ok {
			t.Errorf("after %v: %v", tt.after, ok)
		}
	}
}

// A clock without a battery may be years ahead until it is set. What was signed then ends within
// MaxAge all the same, and so does what was signed under a longer one.
func TestSessionFromTheFutureIsRefused(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	for _, tt := range []struct {
		ahead, maxAge time.Duration
		ok            bool
	}{
		{0, time.Hour, true},
		{time.Minute, time.Hour, true}, // another server's clock
		{61 * time.Second, time.Hour, false},
		{87600 * time.Hour, time.Hour, false},
		{0, time.Hour + time.Minute, true},
		{0, time.Hour + 2*time.Minute, false},
		{0, 87600 * time.Hour, false},
	} {
		made, by := newSessions(t, SessionOptions{MaxAge: tt.maxAge}), newSessions(t, SessionOptions{MaxAge: time.Hour})
		made.now = func() time.Time { return start.Add(tt.ahead) }
		by.now = func() time.Time { return start }
		if _, ok := by.Verify([]byte(made.Token("anna"))); ok != tt.ok {
			t.Errorf("clock %v ahead, MaxAge %v: %v", tt.ahead, tt.maxAge, ok)
		}
	}
}

// A browser sends the cookie of the longer path, or the older one, first, and it may be stale or
// another program's.
func TestSessionIsTheFirstCookieThatVerifies(t *testing.T) {
	s := newSessions(t, SessionOptions{})
	r := sessionRig(t, s)
	good, bert := "session="+s.Token("anna"), "session="+s.Token("bert")
	for _, lines := range [][]string{
		{"Cookie: session=stale; " + good},
		{"Cookie: session=; session; x=y; session=stale; " + good + "; session=stale"},
		{"Cookie: session=stale", "Cookie: " + good},
		{"Cookie: " + good + "; " + bert},
		{"Cookie: Session=" + s.Token("bert") + "; " + good},
		{"Cookie: session=" + newSessions(t, SessionOptions{Keys: [][]byte{key2}}).Token("bert") + "; " + good},
	} {
		r.want("GET /", lines, 200)
	}
	r.want("GET /", []string{"Cookie: session=stale; session=staler"}, 401)
}

// A list ends single sessions, and all of a value.
type list struct {
	generation map[string]uint64
	revoked    map[uint64]bool
}

func (l *list) Generation(value string) uint64 { return l.generation[value] }
func (l *list) Revoked(s Session) bool         { return l.revoked[s.ID] }

func TestSessionRevocation(t *testing.T) {
	l := &list{map[string]uint64{"anna": 7}, map[uint64]bool{}}
	s := newSessions(t, SessionOptions{Revocation: l})
	phone, laptop, bert := []byte(s.Token("anna")), []byte(s.Token("anna")), []byte(s.Token("bert"))
	want := func(what string, ok ...bool) {
		t.Helper()
		for i, token := range [][]byte{phone, laptop, bert} {
			if _, got := s.Verify(token); got != ok[i] {
				t.Errorf("%s: token %d: %v", what, i, got)
			}
		}
	}
	want("at first", true, true, true)
	session, _ := s.Parse(phone)
	if other, _ := s.Parse(laptop); session.ID == other.ID || session.Value != "anna" || session.Generation != 7 || time.Until(session.Expires) < 11*time.Hour {
		t.Errorf("%+v, %+v", session, other)
	}
	l.revoked[session.ID] = true
	want("one has ended", false, true, true)
	r := sessionRig(t, s)
	r.want("GET /", []string{"Cookie: session=" + string(phone)}, 401)
	r.want("GET /", []string{"Cookie: session=" + string(phone) + "; session=" + string(laptop)}, 200)
	l.generation["anna"]++
	want("all of a value have ended", false, false, true)
	if _, ok := s.Verify([]byte(s.Token("anna"))); !ok {
		t.Error("no new session of a value whose sessions were ended")
	}
	// Without the list the generation means nothing: the number is signed, but not looked at.
	if _, ok := newSessions(t, SessionOptions{}).Verify(bert); !ok {
		t.Error("a token with a generation is refused without a Revocation")
	}
}

func TestSessionKeyRotation(t *testing.T) {
	before := newSessions(t, SessionOptions{Keys: [][]byte{key1}})
	during := newSessions(t, SessionOptions{Keys: [][]byte{key2, key1}})
	behind := newSessions(t, SessionOptions{Keys: [][]byte{key2}})
	for _, tt := range []struct {
		name     string
		made, by *Sessions
		ok       bool
	}{
		{"old token, both keys", before, during, true}, {"new token, both keys", during, during, true},
		{"new token, new key", during, behind, true}, {"old token, new key", before, behind, false},
		{"new token, old key", during, before, false},
	} {
		if _, ok := tt.by.Verify([]byte(tt.made.Token("x"))); ok != tt.ok {
			t.Errorf("%s: %v", tt.name, ok)
		}
	}
}

func TestSessionOptions(t *testing.T) {
	for _, tt := range []struct {
		o    SessionOptions
		want string
	}{
		{SessionOptions{}, "no key"},
		{SessionOptions{Keys: [][]byte{key1, key2[1:]}}, "key 1 is shorter than 32 bytes"},
		{SessionOptions{Keys: [][]byte{key1}, MaxAge: -1}, "negative MaxAge"},
		{SessionOptions{Keys: [][]byte{key1}, Name: "a b"}, `malformed cookie name "a b"`},
		{SessionOptions{Keys: [][]byte{key1}, SameSite: http.SameSiteNone}, "SameSiteNone without Secure"},
		{SessionOptions{Keys: [][]byte{key1}, NoCookie: true}, "NoCookie without Bearer"},
	} {
		if _, err := NewSessions(tt.o); !errors.Is(err, ErrSession) || err.Error() != "middleware: session: "+tt.want {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
	s := newSessions(t, SessionOptions{})
	newRig(t, func(c *conn.Conn, m *http.Message) {
		if err := s.Start(c, strings.Repeat("x", 2049)); !errors.Is(err, ErrSession) {
			t.Error(err)
		}
		if err := s.Start(c, strings.Repeat("x", 2048)); err != nil {
			t.Error(err)
		}
		okHandler(c, m)
	}).want("GET /", nil, 200)
}
