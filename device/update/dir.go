package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"aead.dev/minisign"

	"github.com/seed4930a636/mangusta/device/internal/disk"
)

// A dir is the directory of the slots.
type dir struct {
	fs   disk.FS
	path string
	keys []minisign.PublicKey
}

// A trial is the content of the file "trial", which is there while a slot is to be confirmed.
type trial struct {
	Slot    string `json:"slot"`
	Version string `json:"version"`
	Begun   bool   `json:"begun"` // the slot was started
}

func (d *dir) file(name string) string { return filepath.Join(d.path, name) }

// other returns the slot that is not s.
func other(s string) string {
	if s == "a" {
		return "b"
	}
	return "a"
}

// current returns the slot that is started.
func (d *dir) current() (string, error) {
	target, err := d.fs.Readlink(d.file("current"))
	if err != nil {
		return "", fmt.Errorf("update: %w", err)
	}
	if target != "a" && target != "b" {
		return "", fmt.Errorf("update: %s leads to %q, and not to a or b", d.file("current"), target)
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

// setCurrent makes slot the one that is started.
func (d *dir) setCurrent(slot string) error {
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

// check reads the program in a slot and compares it with its signature.
func (d *dir) check(slot string) (Image, error) {
	text, err := disk.Read(d.fs, d.file(slot+".minisig"), maxSignature)
	if err != nil {
		return Image{}, fmt.Errorf("update: slot %s: %w", slot, err)
	}
	sig, err := readSignature(text, d.keys)
	if err != nil {
		return Image{}, fmt.Errorf("slot %s: %w", slot, err)
	}
	f, err := d.fs.Open(d.file(slot))
	if err != nil {
		return Image{}, fmt.Errorf("update: slot %s: %w", slot, err)
	}
	defer f.Close()
	h := newHasher()
	if _, err := io.Copy(h, f); err != nil {
		return Image{}, fmt.Errorf("update: slot %s: %w", slot, err)
	}
	if !h.verify(sig) {
		return Image{}, fmt.Errorf("slot %s: %w", slot, ErrSignature)
	}
	return sig.Image, nil
}

// install moves the update that was received, complete, to slot. Until the directory is synced the
// slot may hold a program with the signature of another: check finds out.
func (d *dir) install(slot string) error {
	for _, suffix := range []string{"", ".minisig"} {
		if err := d.fs.Rename(d.file("incoming"+suffix), d.file(slot+suffix)); err != nil {
			return err
		}
	}
	// The trial that is written next must not find what the slot had before.
	return d.fs.SyncDir(d.path)
}
