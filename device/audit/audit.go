package audit

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/owner"
)

// Options say where to look. Fields that are empty are left out.
type Options struct {
	// Listeners are those of the firmware, by its settings.
	Listeners []Listener

	// Users is the file of package owner.
	Users string

	// Private are files and directories that nobody but the firmware's user may read: settings,
	// users, keys. A directory stands for all that is below it.
	Private []string

	// Certificates are files with certificates in PEM, such as those of package cert: the first of
	// each is looked at. A file that does not exist is left out.
	Certificates []string

	// UpdateKeys are the public keys of package update, and Slots its directory. With NoUpdates the
	// device takes none on purpose.
	UpdateKeys []string
	Slots      string
	NoUpdates  bool

	// Proc is where the kernel tells of open ports; /proc when empty, "-" to leave them out.
	Proc string

	now func() time.Time
}

// A Listener is a port that the firmware opens.
type Listener struct {
	URL       string `json:"url"` // such as "https://0.0.0.0:443"
	Redirects bool   `json:"redirects,omitempty"`
}

// A Level is how bad a Finding is.
type Level string

const (
	Unsafe  Level = "unsafe"  // must not be so
	Warning Level = "warning" // may be so for a reason
	Note    Level = "note"    // is worth knowing
)

// A Finding is one thing that was found.
type Finding struct {
	Level Level  `json:"level"`
	What  string `json:"what"`
	Why   string `json:"why"`
	Mend  string `json:"mend"` // what to do
}

// A Report is what Run has found: the facts, and the Findings, the worst first.
type Report struct {
	Time         time.Time            `json:"time"`
	Versions     []string             `json:"versions"`
	Listeners    []Listener           `json:"listeners"`
	Ports        []Port               `json:"ports"` // of the machine
	Users        []User               `json:"users"`
	Tokens       []owner.TokenSummary `json:"tokens"`
	Certificates []Certificate        `json:"certificates"`
	UpdateKeys   []string             `json:"updateKeys"`
	Findings     []Finding            `json:"findings"`
}

// A User may log in.
type User struct {
	Name string `json:"name"`
	Role string `json:"role"`
}

// Run looks at everything.
func Run(o Options) *Report {
	if o.Proc == "" {
		o.Proc = "/proc"
	}
	if o.now == nil {
		o.now = time.Now
	}
	r := &Report{Time: o.now().UTC().Truncate(time.Second), Listeners: o.Listeners, UpdateKeys: o.UpdateKeys}
	r.versions()
	r.listeners(o)
	r.ports(o)
	r.people(o)
	r.files(o)
	r.certificates(o)
	r.updates(o)
	order := map[Level]int{Unsafe: 0, Warning: 1, Note: 2}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(order[a.Level], order[b.Level]) })
	return r
}

func (r *Report) found(level Level, what, why, mend string) {
	r.Findings = append(r.Findings, Finding{level, what, why, mend})
}

// Unsafe reports whether there is an unsafe Finding.
func (r *Report) Unsafe() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level == Unsafe })
}

// Print writes the Report for a person.
func (r *Report) Print(w io.Writer) {
	section := func(name string, n int) {
		if n > 0 {
			fmt.Fprintf(w, "%s\n", name)
		}
	}
	section("versions", len(r.Versions))
	for _, v := range r.Versions {
		fmt.Fprintf(w, "  %s\n", v)
	}
	section("ports of this program", len(r.Listeners))
	for _, l := range r.Listeners {
		fmt.Fprintf(w, "  %s%s\n", l.URL, map[bool]string{true: " (redirects)"}[l.Redirects])
	}
	section("open ports of the machine", len(r.Ports))
	for _, p := range r.Ports {
		fmt.Fprintf(w, "  %s %s %s\n", p.Network, p.Addr, p.Program)
	}
	section("users", len(r.Users))
	for _, u := range r.Users {
		fmt.Fprintf(w, "  %s, %s\n", u.Name, u.Role)
	}
	section("tokens", len(r.Tokens))
	for _, t := range r.Tokens {
		ends := "never ends"
		if !t.Ends.IsZero() {
			ends = "ends " + t.Ends.Format(time.DateOnly)
		}
		scopes := "all scopes"
		if len(t.Scopes) > 0 {
			scopes = fmt.Sprint(t.Scopes)
		}
		fmt.Fprintf(w, "  %s of %s, %s, %s, made %s, %s\n", t.Name, t.By, t.Role, scopes, t.Made.Format(time.DateOnly), ends)
	}
	section("certificates", len(r.Certificates))
	for _, c := range r.Certificates {
		fmt.Fprintf(w, "  %s: %v, until %s\n", c.File, c.Names, c.Ends.Format(time.DateOnly))
	}
	section("keys of updates", len(r.UpdateKeys))
	for _, k := range r.UpdateKeys {
		fmt.Fprintf(w, "  %s\n", k)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s: %s\n  why: %s\n  do: %s\n", f.Level, f.What, f.Why, f.Mend)
	}
	if !r.Unsafe() {
		fmt.Fprintln(w, "nothing unsafe was found")
	}
}

// The least costs of a digest: below them a stolen file gives the passwords away.
const (
	leastMemory = 4 << 10 // KiB
	leastPasses = 1
)

// people looks at users and tokens.
func (r *Report) people(o Options) {
	if o.Users == "" {
		return
	}
	s, err := owner.Inspect(o.Users)
	if err != nil && !isMissing(err) {
		r.found(Unsafe, fmt.Sprintf("%s cannot be read: %v", o.Users, err), "the firmware does not start with a damaged file of users, and this audit sees none of them", "restore the file, or reset the device")
		return
	}
	now, admins := r.Time, 0
	for _, u := range s.Users {
		r.Users = append(r.Users, User{u.Name, u.Role.String()})
		if u.Role == device.Admin {
			admins++
		}
		if u.Memory < leastMemory || u.Passes < leastPasses {
			r.found(Warning, fmt.Sprintf("the password of %s has a cheap digest (%d KiB, %d passes)", u.Name, u.Memory, u.Passes),
				"who steals the file can guess many passwords a second", "raise owner.Options.Memory, and have the user set the password again")
		}
	}
	if admins == 0 {
		level := Warning
		if slices.ContainsFunc(o.Listeners, func(l Listener) bool { return !isLoopback(l.URL) }) {
			level = Unsafe
		}
		r.found(level, "the device has no owner", "the person who learns the code of the setup becomes the owner", "set it up now")
	}
	r.Tokens = s.Tokens
	for _, t := range s.Tokens {
		name := fmt.Sprintf("the token %s of %s", t.Name, t.By)
		switch {
		case !t.Ends.IsZero() && now.After(t.Ends):
			r.found(Note, name+" has ended", "it is not valid any more", "nothing: it is removed when the next one is made")
			continue
		case t.Role == device.Admin && len(t.Scopes) == 0 && t.Ends.IsZero():
			r.found(Unsafe, name+" can do everything, for ever", "it is as good as a password that nobody has to enter, and never changes", "replace it by one with scopes and an end")
			continue
		case t.Ends.IsZero():
			r.found(Warning, name+" never ends", "a key that was copied once stays good", "replace it by one with an end")
		case t.Role == device.Admin && len(t.Scopes) == 0:
			r.found(Warning, name+" can do everything", "it needs no more than what its program does", "replace it by one with scopes")
		}
		if now.Sub(t.Made) > 365*24*time.Hour {
			r.found(Warning, name+fmt.Sprintf(" is %d days old", int(now.Sub(t.Made).Hours()/24)), "the longer a key is in use, the more copies there are", "replace it")
		}
	}
}
