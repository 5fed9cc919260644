package device

import "strconv"

// A Role is a set of rights. Each role has the rights of those before it.
type Role uint8

const (
	Nobody Role = iota // nothing
	Viewer             // read the settings that are not secret
	User               // change settings, and call actions, that ask for no higher role
	Admin              // everything
)

var roles = [...]string{"nobody", "viewer", "user", "admin"}

func (r Role) String() string {
	if int(r) < len(roles) {
		return roles[r]
	}
	return "Role(" + strconv.Itoa(int(r)) + ")"
}

// ParseRole returns the role of a name: "nobody", "viewer", "user" or "admin".
func ParseRole(name string) (Role, bool) {
	for r, n := range roles {
		if n == name {
			return Role(r), true
		}
	}
	return Nobody, false
}

// Who is a user of the settings: a person who has logged in, the holder of a token, or the program
// itself.
type Who struct {
	Name string // "" is a caller that is not known
	Role Role
	Via  string // the way: an address, "program"
}

// Program is the program itself. It may also set what is read-only to others, and so may a part of
// it that has a name of its own and the same Via.
var Program = Who{Name: "program", Role: Admin, Via: "program"}
