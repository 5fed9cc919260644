package owner

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/internal/disk/disksim"
)

const usersFile = "/users.json"

// A simulated device is an Owner on a disk whose power can be cut, called without HTTP: ann is its
// admin, and bob is a user with a session and a token.
type simulated struct {
	t     *testing.T
	disk  *disksim.Disk
	o     *Owner
	token string // bob's, its ID
	id    string // bob's session
	ann   *call
}

func simOptions(d *disksim.Disk) Options {
	return Options{File: usersFile, disk: d, Memory: 8, Passes: 1, Code: func(string) {}, Log: slog.New(slog.DiscardHandler),
		now: func() time.Time { return time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC) }, local: func(netip.Addr) bool { return true }}
}

func simulate(t *testing.T) *simulated {
	t.Helper()
	s := &simulated{t: t, disk: disksim.New(), ann: asks("ann")}
	var err error
	if s.o, err = New(simOptions(s.disk)); err != nil {
		t.Fatal(err)
	}
	s.ann.body.Code, s.ann.body.Name, s.ann.body.Password = s.o.code, "ann", password
	s.must(s.o.setup(s.ann))
	s.ann.session = digestOf(*s.ann.cookie)
	bob := asks("bob")
	s.must(s.o.putUser(s.with(func(k *call) { k.arg, k.body.Role, k.body.Password = "bob", "user", password })))
	bob.body.Name, bob.body.Password = "bob", password
	s.must(s.o.login(bob))
	bob.session = digestOf(*bob.cookie)
	bob.body.Name, bob.body.Role = "meter", "viewer"
	made := s.must(s.o.makeToken(bob))
	s.token, s.id = made.(map[string]string)["id"], s.o.state.Sessions[1].ID
	return s
}

// asks is a call of a user from the local network.
func asks(name string) *call {
	return &call{who: device.Who{Name: name, Via: "192.0.2.1"}, from: netip.MustParseAddr("192.0.2.1")}
}

// with is a call of ann's session.
func (s *simulated) with(f func(k *call)) *call {
	k := asks("ann")
	k.session = s.ann.session
	f(k)
	return k
}

func (s *simulated) must(v any, err error) any {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// rights are what the state lets bob do.
func rights(s *state) string {
	var list []string
	for _, u := range s.Users {
		if u.Name == "bob" {
			list = append(list, "role "+u.Role, fmt.Sprintf("the old password: %v", u.Password.matches(password)))
		}
	}
	for _, x := range s.Sessions {
		if x.User == "bob" {
			list = append(list, "session")
		}
	}
	for _, x := range s.Tokens {
		if x.By == "bob" {
			list = append(list, "token")
		}
	}
	return strings.Join(list, ", ")
}

// revocations are the changes that take a right from bob.
var revocations = []struct {
	name string
	call func(s *simulated) error
}{
	{"the token", func(s *simulated) error {
		_, err := s.o.deleteToken(s.with(func(k *call) { k.arg = s.token }))
		return err
	}},
	{"the session", func(s *simulated) error {
		k := asks("bob")
		k.arg = s.id
		_, err := s.o.endSession(k)
		return err
	}},
	{"the user", func(s *simulated) error {
		_, err := s.o.deleteUser(s.with(func(k *call) { k.arg = "bob" }))
		return err
	}},
	{"the role", func(s *simulated) error {
		_, err := s.o.putUser(s.with(func(k *call) { k.arg, k.body.Role = "bob", "viewer" }))
		return err
	}},
	{"the password", func(s *simulated) error {
		_, err := s.o.putUser(s.with(func(k *call) { k.arg, k.body.Password = "bob", "battery staple" }))
		return err
	}},
}

// damage writes over a file, as a worn flash may do.
func damage(t *testing.T, d *disksim.Disk, name string) {
	t.Helper()
	f, err := d.Create(name, 0o600)
	if err == nil {
		_, err = f.Write(make([]byte, 100))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// afterDamage wants the device to start after a power cut, whichever of its files is damaged, with
// rights of bob that are among these.
func afterDamage(t *testing.T, what string, d *disksim.Disk, seed uint64, allowed ...string) {
	t.Helper()
	for _, name := range []string{"", usersFile, usersFile + ".old", usersFile + ".new"} {
		after := d.Restart(rand.New(rand.NewPCG(seed, 0)))
		if name != "" {
			damage(t, after, name)
		}
		o, err := New(simOptions(after))
		if err != nil {
			t.Fatalf("%s, seed %d, %q is damaged: %v", what, seed, name, err)
		}
		if got := rights(o.state); !slices.Contains(allowed, got) || !o.HasOwner() {
			t.Fatalf("%s, seed %d, %q is damaged: bob has %q, want one of %q", what, seed, name, got, allowed)
		}
	}
}

// No single damaged file brings back a right whose end was answered: not after that, and not when
// the power is cut at any step of the next change. A cut before the answer leaves the one or the other.
func TestADamagedFileBringsNoRightBack(t *testing.T) {
	for _, r := range revocations {
		t.Run(r.name, func(t *testing.T) {
			done := simulate(t)
			done.must(nil, r.call(done))
			for cut := 1; ; cut++ { // the power is cut in the revocation
				s := simulate(t)
				before := rights(s.o.state)
				s.disk.CutAt = s.disk.Ops() + cut
				err := r.call(s)
				for seed := range uint64(10) {
					if err == nil {
						afterDamage(t, "answered", s.disk, seed, rights(s.o.state))
					} else {
						afterDamage(t, fmt.Sprintf("cut at %d", cut), s.disk, seed, before, rights(done.o.state))
					}
				}
				if err == nil {
					break
				}
			}
			for cut := 1; ; cut++ { // the power is cut in the login that comes next
				s := simulate(t)
				s.must(nil, r.call(s))
				s.disk.CutAt = s.disk.Ops() + cut
				k := asks("ann")
				k.body.Name, k.body.Password = "ann", password
				s.must(s.o.login(k)) // it needs no disk
				for seed := range uint64(10) {
					afterDamage(t, fmt.Sprintf("the next change is cut at %d", cut), s.disk, seed, rights(s.o.state))
				}
				if s.disk.Ops() < s.disk.CutAt {
					break
				}
			}
		})
	}
}

// On a disk that refuses one operation, the client is told so, or the right stays away.
func TestAFailingDiskBringsNoRightBackUntold(t *testing.T) {
	for _, r := range revocations {
		for at := 1; ; at++ {
			s := simulate(t)
			s.disk.FailAt, s.disk.Fail = s.disk.Ops()+at, syscall.ENOSPC
			err := r.call(s)
			if err != nil {
				s.must(nil, func() error { // what is tried again is done
					if err := r.call(s); err != nil && err != errThere {
						return err
					}
					return nil
				}())
				k := asks("ann")
				k.body.Name, k.body.Password = "ann", password
				s.must(s.o.login(k)) // the disk gets all of it now
			}
			for seed := range uint64(10) {
				afterDamage(t, fmt.Sprintf("%s, operation %d failed", r.name, at), s.disk, seed, rights(s.o.state))
			}
			if err == nil {
				break
			}
		}
	}
}
