package update

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"aead.dev/minisign"

	"github.com/seed4930a636/mangusta/device/internal/disk"
)

// Options are the settings of an Updater.
type Options struct {
	// Dir is the directory of the slots: see the comment of package update. With Slots it has the
	// files "trial" and "failed" alone.
	Dir string

	// Slots, unless nil, are in place of the files in Dir, such as Partitions.
	Slots Slots

	// Reboot, unless nil, restarts the device: the other slot is started by the boot loader, and not
	// executed. It returns only if that fails. Thus if it runs a command that merely asks for the
	// restart, it has to wait for it then.
	Reboot func() error

	// Keys are the public keys, in minisign's form ("RWQ…"), whose signatures are trusted.
	Keys []string

	// Board is the name of the board. An update has to name it too.
	Board string

	// MaxSize is the size of the largest program, in bytes; 64 MiB when 0.
	MaxSize int64

	// Confirm is how long a program on trial has to call Confirm; 5 minutes when 0. After that the
	// process exits with status 3, so that its supervisor restarts it; with Reboot the device restarts.
	Confirm time.Duration

	// Progress, unless nil, is called when the Status has changed, some hundred times in an update.
	// It is called on the goroutine that calls the Updater, that of a Puller besides, and must not
	// call it itself but for Status.
	Progress func(Status)

	// Exec, unless nil, is called to go on as the program at path in place of this process, and
	// returns only if that fails: for a program that has to be started in a special way, by a loader
	// or an emulator. Nil is execve(2) with the arguments and the environment of this process.
	Exec func(path string) error

	// Log gets what happened; slog.Default when nil.
	Log *slog.Logger

	// These are replaced by tests.
	disk disk.FS
	self func() (string, error)
	exit func(code int)
}

// A State is the state of a device's slots.
type State string

const (
	Settled    State = "settled"     // the program that runs is the one that is started
	OnTrial    State = "on trial"    // the program that runs is to be confirmed
	RolledBack State = "rolled back" // a program was tried and not confirmed; the one before runs
	Ready      State = "ready"       // an update is complete and is tried at the next Boot
)

// Status is what an Updater knows.
type Status struct {
	State   State  `json:"state"`
	Slot    string `json:"slot"` // that runs
	Running Image  `json:"running"`
	Failed  string `json:"failed,omitempty"` // the last version that was rolled back, until another one is confirmed
	Next    *Image `json:"next,omitempty"`   // what is being received, or is ready
	Offset  int64  `json:"offset"`           // bytes received
	Size    int64  `json:"size"`             // bytes that Next has in all; 0 when nothing is received
	Pull    *Pull  `json:"pull,omitempty"`   // of a Puller; nil without one
}

// An Updater receives updates. Its methods are safe for concurrent use; all but Status, Write and
// Abort may take as long as the disk does, and are not for a loop.
type Updater struct {
	opts  Options
	dir   dir
	slots Slots // &dir by default

	// work is held by the call that is at it; it may take as long as the disk. A caller on a loop
	// does not wait for it.
	work     sync.Mutex
	deadline *time.Timer // of Confirm
	in       *incoming
	stepped  int64     // Offset at the last Progress
	touched  time.Time // when in was begun or written to

	mu     sync.Mutex
	status Status // changed with work and mu held
}

// Boot is called first in main. It decides which slot runs: if it is the other one, Boot executes
// that in place of this process, with the same arguments, or restarts the device, and does not
// return. A program on trial has Options.Confirm to call Confirm.
//
// It returns an error if this program is in no slot, such as during development, or if the slots
// cannot be used. The program can go on without updates.
func Boot(o Options) (*Updater, error) {
	u := &Updater{opts: o}
	if err := u.fill(); err != nil {
		return nil, err
	}
	slot, err := u.slots.Running()
	if err != nil {
		return nil, fmt.Errorf("update: %w", err)
	}
	u.status.Slot = slot
	if u.status.Running, err = check(u.slots, slot, u.dir.keys); err != nil {
		// The program runs all the same. Its version is unknown, so no update can be compared with
		// it.
		u.opts.Log.Error("the program that runs is not the one that was signed", "why", err)
	}
	u.status.Failed = u.dir.failed()
	return u, u.choose()
}

func (u *Updater) fill() error {
	o := &u.opts
	executes := o.Exec != nil
	if o.disk == nil {
		o.disk = disk.OS
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.MaxSize == 0 {
		o.MaxSize = 64 << 20
	}
	if o.Confirm == 0 {
		o.Confirm = 5 * time.Minute
	}
	if o.self == nil {
		o.self = os.Executable
	}
	if o.Exec == nil {
		o.Exec = func(path string) error { return syscall.Exec(path, os.Args, os.Environ()) }
	}
	if o.exit == nil {
		o.exit = os.Exit
	}
	u.dir = dir{fs: o.disk, path: o.Dir, self: o.self}
	if u.slots = o.Slots; u.slots == nil {
		u.slots = &u.dir
	}
	for _, text := range o.Keys {
		var k minisign.PublicKey
		if err := k.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("update: the key %q: %w", text, err)
		}
		u.dir.keys = append(u.dir.keys, k)
	}
	if len(o.Keys) == 0 || o.Board == "" {
		return errors.New("update: Options need Keys and a Board")
	}
	if o.Slots != nil && !executes && o.Reboot == nil {
		return errors.New("update: Options with Slots need Reboot or Exec")
	}
	return nil
}

// choose compares this process with what the directory says.
func (u *Updater) choose() error {
	current, err := u.slots.Current()
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	t, err := u.dir.trial()
	if err != nil {
		return err
	}
	self := u.status.Slot
	u.set(func(s *Status) { s.State = Settled })
	if t != nil && t.Slot == current { // the power was cut in Confirm, after the link was changed
		if err := u.endTrial(); err != nil {
			return err
		}
		t = nil
	}
	switch {
	case t != nil && t.Slot == self:
		return u.beginTrial(t)
	case self != current && u.opts.Reboot != nil:
		// The boot loader knows why: perhaps current does not start any more.
		u.opts.Log.Error("this slot runs, and another one should", "slot", self, "should", current)
		return nil
	case self != current:
		return u.start(current)
	case t == nil:
		return nil
	case t.Begun:
		return u.rollBack(t, errors.New("it was not confirmed"))
	}
	err = u.try(t)
	return u.rollBack(t, err) // a program that was started does not come back here
}

// beginTrial is for the program that is on trial.
func (u *Updater) beginTrial(t *trial) error {
	u.set(func(s *Status) { s.State = OnTrial })
	reboots := u.opts.Reboot != nil
	if reboots && t.Entered { // its supervisor has started it again
		return u.goBack(t, errors.New("it has ended without being confirmed"))
	}
	if !t.Begun || reboots { // not begun: the user has started it by hand, or the power was cut in try
		t.Begun, t.Entered = true, reboots
		if err := u.dir.setTrial(*t); err != nil && reboots {
			return u.goBack(t, err) // else a program that crashes would be started for ever
		} else if err != nil {
			return err
		}
	}
	u.opts.Log.Info("this version is on trial", "version", t.Version, "for", u.opts.Confirm)
	u.deadline = time.AfterFunc(u.opts.Confirm, func() {
		if u.Status().State != OnTrial { // it was confirmed at this moment
			return
		}
		u.opts.Log.Error("this version was not confirmed in time")
		if !reboots {
			u.opts.exit(3)
		} else if err := u.goBack(t, errors.New("it was not confirmed in time")); err != nil {
			u.opts.Log.Error("the device is not restarted", "why", err)
			u.opts.exit(3) // and the next start of this program tries it once more
		}
	})
	return nil
}

// goBack restarts the device, for the program before the one on trial, which runs. It returns only
// if that fails.
func (u *Updater) goBack(t *trial, why error) error {
	u.opts.Log.Error("an update has failed, the device restarts", "version", t.Version, "why", why)
	var err error
	if u.work.TryLock() { // else the disk hangs, or Confirm is at it after all
		err = u.slots.Try("") // a boot loader may have more than one try left
		u.work.Unlock()
	}
	return errors.Join(why, err, u.opts.Reboot())
}

// try starts the slot of a trial.
func (u *Updater) try(t *trial) error {
	if _, err := check(u.slots, t.Slot, u.dir.keys); err != nil {
		return err
	}
	if err := u.prepare(t); err != nil {
		return err
	}
	return u.start(t.Slot)
}

// prepare has the slot of a trial, which was checked, started next.
func (u *Updater) prepare(t *trial) error {
	// If the power is cut after this, the slot is started, and notes itself that the trial has begun.
	if err := u.slots.Try(t.Slot); err != nil {
		return err
	}
	// If this cannot be written, a program that crashes would be started for ever.
	t.Begun = true
	return u.dir.setTrial(*t)
}

// start goes on in slot. It returns only if that fails.
func (u *Updater) start(slot string) error {
	if u.opts.Reboot != nil {
		return errors.Join(errors.New("the device was not restarted"), u.opts.Reboot())
	}
	return u.opts.Exec(u.slots.Path(slot))
}

func (u *Updater) rollBack(t *trial, why error) error {
	u.opts.Log.Error("an update has failed, the version before it goes on", "version", t.Version, "why", why)
	u.set(func(s *Status) {
		s.State, s.Failed = RolledBack, t.Version
		s.Next, s.Offset, s.Size = nil, 0, 0
	})
	if err := u.dir.setFailed(t.Version); err != nil { // going back is what matters
		u.opts.Log.Warn("it is not noted which version has failed", "why", err)
	}
	return u.endTrial()
}

// endTrial forgets the trial. The boot loader forgets it first: it must not start a slot about which
// nothing is known.
func (u *Updater) endTrial() error {
	if err := u.slots.Try(""); err != nil {
		return err
	}
	return u.dir.endTrial()
}

// Confirm says that the program which is on trial works: it is the one that is started from now on.
// It does nothing when there is no trial.
func (u *Updater) Confirm() error {
	u.work.Lock()
	defer u.work.Unlock()
	if u.status.State != OnTrial {
		return nil
	}
	if err := u.slots.SetCurrent(u.status.Slot); err != nil {
		return fmt.Errorf("update: confirm: %w", err)
	}
	if u.deadline != nil { // the trial could not be noted
		u.deadline.Stop()
	}
	u.set(func(s *Status) { s.State, s.Failed = Settled, "" })
	u.opts.Log.Info("this version is confirmed", "version", u.status.Running.Version)
	if err := u.dir.setFailed(""); err != nil {
		u.opts.Log.Warn("the version that failed before is still noted", "why", err)
	}
	if err := u.endTrial(); err != nil { // the next Boot does it
		u.opts.Log.Warn("the trial is over, but its file remains", "why", err)
	}
	return nil
}

// Start begins the trial of an update that is Ready, from a process that goes on meanwhile, as with
// package handoff. It returns the program to start. If the new process fails, the old one has to
// call Failed; if it works, the new one calls Confirm. A program without such a successor just
// ends: the next Boot begins the trial.
func (u *Updater) Start() (path string, err error) {
	u.work.Lock()
	defer u.work.Unlock()
	t, err := u.dir.trial()
	if err != nil {
		return "", err
	}
	if t == nil || t.Begun || t.Slot == u.status.Slot {
		return "", errors.New("update: nothing is ready")
	}
	if _, err := check(u.slots, t.Slot, u.dir.keys); err != nil {
		return "", errors.Join(err, u.rollBack(t, err))
	}
	if err := u.prepare(t); err != nil {
		return "", fmt.Errorf("update: %w", err)
	}
	return u.slots.Path(t.Slot), nil
}

// Failed ends the trial that Start has begun: the successor has died or never got ready.
func (u *Updater) Failed(why error) error {
	u.work.Lock()
	defer u.work.Unlock()
	t, err := u.dir.trial()
	if t == nil || err != nil {
		return err
	}
	return u.rollBack(t, why)
}

// Status returns what the Updater knows.
func (u *Updater) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status
}

// set changes the status and tells it.
func (u *Updater) set(f func(s *Status)) { u.change(true, f) }

func (u *Updater) change(tell bool, f func(s *Status)) {
	u.mu.Lock()
	f(&u.status)
	now := u.status
	u.mu.Unlock()
	if tell && u.opts.Progress != nil {
		u.opts.Progress(now)
	}
}
