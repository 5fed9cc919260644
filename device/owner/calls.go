package owner

import (
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/internal/rest"
	"github.com/seed4930a636/mangusta/http"
)

// maxTries is how many wrong codes make a new one.
const maxTries = 10

// setup makes the first admin.
func (o *Owner) setup(k *call) (any, error) {
	if err := o.maySetUp(k); err != nil {
		return nil, err
	}
	if !wellNamed(k.body.Name) {
		return nil, errName
	}
	if err := checkPassword(k.body.Password); err != nil {
		return nil, apiError{status: 422, code: rest.Code(err), text: err.Error()}
	}
	d := newDigest(k.body.Password, o.opts.Memory, o.opts.Passes)
	err := o.change(func(s *state) error {
		s.Users = []user{{k.body.Name, device.Admin.String(), d}}
		k.begin(s, k.body.Name, o.opts.now())
		return nil
	}, func() { o.code = "" })
	o.tell(k.who, "setup", outcome(err))
	return nil, err
}

// begin gives the caller a session.
func (k *call) begin(s *state, name string, now time.Time) {
	key := s.begin(name, k.who.Via, now)
	k.cookie = &key
	k.who.Name = name
}

// maySetUp compares the code. The worker has one call at a time, so the answer stays true until the
// end of it.
func (o *Owner) maySetUp(k *call) error {
	if err := o.slow(k.from); err != nil {
		return err
	}
	o.mu.Lock()
	code := o.code
	o.mu.Unlock()
	switch {
	case code == "":
		return apiError{status: 409, code: "owned", text: "the device has an owner"}
	case k.proxied || !o.opts.local(k.from):
		return apiError{status: 403, code: "not-local", text: "the first setup is possible from the same network only, and not through a proxy"}
	case http.SecretEqual(k.body.Code, code):
		return nil
	}
	o.failed(k, "", "setup")
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.tries++; o.tries >= maxTries {
		o.newCode()
	}
	return apiError{status: 401, code: "setup-code", text: "the code is wrong: the device shows it on its console"}
}

// password compares a password with that of a user, and returns the digest that it matches. It
// takes the same time whether or not there is such a user.
func (o *Owner) password(k *call, name, password, what string) (digest, bool) {
	o.mu.Lock()
	d := digest{Memory: o.opts.Memory, Passes: o.opts.Passes, Salt: make([]byte, 16)}
	u := o.state.user(name)
	if u != nil {
		d = u.Password
	}
	o.mu.Unlock()
	if d.matches(password) && u != nil {
		return d, true
	}
	o.failed(k, name, what)
	return d, false
}

// login begins a session, in place of the one that the caller has.
func (o *Owner) login(k *call) (any, error) {
	if err := o.slow(k.from); err != nil {
		return nil, err
	}
	local := o.opts.local(k.from)
	if err := o.slowForName(k, local); err != nil {
		return nil, err
	}
	d, ok := o.password(k, k.body.Name, k.body.Password, "login")
	if !ok {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.limit.failOfName(k.body.Name, local, o.opts.now())
		return nil, errLogin
	}
	// An owner who could not log in could not make room on a disk that is full.
	err := o.changeOr(forgetLost, func(s *state) error {
		u := s.user(k.body.Name)
		if u == nil || !slices.Equal(u.Password.Sum, d.Sum) { // Reset was quicker
			return errLogin
		}
		s.endSessions(func(x *session) bool { return x.Key == k.session })
		k.begin(s, u.Name, o.opts.now())
		return nil
	}, func() { o.limit.succeed(k.from, k.body.Name) })
	o.tell(k.who, "login", outcome(err))
	return nil, err
}

func (o *Owner) logout(k *call) (any, error) {
	gone := ""
	k.cookie = &gone
	err := o.changeOr(tellLost, func(s *state) error {
		s.endSessions(func(x *session) bool { return x.Key == k.session })
		return nil
	}, nil)
	o.tell(k.who, "logout", outcome(err))
	return nil, err
}

// setPassword changes one's own.
func (o *Owner) setPassword(k *call) (any, error) {
	if k.session == "" {
		return nil, apiError{status: 403, code: "not-by-token", text: "a token has no password"}
	}
	if err := checkPassword(k.body.Password); err != nil {
		return nil, apiError{status: 422, code: rest.Code(err), text: err.Error()}
	}
	if err := o.slow(k.from); err != nil {
		return nil, err
	}
	old, ok := o.password(k, k.who.Name, k.body.Old, "password")
	if !ok {
		return nil, apiError{status: 403, code: "old-password", text: "the old password is wrong"}
	}
	d := newDigest(k.body.Password, o.opts.Memory, o.opts.Passes)
	err := o.change(func(s *state) error {
		u := s.user(k.who.Name)
		if u == nil || !slices.Equal(u.Password.Sum, old.Sum) {
			return errThere
		}
		u.Password = d
		// The caller gets a new session too: an attacker who has the old key loses access.
		s.endSessions(func(x *session) bool { return x.User == u.Name })
		k.begin(s, u.Name, o.opts.now())
		return nil
	}, nil)
	o.tell(k.who, "password", outcome(err))
	return nil, err
}

// sessionInfo is what a list shows of a session.
type sessionInfo struct {
	ID      string    `json:"id"`
	From    string    `json:"from"`
	Begun   time.Time `json:"begun"`
	Used    time.Time `json:"used"`
	Current bool      `json:"current,omitempty"`
}

func (o *Owner) sessions(k *call) (any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := []sessionInfo{}
	for _, s := range o.state.Sessions {
		if s.User == k.who.Name {
			list = append(list, sessionInfo{s.ID, s.From, s.Begun, s.Used, s.Key == k.session})
		}
	}
	return list, nil
}

func (o *Owner) endSession(k *call) (any, error) {
	err := o.changeOr(tellLost, func(s *state) error {
		if s.endSessions(func(x *session) bool { return x.ID == k.arg && x.User == k.who.Name }) == 0 {
			return errThere
		}
		return nil
	}, nil)
	o.tell(k.who, "session "+k.arg, outcome(err))
	return nil, err
}

type userInfo struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	Sessions int    `json:"sessions"`
}

func (o *Owner) users(*call) (any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := []userInfo{}
	for _, u := range o.state.Users {
		n := 0
		for _, s := range o.state.Sessions {
			if s.User == u.Name {
				n++
			}
		}
		list = append(list, userInfo{u.Name, u.Role, n})
	}
	return list, nil
}

// putUser adds a user or changes one. With a new password or role the sessions of the user end.
func (o *Owner) putUser(k *call) (any, error) {
	role, ok := device.ParseRole(k.body.Role)
	switch {
	case k.session == "": // it would outlive its own end
		return nil, apiError{status: 403, code: "not-by-token", text: "a token makes and changes no users"}
	case !wellNamed(k.arg) || k.arg == local || k.arg == device.Program.Name:
		return nil, errName
	case k.body.Role != "" && (!ok || role == device.Nobody):
		return nil, apiError{status: 422, code: "role-name", text: "a role is viewer, user or admin"}
	}
	var d *digest
	if k.body.Password != "" {
		if err := checkPassword(k.body.Password); err != nil {
			return nil, apiError{status: 422, code: rest.Code(err), text: err.Error()}
		}
		made := newDigest(k.body.Password, o.opts.Memory, o.opts.Passes)
		d = &made
	}
	err := o.change(func(s *state) error {
		u := s.user(k.arg)
		if u == nil {
			if d == nil || k.body.Role == "" {
				return apiError{status: 422, code: "new-user", text: "a new user needs a role and a password"}
			}
			if len(s.Users) >= maxUsers {
				return apiError{status: 507, code: "full", text: "there are too many users"}
			}
			s.Users = append(s.Users, user{Name: k.arg})
			u = &s.Users[len(s.Users)-1]
		}
		if k.body.Role != "" {
			u.Role = k.body.Role
		}
		if d != nil {
			u.Password = *d
		}
		if s.admins() == 0 {
			return apiError{status: 409, code: "last-admin", text: "the last admin stays one"}
		}
		s.endSessions(func(x *session) bool { return x.User == k.arg && x.Key != k.session })
		return nil
	}, nil)
	o.tell(k.who, "user "+k.arg, outcome(err))
	return nil, err
}

func (o *Owner) deleteUser(k *call) (any, error) {
	err := o.changeOr(tellLost, func(s *state) error {
		if s.user(k.arg) == nil {
			return errThere
		}
		s.Users = slices.DeleteFunc(s.Users, func(u user) bool { return u.Name == k.arg })
		if s.admins() == 0 {
			return apiError{status: 409, code: "last-admin", text: "the last admin stays one"}
		}
		s.endSessions(func(x *session) bool { return x.User == k.arg })
		// A user of that name who comes later must not have the keys of this one.
		s.Tokens = slices.DeleteFunc(s.Tokens, func(t token) bool { return t.By == k.arg })
		return nil
	}, nil)
	o.tell(k.who, "user "+k.arg, outcome(err))
	return nil, err
}

type tokenInfo struct {
	ID     string    `json:"id"`
	Name   string    `json:"name"`
	Role   string    `json:"role"`
	Scopes []string  `json:"scopes"`
	By     string    `json:"by"`
	Made   time.Time `json:"made"`
	Ends   time.Time `json:"ends,omitzero"`
}

func (o *Owner) tokens(*call) (any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := []tokenInfo{}
	for _, t := range o.state.Tokens {
		list = append(list, tokenInfo{t.ID, t.Name, t.Role, t.Scopes, t.By, t.Made, t.Ends})
	}
	return list, nil
}

func (o *Owner) makeToken(k *call) (any, error) {
	role, ok := device.ParseRole(k.body.Role)
	switch {
	case k.session == "":
		return nil, apiError{status: 403, code: "not-by-token", text: "a token makes no tokens"}
	case !wellNamed(k.body.Name) || !ok || role == device.Nobody || !scopesFit(k.body.Scopes) || k.body.Days < 0 || k.body.Days > 3650:
		return nil, apiError{status: 422, code: "new-token", text: "a token has a name, a role (viewer, user or admin), scopes, and days until its end, 3650 at most"}
	}
	key := newKey()
	t := token{ID: newID(), Key: digestOf(key), Name: k.body.Name, Role: k.body.Role, Scopes: k.body.Scopes, By: k.who.Name, Made: o.opts.now()}
	if k.body.Days > 0 {
		t.Ends = t.Made.AddDate(0, 0, k.body.Days)
	}
	err := o.change(func(s *state) error {
		s.Tokens = slices.DeleteFunc(s.Tokens, func(t token) bool { return !t.Ends.IsZero() && o.opts.now().After(t.Ends) })
		if len(s.Tokens) >= maxTokens {
			return apiError{status: 507, code: "full", text: "there are too many tokens"}
		}
		s.Tokens = append(s.Tokens, t)
		return nil
	}, nil)
	o.tell(k.who, "token "+t.ID+" for "+t.Name, outcome(err))
	return map[string]string{"id": t.ID, "token": key}, err
}

func (o *Owner) deleteToken(k *call) (any, error) {
	err := o.changeOr(tellLost, func(s *state) error {
		before := len(s.Tokens)
		s.Tokens = slices.DeleteFunc(s.Tokens, func(t token) bool { return t.ID == k.arg })
		if len(s.Tokens) == before {
			return errThere
		}
		return nil
	}, nil)
	o.tell(k.who, "token "+k.arg, outcome(err))
	return nil, err
}
