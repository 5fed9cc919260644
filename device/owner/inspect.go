package owner

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/internal/disk"
)

// A Summary is what Inspect finds in a file: no digest and no key.
type Summary struct {
	Users    []UserSummary  `json:"users"`
	Tokens   []TokenSummary `json:"tokens"`
	Sessions int            `json:"sessions"`
}

// A UserSummary is a user, and the costs of the password's digest.
type UserSummary struct {
	Name   string      `json:"name"`
	Role   device.Role `json:"-"`
	Memory uint32      `json:"kib"`
	Passes uint32      `json:"passes"`
}

// A TokenSummary is a token. Its Role is what it can do now: no more than its maker.
type TokenSummary struct {
	ID     string      `json:"id"`
	Name   string      `json:"name"`
	By     string      `json:"by"`
	Role   device.Role `json:"-"`
	Scopes []string    `json:"scopes,omitempty"` // none is all
	Made   time.Time   `json:"made"`
	Ends   time.Time   `json:"ends,omitzero"` // zero is never
}

// Inspect reads Options.File of an Owner, which may be at work. The error wraps fs.ErrNotExist if
// there is no file yet.
func Inspect(file string) (Summary, error) {
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(file + ".old"); err != nil {
			return Summary{}, err
		}
	}
	s, _, err := load(disk.OS, file)
	if err != nil {
		return Summary{}, err
	}
	sum := Summary{Sessions: len(s.Sessions)}
	for _, u := range s.Users {
		sum.Users = append(sum.Users, UserSummary{u.Name, s.role(u.Name), u.Password.Memory, u.Password.Passes})
	}
	for i, t := range s.Tokens {
		sum.Tokens = append(sum.Tokens, TokenSummary{t.ID, t.Name, t.By, s.roleOf(&s.Tokens[i]), t.Scopes, t.Made, t.Ends})
	}
	return sum, nil
}
