package device

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/seed4930a636/mangusta/device/internal/rest"
)

// A FieldError says what is wrong with the value of one setting.
type FieldError struct {
	Path string `json:"path"`           // "" is the whole document
	Text string `json:"error"`          // such as "must be 200 to 10000 ms": it follows the name of the setting
	Code string `json:"code,omitempty"` // such as "limits", for programs and for pages in other languages

	denied bool // the setting is for a higher role
}

func (e FieldError) Error() string {
	if e.Path == "" {
		return e.Text
	}
	return e.Path + " " + e.Text
}

var errReadOnly = rest.Coded("read-only", "cannot be set")

// denied is the error of a caller whose role may not set f.
func (f *Field) denied() FieldError {
	return FieldError{Path: f.Path, Text: fmt.Sprintf("can be set by the role %s only", f.Role), Code: "setting-role", denied: true}
}

// Invalid is the error of a change that was refused: nothing of it took effect.
type Invalid struct{ Fields []FieldError }

// denied reports whether one of the settings is for a higher role.
func (e *Invalid) denied() bool {
	return slices.ContainsFunc(e.Fields, func(f FieldError) bool { return f.denied })
}

func (e *Invalid) Error() string {
	texts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		texts[i] = f.Error()
	}
	return "device: " + strings.Join(texts, "; ")
}

// appendDocument appends the settings in the struct v as one JSON object. Those for which show is
// false are left out, and so are objects with nothing to show.
func (n *node) appendDocument(b []byte, v reflect.Value, show func(*Field) bool) []byte {
	b = append(b, '{')
	first := len(b)
	for i := range n.members {
		m := &n.members[i]
		if m.field != nil && !show(m.field) {
			continue
		}
		before := len(b)
		if before > first {
			b = append(b, ',')
		}
		b = append(b, m.key...)
		if m.field != nil {
			b = m.field.append(b, v)
			continue
		}
		inside := len(b)
		if b = m.group.appendDocument(b, v, show); len(b) == inside+len("{}") {
			b = b[:before]
		}
	}
	return append(b, '}')
}

// how says what a document does to the settings.
type how uint8

const (
	patch   how = iota // RFC 7396: what it does not name stays, null is the default
	replace            // it names all that can be set, but secrets
	stored             // it comes from the disk: what does not fit is left as it is, and told
)

// A reader reads a document into settings.
type reader struct {
	how      how
	who      Who
	to       reflect.Value // a struct that can be set
	defaults reflect.Value
	errs     []FieldError
}

func (r *reader) refuse(path string, err error) {
	r.errs = append(r.errs, fieldError(strings.TrimSuffix(path, "."), err))
}

func fieldError(path string, err error) FieldError {
	return FieldError{Path: path, Text: err.Error(), Code: rest.Code(err)}
}

// read reads the object raw, whose names stand at path.
func (r *reader) read(n *node, path string, raw json.RawMessage) {
	members, err := object(raw)
	if err != nil {
		r.refuse(path, err)
		return
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if n.field[name] == nil && n.group[name] == nil {
			r.refuse(path+name, rest.Coded("no-setting", "is no setting"))
		}
	}
	for _, name := range n.names {
		value, ok := members[name]
		switch f := n.field[name]; {
		case f != nil && ok:
			r.field(f, value)
		case f != nil:
			if r.how == replace && !f.ReadOnly && !f.Secret {
				r.refuse(f.Path, rest.Coded("missing", "is missing"))
			}
		case ok && string(value) == "null" && r.how == patch: // all of it goes back to its defaults
			r.reset(n.group[name])
		case ok:
			r.read(n.group[name], path+name+".", value)
		case r.how == replace:
			r.read(n.group[name], path+name+".", json.RawMessage("{}"))
		}
	}
}

func (r *reader) reset(n *node) {
	for _, name := range n.names {
		if g := n.group[name]; g != nil {
			r.reset(g)
		} else if f := n.field[name]; !f.ReadOnly {
			r.field(f, json.RawMessage("null"))
		}
	}
}

// field reads the value of one setting.
func (r *reader) field(f *Field, value json.RawMessage) {
	switch {
	case f.ReadOnly && r.how == replace:
		return // a client sends back what it has read
	case f.ReadOnly:
		r.refuse(f.Path, errReadOnly)
		return
	}
	was := reflect.New(r.to.Type()).Elem()
	was.Set(r.to)
	err := r.fill(f, value)
	if err == nil {
		err = f.validate(r.to)
	}
	if r.who.Role < f.Role {
		// Here too a client may send back what it has read. A secret must not be found out by trying.
		if r.how != replace || f.Secret || err != nil || !f.equal(was, r.to) {
			r.errs = append(r.errs, f.denied())
		}
		return
	}
	if err != nil {
		r.to.FieldByIndex(f.index).Set(was.FieldByIndex(f.index))
		r.refuse(f.Path, err)
	}
}

func (r *reader) fill(f *Field, value json.RawMessage) error {
	if string(value) != "null" {
		return f.set(r.to, value)
	}
	if r.how != patch {
		return rest.Coded("missing", "cannot be null")
	}
	r.to.FieldByIndex(f.index).Set(r.defaults.FieldByIndex(f.index))
	return nil
}

// object parses one JSON object. It refuses a name that comes twice: two parsers could read such a
// document differently.
func object(raw json.RawMessage) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, rest.Coded("object", "must be a JSON object")
	}
	members := map[string]json.RawMessage{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, rest.Coded("object", "must be a JSON object")
		}
		name, _ := t.(string)
		if _, ok := members[name]; ok {
			return nil, rest.Coded("twice", "has %q twice", name)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, rest.Coded("object", "must be a JSON object")
		}
		members[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, rest.Coded("object", "must be a JSON object")
	}
	if dec.More() {
		return nil, rest.Coded("object", "must be one JSON object")
	}
	return members, nil
}

// A patcher makes merge patches.
type patcher struct {
	root    *node
	changed []bool // by Field.place
}

// append appends the RFC 7396 merge patch that leads to the settings in to, of which those of items
// differ. Those for which show is false are left out. A reading that is no number is null in it: a
// client that applies the patch removes it.
func (p *patcher) append(b []byte, items []Item, to reflect.Value, show func(*Field) bool) []byte {
	for _, i := range items {
		p.changed[i.Field.place] = true
	}
	b = p.root.appendDocument(b, to, func(f *Field) bool { return p.changed[f.place] && show(f) })
	clear(p.changed)
	return b
}
