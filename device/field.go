package device

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A Field is one declared setting.
type Field struct {
	Path  string // names from the outermost to the innermost, with dots between: "wifi.ssid"
	Type  string // as in JSON Schema: "boolean", "integer", "number" or "string"
	Unit  string
	Help  string
	Group string // the heading under which a form shows it

	Min, Max *float64 // of a number, or of the characters of a string
	Step     float64  // a number is a multiple of it above Min, or above 0; 0 is none
	Enum     []string // the values that a string may have; nil is any

	ReadOnly bool // a reading: only the program sets it, and it is not kept on disk
	Secret   bool // is written, never shown
	Restart  bool // takes effect after a restart
	Role     Role // who may change it

	place int // in the order of declaration
	kind  kind
	index []int         // of the struct's field, for reflect.Value.FieldByIndex
	unit  time.Duration // of a time.Duration
}

type kind uint8

const (
	kindBool kind = iota
	kindInt
	kindUint
	kindFloat
	kindString
	kindDuration
	kindText // encoding.TextMarshaler and TextUnmarshaler
)

// A node is an object of the document: the struct itself, or one in it.
type node struct {
	names   []string // in the order of declaration
	field   map[string]*Field
	group   map[string]*node
	members []member // in the order of declaration
}

// A member of a node is a field or another node.
type member struct {
	key   []byte // the name as JSON, and a colon
	field *Field
	group *node
}

var (
	durationType     = reflect.TypeFor[time.Duration]()
	marshalerType    = reflect.TypeFor[encoding.TextMarshaler]()
	unmarshalerType  = reflect.TypeFor[encoding.TextUnmarshaler]()
	unitsOfDurations = map[string]time.Duration{"": time.Second, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "min": time.Minute, "h": time.Hour}
)

// declare reads the declaration of a struct: its fields, in their order, and the tree of them.
func declare(t reflect.Type) ([]*Field, *node, error) {
	if t.Kind() != reflect.Struct {
		return nil, nil, fmt.Errorf("device: %s: only a struct of settings can be declared", t)
	}
	d := declaration{}
	root, err := d.object(t, Field{Role: User}, "")
	return d.fields, root, err
}

type declaration struct{ fields []*Field }

// object reads the fields of one struct. outer has what its fields inherit.
func (d *declaration) object(t reflect.Type, outer Field, prefix string) (*node, error) {
	n := &node{field: map[string]*Field{}, group: map[string]*node{}}
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, tagged := sf.Tag.Lookup("device")
		if tag == "-" || !sf.IsExported() {
			if tagged && tag != "-" {
				return nil, fmt.Errorf("device: field %s of %s has a tag, but is not exported", sf.Name, t)
			}
			continue
		}
		f := outer
		f.index = append(slices.Clone(outer.index), i)
		name, options, _ := strings.Cut(tag, ",")
		if name == "" {
			name = snake(sf.Name)
		}
		f.Path = prefix + name
		if n.field[name] != nil || n.group[name] != nil {
			return nil, fmt.Errorf("device: %s is declared twice", f.Path)
		}
		if strings.ContainsAny(name, ".\"\\/ ") {
			return nil, fmt.Errorf("device: %q is no name of a setting", name)
		}
		if g, ok := sf.Tag.Lookup("group"); ok {
			f.Group = g
		}
		f.Help = sf.Tag.Get("help")
		known := f.setKind(sf.Type)
		if !known && sf.Type.Kind() != reflect.Struct {
			return nil, fmt.Errorf("device: %s: a setting cannot be a %s", f.Path, sf.Type)
		}
		if err := f.parse(options); err != nil {
			return nil, fmt.Errorf("device: %s: %w", f.Path, err)
		}
		if !known {
			if f.Group == "" {
				f.Group = sf.Name
			}
			inner, err := d.object(sf.Type, f, f.Path+".")
			if err != nil {
				return nil, err
			}
			n.add(name, nil, inner)
			continue
		}
		if err := f.check(); err != nil {
			return nil, fmt.Errorf("device: %s: %w", f.Path, err)
		}
		f.place = len(d.fields)
		n.add(name, &f, nil)
		d.fields = append(d.fields, &f)
	}
	return n, nil
}

func (n *node) add(name string, f *Field, group *node) {
	n.names = append(n.names, name)
	if f != nil {
		n.field[name] = f
	} else {
		n.group[name] = group
	}
	n.members = append(n.members, member{append(appendString(nil, name), ':'), f, group})
}

// setKind says how values of type t are read and shown; false if t is none of a setting.
func (f *Field) setKind(t reflect.Type) bool {
	switch {
	case t == durationType:
		f.kind, f.Type = kindDuration, "number"
		return true
	case t.Implements(marshalerType) && reflect.PointerTo(t).Implements(unmarshalerType):
		f.kind, f.Type = kindText, "string"
		return true
	}
	switch t.Kind() {
	case reflect.Bool:
		f.kind, f.Type = kindBool, "boolean"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		f.kind, f.Type = kindInt, "integer"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		f.kind, f.Type = kindUint, "integer"
	case reflect.Float32, reflect.Float64:
		f.kind, f.Type = kindFloat, "number"
	case reflect.String:
		f.kind, f.Type = kindString, "string"
	default:
		return false
	}
	return true
}

// parse reads the options of a tag, all after the name.
func (f *Field) parse(options string) error {
	for options != "" {
		var option string
		option, options, _ = strings.Cut(options, ",")
		key, value, _ := strings.Cut(option, "=")
		var err error
		switch key {
		case "unit":
			f.Unit = value
		case "min":
			f.Min, err = bound(value)
		case "max":
			f.Max, err = bound(value)
		case "step":
			f.Step, err = strconv.ParseFloat(value, 64)
		case "enum":
			f.Enum = strings.Split(value, "|")
		case "readonly":
			f.ReadOnly = true
		case "secret":
			f.Secret = true
		case "restart":
			f.Restart = true
		case "role":
			role, ok := ParseRole(value)
			if !ok {
				err = fmt.Errorf("there is no role %q", value)
			}
			f.Role = role
		default:
			err = fmt.Errorf("the tag has an unknown option %q", option)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func bound(text string) (*float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	return &v, err
}

// check refuses options that do not fit the type.
func (f *Field) check() error {
	if f.kind == kindDuration {
		var ok bool
		if f.unit, ok = unitsOfDurations[f.Unit]; !ok {
			return fmt.Errorf("a time.Duration cannot be in %q", f.Unit)
		}
		if f.Unit == "" {
			f.Unit = "s"
		}
	}
	number := f.Type == "integer" || f.Type == "number"
	switch {
	case f.Enum != nil && f.kind != kindString:
		return fmt.Errorf("enum is for strings")
	case (f.Min != nil || f.Max != nil) && !number && f.kind != kindString:
		return fmt.Errorf("min and max are for numbers and strings")
	case f.Step != 0 && !number, f.Step < 0:
		return fmt.Errorf("step is a positive number, for numbers")
	case f.Min != nil && f.Max != nil && *f.Min > *f.Max:
		return fmt.Errorf("min is above max")
	case f.Secret && f.kind != kindString:
		return fmt.Errorf("secret is for strings")
	case f.ReadOnly && (f.Secret || f.Restart):
		return fmt.Errorf("readonly goes with neither secret nor restart")
	}
	return nil
}

// snake turns a Go name into one of the document: "MaxRate" is "max_rate", "WiFiSSID" "wi_fi_ssid".
func snake(name string) string {
	var b strings.Builder
	rs := []rune(name)
	for i, r := range rs {
		if unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
