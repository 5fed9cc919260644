package device

import (
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/device/internal/rest"
)

// An Action is something that a device does on request: reboot, identify itself, forget all
// settings.
type Action struct {
	Name string `json:"name"` // such as "reboot": letters, digits, "-" and "_"
	Help string `json:"help,omitempty"`

	// Confirm, unless "", is a question to the user. A call without "confirm": true is refused with
	// it.
	Confirm string `json:"confirm,omitempty"`

	// Role is the least role that may call it; Admin when Nobody.
	Role Role `json:"-"`

	// Run is called on the loop of the device's first manager. It must not take long; the error
	// goes to the caller and to the audit.
	Run func(who Who) error `json:"-"`
}

// Action declares an action. It panics if the name is malformed or taken, as it is called with
// constants.
func (d *core) Action(a Action) {
	if a.Name == "" || a.Run == nil || !wellNamed(a.Name) || d.action(a.Name) != nil {
		panic(fmt.Sprintf("device: action %q cannot be declared", a.Name))
	}
	if a.Role == Nobody {
		a.Role = Admin
	}
	d.actions = append(d.actions, &a)
}

func wellNamed(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return true
}

func (d *core) action(name string) *Action {
	for _, a := range d.actions {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// These are the errors of a call that is not made.
var (
	errNoAction  = rest.Coded("no-action", "there is no such action")
	errForbidden = rest.Coded("role", "this is for a higher role")
)

// errConfirm is the error of a call that has to be confirmed.
type errConfirm struct{ question string }

func (e errConfirm) Error() string { return e.question }

// Actions returns the actions that were declared. Safe for concurrent use while the loop runs.
func (d *core) Actions() []Action {
	list := make([]Action, len(d.actions))
	for i, a := range d.actions {
		list[i] = *a
	}
	return list
}

// Call calls an action in who's name, for other protocols that bring calls. done, unless nil, is
// called on the loop with the result. If Call itself returns an error, the action was not called:
// there is none of that name, it is for a higher role, or it has a question and confirmed is false.
// Safe for concurrent use while the loop runs.
func (d *core) Call(who Who, name string, confirmed bool, done func(error)) error {
	if done == nil {
		done = func(error) {}
	}
	return d.call(who, name, confirmed, done)
}

// call calls an action in who's name, and calls done on the loop with the result. If call itself
// returns an error, the action was not called.
func (d *core) call(who Who, name string, confirmed bool, done func(error)) error {
	a := d.action(name)
	switch {
	case a == nil:
		return errNoAction
	case who.Role < a.Role:
		return errForbidden
	case a.Confirm != "" && !confirmed:
		return errConfirm{a.Confirm}
	}
	return d.m.Complete(func() {
		err := rest.Coded("action", "the action broke off")
		d.m.Try(func() { err = a.Run(who) })
		said := "done"
		if err != nil {
			said = err.Error()
		}
		d.record(Entry{Time: time.Now(), Who: who.Name, Via: who.Via, What: "action " + name, To: said})
		done(err)
	})
}
