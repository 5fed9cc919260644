package owner

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/device/internal/rest"
	"golang.org/x/crypto/argon2"
)

// The bounds of a password. The upper one keeps digests cheap; it is counted in bytes.
const (
	minPassword = 8
	maxPassword = 256
)

var errPassword = rest.Coded("password", "a password has 8 characters or more, and 256 bytes at most")

// A digest is what is kept of a password: argon2id (RFC 9106), with the costs that it was made
// with.
type digest struct {
	Memory uint32 `json:"kib"`
	Passes uint32 `json:"passes"`
	Salt   []byte `json:"salt"`
	Sum    []byte `json:"sum"`
}

func checkPassword(p string) error {
	if utf8.RuneCountInString(p) < minPassword || len(p) > maxPassword {
		return errPassword
	}
	return nil
}

func newDigest(password string, memory, passes uint32) digest {
	d := digest{Memory: memory, Passes: passes, Salt: make([]byte, 16)}
	rand.Read(d.Salt) // it never fails
	d.Sum = d.of(password)
	return d
}

func (d *digest) of(password string) []byte {
	return argon2.IDKey([]byte(password), d.Salt, d.Passes, d.Memory, 1, 32)
}

// matches takes the same time whether or not the password is right.
func (d *digest) matches(password string) bool {
	return len(password) <= maxPassword && subtle.ConstantTimeCompare(d.of(password), d.Sum) == 1
}

// valid refuses a digest from a file whose costs would stop the device.
func (d *digest) valid() error {
	if d.Memory < 8 || d.Memory > 1<<20 || d.Passes < 1 || d.Passes > 100 || len(d.Salt) < 8 || len(d.Sum) != 32 {
		return fmt.Errorf("a password is malformed")
	}
	return nil
}
