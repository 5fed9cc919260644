package device

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"reflect"

	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/device/internal/rest"
)

// maxFile bounds the file of the settings.
const maxFile = 1 << 20

// A store is how far the settings have come to the disk. One goroutine at a time writes; it ends
// when there is nothing to write, so an idle device has none.
type store struct {
	writing bool
	saved   uint64 // the last version that the disk has
	waiters []waiter
}

type waiter struct {
	version uint64
	done    func(error)
}

// onDisk is the content of the file.
type onDisk struct {
	Version int             `json:"version"`
	Values  json.RawMessage `json:"values"`
}

func kept(f *Field) bool { return !f.ReadOnly }

// save has the settings written to the disk, and done called after that. It is called with the lock
// held.
func (d *core) save(done func(error)) {
	s := &d.store
	if d.opts.File == "" || s.saved >= d.kept && !s.writing {
		if done != nil {
			go done(nil)
		}
		return
	}
	if done != nil {
		s.waiters = append(s.waiters, waiter{d.kept, done})
	}
	if !s.writing {
		s.writing = true
		go d.write()
	}
}

// write writes the newest settings until the disk has them, or cannot take them: the next change
// tries again.
func (d *core) write() {
	for {
		d.mu.Lock()
		v, version := d.now, d.kept
		d.mu.Unlock()
		err := d.put(v)
		if err != nil {
			d.opts.Log.Error("the settings could not be saved: a restart will forget them", "why", err)
		}
		d.mu.Lock()
		s := &d.store
		if err == nil {
			s.saved = version
		}
		var served, left []waiter
		for _, w := range s.waiters {
			if w.version <= version {
				served = append(served, w)
			} else {
				left = append(left, w)
			}
		}
		s.waiters = left
		more := d.kept > version
		s.writing = more
		d.mu.Unlock()
		for _, w := range served {
			w.done(err)
		}
		if !more {
			return
		}
	}
}

func (d *core) put(v reflect.Value) error {
	text, err := json.MarshalIndent(onDisk{d.opts.Version, d.root.appendDocument(nil, v, kept)}, "", "  ")
	if err != nil {
		return err
	}
	d.disk.Lock()
	defer d.disk.Unlock()
	return disk.ReplaceKeeping(d.opts.disk, d.opts.File, append(text, '\n'), 0o600)
}

// load reads the file. Values that cannot be used are reported, and get their defaults.
func (d *core) load() (reflect.Value, error) {
	to := reflect.New(d.defaults.Type()).Elem()
	to.Set(d.defaults)
	log := d.opts.Log.With("file", d.opts.File)
	var file onDisk
	text, err := disk.Load(d.opts.disk, d.opts.File, maxFile, func(text []byte) error {
		file = onDisk{Version: -1}
		if err := rest.Load(text, &file); err != nil { // a byte that has changed is no other setting
			return err
		}
		if file.Version < 0 || file.Values == nil {
			return errors.New("these are no settings")
		}
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return to, nil
	case text == nil:
		log.Error("the settings are lost: the device starts with its defaults", "why", err)
		return to, d.setAside()
	case err != nil:
		log.Error("the settings are those before the last change", "why", err)
	}
	values, err := d.migrate(file)
	if err != nil {
		log.Error("the settings are of another version and are not used", "why", err)
		return to, d.setAside()
	}
	r := reader{how: stored, who: Program, to: to, defaults: d.defaults}
	r.read(d.root, "", values)
	for _, e := range r.errs {
		log.Warn("a setting is not used", "setting", e.Path, "why", e.Text)
	}
	if errs := d.wrong(to, d.fields); errs != nil { // each is valid alone, but not all together
		log.Error("the settings contradict each other: the device starts with its defaults", "why", &Invalid{errs})
		to.Set(d.defaults)
	}
	return to, nil
}

// setAside keeps a file that cannot be used, as FILE.bad: it may be one that was named by mistake.
func (d *core) setAside() error {
	if err := d.opts.disk.Rename(d.opts.File, d.opts.File+".bad"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("device: the file of the settings: %w", err)
	}
	return nil
}

// migrate brings the values of a file to the version of the declaration. Those of a later version,
// which an update that was undone has left, are used as far as they fit.
func (d *core) migrate(file onDisk) (json.RawMessage, error) {
	if file.Version >= d.opts.Version || d.opts.Migrate == nil {
		return file.Values, nil
	}
	var values map[string]any
	if err := json.Unmarshal(file.Values, &values); err != nil {
		return nil, err
	}
	for v := file.Version; v < d.opts.Version; v++ {
		if err := d.opts.Migrate(v, values); err != nil {
			return nil, fmt.Errorf("from version %d: %w", v, err)
		}
	}
	return json.Marshal(values)
}
