package dns

import (
	"errors"
	"net/netip"
)

// The kinds of failure: an *Error wraps one of them.
var (
	ErrNoName   = errors.New("no such name")                         // NXDOMAIN: it does not exist
	ErrNoData   = errors.New("no such records")                      // the name exists, and has none of the kind
	ErrServer   = errors.New("the name servers have failed")         // SERVFAIL, REFUSED and their like, or nonsense
	ErrTimeout  = errors.New("no name server answered in time")      //
	ErrBadName  = errors.New("not a host name")                      // nothing was asked
	ErrBusy     = errors.New("too many questions are under way")     // Options.MaxQueries
	ErrShutdown = errors.New("the manager takes no new descriptors") // it shuts down
)

// An Error says why a name has not been resolved.
type Error struct {
	Name   string         // as it was asked for
	Server netip.AddrPort // that said so last; not valid if none did
	Err    error          // one of the Err variables, or wraps one
}

func (e *Error) Error() string {
	s := "dns: " + e.Name + ": " + e.Err.Error()
	if e.Server.IsValid() {
		s += " (" + e.Server.String() + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }
