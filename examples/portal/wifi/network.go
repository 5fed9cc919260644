// Package wifi finds and joins wireless networks: the interface Network, one that plays it (Fake), and
// wpa_supplicant by its control socket (Supplicant).
package wifi

import (
	"cmp"
	"errors"
	"slices"
)

// A Network scans and joins. Its functions belong to the loop; done is called there, once, later.
type Network interface {
	Scan(done func([]AccessPoint, error))
	// Join joins the network of to, and leaves the present one. After an error the device is where
	// it was.
	Join(to AccessPoint, passphrase string, done func(error))
}

// An AccessPoint is a network, as the strongest of its access points is received. Where several
// networks share an SSID, the page offers only the best protected one: anybody can announce an open
// twin of the owner's network, and a device that joined it would tell its owner's data to a stranger.
type AccessPoint struct {
	SSID     string // 1 to 32 bytes of any kind: the owner of a network can call it anything
	Signal   int    // in dBm; the nearer to 0, the better
	Security Security
	Hidden   bool // it does not announce itself, and has to be asked for by its name
}

// Security is how a network lets in.
type Security uint8

const (
	Open        Security = iota
	Personal             // WPA2 or WPA, with a passphrase
	SAE                  // WPA3, with a passphrase
	Unsupported          // WEP, user names, and what is not known here
)

var (
	ErrPassphrase  = errors.New("wifi: the passphrase is wrong")
	ErrNotFound    = errors.New("wifi: the network is not within reach")
	ErrBusy        = errors.New("wifi: a network is being joined already")
	ErrTimeout     = errors.New("wifi: the network did not let us in, in time")
	ErrUnsupported = errors.New("wifi: this kind of network is not supported")
	ErrTwin        = errors.New("wifi: the network has a passphrase, and an open one of the same name may be another's")
)

// Check returns why the network cannot be joined with the passphrase: it is malformed. A passphrase
// has 8 to 63 printable characters of ASCII, or is the key itself, as 64 hexadecimal digits (IEEE
// 802.11-2020, J.4.1). An open network takes none: an owner who types one means a network that is
// protected, and the open one may be its twin.
func (a AccessPoint) Check(passphrase string) error {
	switch {
	case len(a.SSID) == 0 || len(a.SSID) > 32:
		return errors.New("wifi: the name of a network has 1 to 32 bytes")
	case a.Security == Unsupported:
		return ErrUnsupported
	case a.Security == Open && passphrase != "":
		return errors.New("wifi: the network is open, and takes no passphrase: leave it empty if this is the network you mean")
	case a.Security == Open:
		return nil
	case a.Security == Personal && isKey(passphrase):
		return nil
	case len(passphrase) < 8 || len(passphrase) > 63:
		return errors.New("wifi: a passphrase has 8 to 63 characters")
	}
	for _, c := range []byte(passphrase) {
		if c < ' ' || c > '~' {
			return errors.New("wifi: a passphrase has letters, digits, spaces and punctuation of ASCII only")
		}
	}
	return nil
}

// isKey reports whether s is a key rather than a passphrase.
func isKey(s string) bool {
	if len(s) != 64 {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}

// mostPoints bounds what a scan gives, and what a page shows: anybody can announce networks.
const mostPoints = 64

// rank orders protections. A network that we cannot join because of its protection is above an open
// one of the same SSID: the owner means the protected one, and has to be told that it is not supported.
func (s Security) rank() int {
	switch s {
	case Open:
		return 0
	case Unsupported:
		return 1
	case Personal:
		return 2
	}
	return 3 // SAE: a twin with less lets its owner guess the passphrase offline
}

// best returns one access point for each SSID: the strongest of those with the best protection. The
// strongest network comes first.
func best(all []AccessPoint) []AccessPoint {
	of := map[string]AccessPoint{}
	for _, a := range all {
		b, ok := of[a.SSID]
		if r := cmp.Compare(a.Security.rank(), b.Security.rank()); !ok || r > 0 || r == 0 && a.Signal > b.Signal {
			of[a.SSID] = a
		}
	}
	points := make([]AccessPoint, 0, len(of)) // not nil: no network is a result
	for _, a := range of {
		points = append(points, a)
	}
	slices.SortFunc(points, func(a, b AccessPoint) int {
		return cmp.Or(cmp.Compare(b.Signal, a.Signal), cmp.Compare(a.SSID, b.SSID))
	})
	return points[:min(len(points), mostPoints)]
}

// memory is how the protected networks that were seen are protected, by SSID. It outlives a scan: a
// reply of wpa_supplicant has room for some 50 access points, and someone who announces many, or jams
// the owner's, could have a scan find the open twin alone.
type memory map[string]Security

// mostRemembered bounds a memory. When it is full, new SSIDs are not remembered.
const mostRemembered = 256

// apply remembers the points that are protected. Those that are open, and were protected before,
// become what they were: a network is not joined while only its open twin is within reach.
func (m memory) apply(points []AccessPoint) {
	for i := range points {
		a := &points[i]
		was, known := m[a.SSID]
		switch {
		case known && a.Security == Open:
			a.Security = was
		case a.Security != Open && (known || len(m) < mostRemembered):
			m[a.SSID] = a.Security
		}
	}
}
