package wifi

import (
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

// A Fake plays a Network, for tests and for work on the page.
type Fake struct {
	M           *mgr.Manager
	Points      []AccessPoint
	Passphrases map[string]string // by SSID, of networks that are not open
	Delay       time.Duration     // of each scan and each attempt to join

	Joined string // the SSID of the network that was joined last
	busy   bool
}

// Scan implements Network.
func (f *Fake) Scan(done func([]AccessPoint, error)) {
	f.M.AfterFunc(f.Delay, func() { done(best(append([]AccessPoint(nil), f.Points...)), nil) })
}

// Join implements Network.
func (f *Fake) Join(to AccessPoint, passphrase string, done func(error)) {
	if f.busy {
		f.M.AfterFunc(0, func() { done(ErrBusy) })
		return
	}
	f.busy = true
	f.M.AfterFunc(f.Delay, func() {
		f.busy = false
		for _, p := range f.Points {
			if p.SSID != to.SSID || (p.Security == Open) != (to.Security == Open) {
				continue
			}
			if p.Security != Open && f.Passphrases[p.SSID] != passphrase {
				done(ErrPassphrase)
				return
			}
			f.Joined = p.SSID
			done(nil)
			return
		}
		done(ErrNotFound)
	})
}
