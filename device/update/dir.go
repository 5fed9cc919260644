package update

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"aead.dev/minisign"

	"github.com/seed4930a636/mangusta/device/internal/disk"
)

// A dir is the directory of an Updater: it has the state, and, by default, the slots.
type dir struct {
	fs   disk.FS
	path string
	keys []minisign.PublicKey
	self func() (string, error) // the program that runs
}

var _ Slots = (*dir)(nil)

// A trial is the content of the file "trial", which is there while a slot is to be confirmed.
type trial struct {
	Slot    string `json:"slot"`
	Version string `json:"version"`
	Begun   bool   `json:"begun"` // the slot was started

	// Entered is noted by the program that is on trial, if only a restart of the device leads back.
	Entered bool `json:"entered,omitempty"`
}

func (d *dir) file(name string) string { return filepath.Join(d.path, name) }

func (d *dir) Running() (string, error) {
	self, err := d.self()
	if err != nil {
		return "", err
	}
	path, err := filepath.Abs(d.path)
	if err != nil {
		return "", err
	}
	slot := filepath.Base(self)
	if filepath.Dir(self) != path || slot != "a" && slot != "b" {
		return "", fmt.Errorf("%s is in no slot of %s", self, path)
	}
	return slot, nil
}

func (d *dir) Path(slot string) string { return d.file(slot) }

func (d *dir) Current() (string, error) {
	target, err := d.fs.Readlink(d.file("current"))
	if err != nil {
		return "", err
	}
	if target != "a" && target != "b" {
		return "", fmt.Errorf("%s leads to %q, and not to a or b", d.file("current"), target)
	}
	return target, nil
}

// trial returns the trial that is under way; nil if there is none. A file that a power cut has
// damaged does not count: the trial was not begun then.
func (d *dir) trial() (*trial, error) {
	text, err := disk.Read(d.fs, d.file("trial"), 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("update: %w", err)
	}
	t := &trial{}
	if json.Unmarshal(text, t) != nil || t.Slot != "a" && t.Slot != "b" {
		return nil, nil
	}
	return t, nil
}

func (d *dir) setTrial(t trial) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return disk.Replace(d.fs, d.file("trial"), text, 0o600)
}

func (d *dir) endTrial() error {
	if err := d.fs.Remove(d.file("trial")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.fs.SyncDir(d.path)
}

// failed returns the version that was tried last and rolled back; "" if there is none, or if the file
// cannot be read.
func (d *dir) failed() string {
	text, err := disk.Read(d.fs, d.file("failed"), 1<<10)
	if err != nil {
		return ""
	}
	var version string
	if json.Unmarshal(text, &version) != nil {
		return ""
	}
	return version
}

// setFailed notes a version for failed; "" removes the note.
func (d *dir) setFailed(version string) error {
	if version == "" {
		if err := d.fs.Remove(d.file("failed")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil // endTrial syncs the directory
	}
	text, err := json.Marshal(version)
	if err != nil {
		return err
	}
	return disk.Replace(d.fs, d.file("failed"), text, 0o644)
}

func (d *dir) SetCurrent(slot string) error {
	next := d.file("current.new")
	if err := d.fs.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.fs.Symlink(slot, next); err != nil {
		return err
	}
	if err := d.fs.Rename(next, d.file("current")); err != nil {
		return err
	}
	// After a power cut there is the link or the trial, so a version that is lost is told.
	return d.fs.SyncDir(d.path)
}

// Try does nothing: the program in current executes the slot that is tried.
func (d *dir) Try(string) error { return nil }

func (d *dir) Open(slot string) (sig []byte, program io.ReadCloser, err error) {
	if sig, err = disk.Read(d.fs, d.file(slot+".minisig"), maxSignature); err != nil {
		return nil, nil, err
	}
	program, err = d.fs.Open(d.file(slot))
	return sig, program, err
}

func (d *dir) Receive(slot string, sig []byte, size int64, seen io.Writer) (Part, int64, error) {
	p := &dirPart{d: d, slot: slot}
	if seen == nil {
		return p, 0, p.restart(sig)
	}
	offset, err := p.resume(sig, size, seen)
	return p, offset, err
}

func (d *dir) Drop() (was bool, err error) {
	for _, name := range []string{"incoming.minisig", "incoming"} {
		e := d.fs.Remove(d.file(name))
		if e == nil {
			was = true
		} else if !errors.Is(e, fs.ErrNotExist) {
			err = e
		}
	}
	return was, err
}

// A dirPart is the file "incoming".
type dirPart struct {
	disk.File
	d    *dir
	slot string
}

// resume opens the part of the same update that is there.
func (p *dirPart) resume(sig []byte, size int64, seen io.Writer) (int64, error) {
	text, err := disk.Read(p.d.fs, p.d.file("incoming.minisig"), maxSignature)
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(text, sig) {
		return 0, errors.New("another update")
	}
	f, err := p.d.fs.Open(p.d.file("incoming"))
	if err != nil {
		return 0, err
	}
	offset, err := io.Copy(seen, io.LimitReader(f, size+1))
	f.Close()
	if err != nil {
		return 0, err
	}
	if offset > size {
		return 0, errors.New("too long")
	}
	file, length, err := p.d.fs.Append(p.d.file("incoming"))
	if err != nil {
		return 0, err
	}
	if length != offset {
		file.Close()
		return 0, errors.New("it has changed meanwhile")
	}
	p.File = file
	return offset, nil
}

// restart makes an empty file. A power cut may leave bytes of another update with this signature:
// Finish finds out.
func (p *dirPart) restart(sig []byte) error {
	file, err := p.d.fs.Create(p.d.file("incoming"), 0o755)
	if err != nil {
		return err
	}
	if err := disk.Replace(p.d.fs, p.d.file("incoming.minisig"), sig, 0o644); err != nil {
		file.Close()
		return err
	}
	p.File = file
	return nil
}

// Install moves the file to its slot. Until the directory is synced the slot may hold a program with
// the signature of another: check finds out.
func (p *dirPart) Install() error {
	if err := p.Sync(); err != nil {
		return err
	}
	for _, suffix := range []string{"", ".minisig"} {
		if err := p.d.fs.Rename(p.d.file("incoming"+suffix), p.d.file(p.slot+suffix)); err != nil {
			return err
		}
	}
	// The trial that is written next must not find what the slot had before.
	return p.d.fs.SyncDir(p.d.path)
}
