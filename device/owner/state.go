package owner

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/device/internal/rest"
)

// The bounds of what is kept.
const (
	maxFile     = 1 << 20
	maxUsers    = 64
	maxSessions = 16 // of a user; the oldest makes room
	maxTokens   = 64
)

// A user can log in.
type user struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	Password digest `json:"password"`
}

// A session begins with a login. Its key, a random number, is in the cookie; here is its digest.
type session struct {
	ID    string    `json:"id"` // for lists
	Key   string    `json:"key"`
	User  string    `json:"user"`
	From  string    `json:"from"`
	Begun time.Time `json:"begun"`
	Used  time.Time `json:"used"` // within a minute or so
}

// A token is a key for a program.
type token struct {
	ID     string    `json:"id"`
	Key    string    `json:"key"`
	Name   string    `json:"name"`
	Role   string    `json:"role"`
	Scopes []string  `json:"scopes"` // none is all
	By     string    `json:"by"`
	Made   time.Time `json:"made"`
	Ends   time.Time `json:"ends"` // zero is never
}

// state is the content of the file.
type state struct {
	Version  int       `json:"version"`
	Users    []user    `json:"users"`
	Sessions []session `json:"sessions"`
	Tokens   []token   `json:"tokens"`
}

// newKey returns a key that cannot be guessed: 160 random bits.
func newKey() string {
	b := make([]byte, 20)
	rand.Read(b)
	return base32.StdEncoding.EncodeToString(b)
}

// newID returns a name for a list.
func newID() string {
	b := make([]byte, 6)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// digestOf returns what is kept of a key. A key is random, so a plain hash is enough.
func digestOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func (s *state) user(name string) *user {
	for i := range s.Users {
		if s.Users[i].Name == name {
			return &s.Users[i]
		}
	}
	return nil
}

// role returns the role of a user; Nobody if there is no such user.
func (s *state) role(name string) device.Role {
	if u := s.user(name); u != nil {
		r, _ := device.ParseRole(u.Role)
		return r
	}
	return device.Nobody
}

// roleOf returns the role of a token: never more than its maker has now.
func (s *state) roleOf(t *token) device.Role {
	role, _ := device.ParseRole(t.Role)
	return min(role, s.role(t.By))
}

// admins returns how many users are admins.
func (s *state) admins() (n int) {
	for _, u := range s.Users {
		if u.Role == device.Admin.String() {
			n++
		}
	}
	return n
}

// endSessions ends those sessions of a user for which which is true.
func (s *state) endSessions(which func(*session) bool) (ended int) {
	before := len(s.Sessions)
	s.Sessions = slices.DeleteFunc(s.Sessions, func(x session) bool { return which(&x) })
	return before - len(s.Sessions)
}

// begin adds a session, and returns its key.
func (s *state) begin(name, from string, now time.Time) (key string) {
	mine, oldest := 0, -1
	for i := range s.Sessions {
		if s.Sessions[i].User == name {
			mine++
			if oldest < 0 || s.Sessions[i].Used.Before(s.Sessions[oldest].Used) {
				oldest = i
			}
		}
	}
	if mine >= maxSessions {
		s.Sessions = slices.Delete(s.Sessions, oldest, oldest+1)
	}
	key = newKey()
	s.Sessions = append(s.Sessions, session{ID: newID(), Key: digestOf(key), User: name, From: from, Begun: now, Used: now})
	return key
}

// clone returns a copy that shares nothing which changes.
func (s *state) clone() *state {
	return &state{Version: s.Version, Users: slices.Clone(s.Users), Sessions: slices.Clone(s.Sessions), Tokens: slices.Clone(s.Tokens)}
}

func (s *state) valid() error {
	for _, u := range s.Users {
		if _, ok := device.ParseRole(u.Role); !ok {
			return fmt.Errorf("the role of %q is unknown", u.Name)
		}
		if err := u.Password.valid(); err != nil {
			return fmt.Errorf("%q: %w", u.Name, err)
		}
	}
	return nil
}

// load reads the file. A file that cannot be read is an error, not a device without an owner:
// otherwise a person who damages the file could become the owner.
//
// damage is why the file was not used, when its copy is.
func load(d disk.FS, name string) (s *state, damage, err error) {
	s = &state{}
	text, err := disk.Load(d, name, maxFile, func(text []byte) error {
		*s = state{}
		if err := rest.Load(text, s); err != nil {
			return err
		}
		return s.valid()
	})
	if errors.Is(err, fs.ErrNotExist) {
		return &state{}, nil, nil
	}
	if text == nil && err != nil {
		return nil, nil, fmt.Errorf("owner: %w", err)
	}
	return s, err, nil
}

// store writes the file, and its copy too: a copy from before the last change would bring back what
// was revoked, should the file be damaged.
func (s *state) store(d disk.FS, name string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return disk.ReplaceBoth(d, name, append(text, '\n'), 0o600)
}
