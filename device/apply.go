package device

import (
	"encoding/json"
	"reflect"
	"strconv"

	"github.com/seed4930a636/mangusta/device/internal/rest"
)

// apply changes the settings by a document. saved is called on any goroutine when the disk has
// them. Version is the version that the caller has seen; 0 is any.
func (d *core) apply(who Who, version uint64, how how, text []byte, saved func(error)) (uint64, error) {
	return d.change(who, version, saved, func(to reflect.Value) []FieldError {
		r := reader{how: how, who: who, to: to, defaults: d.defaults}
		r.read(d.root, "", json.RawMessage(text))
		return r.errs
	})
}

// Patch changes the settings by an RFC 7396 merge patch, in who's name, as a PATCH of the document
// does: for other protocols that bring changes. It returns *Invalid, with the fields that were
// refused, or ErrBusy. Safe for concurrent use.
func (d *core) Patch(who Who, document []byte) error {
	if err := rest.Check(document); err != nil {
		return &Invalid{[]FieldError{fieldError("", err)}}
	}
	_, err := d.apply(who, 0, patch, document, nil)
	return err
}

// outcome is the result of a change, as JSON: the version, whether the disk has it, and the
// settings that wait for a restart.
func (d *core) outcome(version uint64, saving error) []byte {
	b := append([]byte(`{"version":`), strconv.FormatUint(version, 10)...)
	if saving != nil {
		b = append(b, `,"saved":false,"warning":`...)
		b = appendString(b, "The change took effect, but could not be saved: a restart will forget it.")
	} else {
		b = append(b, `,"saved":true`...)
	}
	if paths := d.Restart(); paths != nil {
		list, err := json.Marshal(paths)
		if err == nil {
			b = append(append(b, `,"restart":`...), list...)
		}
	}
	return append(b, '}')
}

// Restart returns the paths of the settings that have changed and take effect after a restart. Safe
// for concurrent use.
func (d *core) Restart() (paths []string) {
	now := d.settings()
	for _, f := range d.fields {
		if f.Restart && !f.equal(d.started, now) {
			paths = append(paths, f.Path)
		}
	}
	return paths
}
