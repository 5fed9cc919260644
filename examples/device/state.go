package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The bounds of the sample interval, and what it is until someone sets it.
const (
	minInterval     = 200 * time.Millisecond
	maxInterval     = 10 * time.Second
	defaultInterval = time.Second
)

const maxStateFile = 64 << 10

// State is what outlives a restart. On disk it is one JSON object: {"interval_ms": 1000}.
type State struct {
	IntervalMS int64 `json:"interval_ms"`
}

func defaultState() State { return State{IntervalMS: defaultInterval.Milliseconds()} }

func (s State) interval() time.Duration { return time.Duration(s.IntervalMS) * time.Millisecond }

func (s State) check() error {
	if s.IntervalMS < minInterval.Milliseconds() || s.IntervalMS > maxInterval.Milliseconds() {
		return fmt.Errorf("the sample interval must be %d to %d ms, not %d",
			minInterval.Milliseconds(), maxInterval.Milliseconds(), s.IntervalMS)
	}
	return nil
}

// loadState reads the file. One that does not exist yet is no error; for one that cannot be used
// the error says why. The State is usable in every case.
func loadState(path string) (State, error) {
	info, err := os.Stat(path) // before opening: a FIFO would have us wait for its writer
	if errors.Is(err, fs.ErrNotExist) {
		return defaultState(), nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = noFile(path)
	}
	if err != nil {
		return defaultState(), fmt.Errorf("device: load state: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return defaultState(), fmt.Errorf("device: load state: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxStateFile))
	if err != nil {
		return defaultState(), fmt.Errorf("device: load state: %w", err)
	}
	st := defaultState()
	if err := json.Unmarshal(text, &st); err != nil {
		return defaultState(), fmt.Errorf("device: load state: %s: %w", path, err)
	}
	if err := st.check(); err != nil {
		return defaultState(), fmt.Errorf("device: load state: %s: %w", path, err)
	}
	return st, nil
}

func noFile(path string) error { return fmt.Errorf("%s is no regular file", path) }

// setAside renames a file that is no state to path.bad: the disk may have spoilt it, but it may be
// one that was named by mistake, /etc/passwd say.
func setAside(path string) error {
	if _, err := loadState(path); err == nil {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular(): // as root, rename(2) would replace even /dev/null
		return noFile(path)
	case info.Size() == 0:
		return nil
	}
	return os.Rename(path, path+".bad")
}

// saveState replaces the file atomically: after a power cut at any moment it holds either the old
// state or the new one, whole. It waits for the disk, so it must not be called on the loop.
func saveState(path string, st State) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("device: save state: %w", err)
		}
	}()
	text, err := json.Marshal(st)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := setAside(path); err != nil {
		return err
	}
	// In the same directory: rename(2) is atomic only within one file system.
	tmp, err := os.CreateTemp(dir, filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	if err := writeSync(tmp, append(text, '\n')); err != nil {
		os.Remove(tmp.Name())
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		os.Remove(tmp.Name())
		return err
	}
	return syncDir(dir)
}

// writeSync writes, waits for the disk and closes.
func writeSync(f *os.File, text []byte) error {
	_, err := f.Write(text)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes the rename itself survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// defaultStatePath is where the XDG base directory specification wants state:
// $XDG_STATE_HOME/mangusta/device.json, or the same under ~/.local/state; a device without a home
// directory keeps it in the temporary directory.
func defaultStatePath() string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "mangusta", "device.json")
	}
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "mangusta", "device.json")
	}
	return filepath.Join(os.TempDir(), "mangusta-device.json")
}
