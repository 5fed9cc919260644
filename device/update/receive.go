package update

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/seed4930a636/mangusta/device/internal/rest"
)

// ErrNoUpdate is returned for bytes of an update that was not begun, or is over.
var ErrNoUpdate = rest.Coded("no-update", "update: none is being received")

// ErrTrial is returned while the program that runs is on trial: the other slot is what it would
// fall back on.
var ErrTrial = rest.Coded("trial", "update: the version that runs has to be confirmed first")

// ErrBusy is returned by Write and Abort while another call is at work on the disk.
var ErrBusy = rest.Coded("busy", "update: another call is at work")

// An incoming is an update that is being received.
type incoming struct {
	sig    *signature
	size   int64
	offset int64
	part   Part
	hash   *hasher
	pulled bool // by a Puller
}

// Begin begins to receive the program that has this signature, a minisign file, and this size in
// bytes; or goes on with it, if a part of it has been received before, in this run or an earlier
// one. It returns how many bytes are there already: Write takes those after them. An update that
// was begun before is dropped, if it is another. With force it may be older than what runs.
func (u *Updater) Begin(sig []byte, size int64, force bool) (offset int64, err error) {
	in, err := u.begin(sig, size, force, false)
	if err != nil {
		return 0, err
	}
	return in.offset, nil
}

func (u *Updater) begin(sig []byte, size int64, force, pulled bool) (*incoming, error) {
	u.work.Lock()
	defer u.work.Unlock()
	s, err := readSignature(sig, u.dir.keys)
	switch {
	case err != nil:
		return nil, err
	case s.Board != u.opts.Board:
		return nil, fmt.Errorf("%w: %s, not %s", ErrBoard, s.Board, u.opts.Board)
	case !force && !newer(s.Version, u.status.Running.Version):
		return nil, fmt.Errorf("%w: %s, not %s", ErrOlder, s.Version, u.status.Running.Version)
	case size <= 0 || size > u.opts.MaxSize:
		return nil, fmt.Errorf("%w: %d bytes, of %d at most", ErrSize, size, u.opts.MaxSize)
	case u.status.State == OnTrial:
		return nil, ErrTrial
	}
	u.close()
	in := &incoming{sig: s, size: size, hash: newHasher(), pulled: pulled}
	if u.status.State == Ready {
		if err := u.endTrial(); err != nil { // of the update that this one replaces
			return nil, fmt.Errorf("update: %w", err)
		}
		u.set(func(s *Status) { s.State = Settled })
	}
	slot := other(u.status.Slot)
	if in.part, in.offset, err = u.slots.Receive(slot, s.text, size, in.hash); err != nil {
		in.hash = newHasher()
		if in.part, in.offset, err = u.slots.Receive(slot, s.text, size, nil); err != nil {
			return nil, fmt.Errorf("update: %w", err)
		}
	}
	u.in, u.stepped, u.touched = in, in.offset, time.Now()
	u.set(func(now *Status) { now.Next, now.Offset, now.Size = &s.Image, in.offset, size })
	return in, nil
}

// Write takes the next bytes of the update. An error of the disk ends the update; Begin goes on
// with it, or, if the disk is full, from the beginning.
func (u *Updater) Write(p []byte) (int, error) {
	if !u.work.TryLock() {
		return 0, ErrBusy
	}
	defer u.work.Unlock()
	if u.in == nil {
		return 0, ErrNoUpdate
	}
	return u.write(p)
}

// writeTo is Write for the bytes of a transfer from offset on.
func (u *Updater) writeTo(in *incoming, offset int64, p []byte) error {
	if !u.work.TryLock() {
		return ErrBusy
	}
	defer u.work.Unlock()
	if u.in != in || in.offset != offset {
		return errTaken
	}
	_, err := u.write(p)
	return err
}

// write is called with work held.
func (u *Updater) write(p []byte) (int, error) {
	in := u.in
	if int64(len(p)) > in.size-in.offset {
		u.drop()
		return 0, fmt.Errorf("%w: there are more bytes than were announced", ErrSize)
	}
	n, err := in.part.Write(p)
	if err != nil {
		if full(err) { // else no setting can be saved any more
			u.drop()
		}
		u.close()
		return n, fmt.Errorf("update: %w", err)
	}
	in.hash.Write(p) // a digest takes everything
	in.offset += int64(n)
	u.touched = time.Now()
	step := in.offset == in.size || in.offset-u.stepped >= in.size/100
	if step {
		u.stepped = in.offset
	}
	u.change(step, func(s *Status) { s.Offset = in.offset })
	return n, nil
}

// Finish ends an update all of whose bytes have been written: it checks the signature, syncs the
// disk, which may take seconds, and has the next Boot try the program. An update that is not what
// was signed is dropped, with ErrSignature. An incomplete one gets io.ErrUnexpectedEOF, and goes
// on.
func (u *Updater) Finish() (Image, error) {
	u.work.Lock()
	defer u.work.Unlock()
	return u.complete(u.in)
}

// finish is Finish for a transfer.
func (u *Updater) finish(in *incoming) (Image, error) {
	u.work.Lock()
	defer u.work.Unlock()
	if u.in != in {
		return Image{}, errTaken
	}
	return u.complete(in)
}

// complete is called with work held.
func (u *Updater) complete(in *incoming) (Image, error) {
	switch {
	case in == nil:
		return Image{}, ErrNoUpdate
	case in.offset < in.size:
		return Image{}, io.ErrUnexpectedEOF
	case !in.hash.verify(in.sig):
		u.drop()
		return Image{}, ErrSignature
	}
	slot := other(u.status.Slot)
	err := in.part.Install()
	u.close()
	if err == nil {
		err = u.dir.setTrial(trial{Slot: slot, Version: in.sig.Version})
	}
	if err != nil {
		return Image{}, fmt.Errorf("update: %w", err)
	}
	u.opts.Log.Info("an update is ready", "version", in.sig.Version, "slot", slot)
	u.set(func(s *Status) { s.State = Ready })
	return in.sig.Image, nil
}

// Abort drops the update that is being received, or the part of one that an earlier run of the program
// has left. It returns ErrBusy or ErrNoUpdate.
func (u *Updater) Abort() error {
	if !u.work.TryLock() {
		return ErrBusy
	}
	defer u.work.Unlock()
	received := u.in != nil
	u.close()
	if !u.remove() && !received {
		return ErrNoUpdate
	}
	u.set(forget)
	return nil
}

// receiving returns the update that is being received, if it has offset bytes; nil otherwise.
func (u *Updater) receiving(offset int64) *incoming {
	if !u.work.TryLock() {
		return nil
	}
	defer u.work.Unlock()
	if u.in == nil || u.in.offset != offset {
		return nil
	}
	return u.in
}

// close ends the receiving; bytes that were received stay.
func (u *Updater) close() {
	if u.in != nil {
		u.in.part.Close()
		u.in = nil
	}
}

// drop ends the receiving and removes what was received.
func (u *Updater) drop() {
	u.close()
	u.remove()
	u.set(forget)
}

// remove removes the part of an update that is on the disk, and reports whether there was one.
func (u *Updater) remove() bool {
	was, err := u.slots.Drop()
	if err != nil {
		u.opts.Log.Error("a part of an update remains", "why", err)
	}
	return was
}

// forget is a change of a status: nothing is received or ready.
func forget(s *Status) { s.Next, s.Offset, s.Size = nil, 0, 0 }

// full reports whether a disk has no room left.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
