package modbus

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// point is a field with registers.
type point struct {
	index          []int // of reflect
	path           string
	unit           byte
	table          Table
	addr           uint16
	kind           string
	words          int
	scale, offset  float64
	low, swap      bool
	bit            int // -1: none
	writing        int
	written        uint64 // when the last write was begun
	block          *block
	readOnly, real bool
}

// nameOf returns the name that the tag of package device gives a field.
func nameOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("device"), ",")
	return name
}

var wordsOf = map[string]int{"uint16": 1, "int16": 1, "uint32": 2, "int32": 2, "float32": 2, "uint64": 4, "int64": 4, "float64": 4}

// parsePoint parses a tag.
func parsePoint(tag string, t reflect.Type) (*point, error) {
	parts := strings.Split(tag, ",")
	p := &point{kind: "uint16", scale: 1, bit: -1, words: 1}
	table := slices.Index(tableNames[:], parts[0])
	if table < 0 {
		return nil, fmt.Errorf("table %q: want coil, discrete, input or holding", parts[0])
	}
	p.table = Table(table)
	if len(parts) < 2 {
		return nil, errors.New("it has no address")
	}
	addr, err := strconv.ParseUint(parts[1], 10, 16)
	if err != nil {
		return nil, fmt.Errorf("address %q: want 0 to 65535", parts[1])
	}
	p.addr = uint16(addr)
	for _, o := range parts[2:] {
		if err := p.option(o); err != nil {
			return nil, fmt.Errorf("option %q: %w", o, err)
		}
	}
	p.real = p.real || p.kind[0] == 'f'
	if err := p.fits(t, len(parts) > 2); err != nil {
		return nil, err
	}
	return p, nil
}

// option takes an option of a tag, such as "scale=0.1" or "low".
func (p *point) option(o string) (err error) {
	name, value, has := strings.Cut(o, "=")
	switch {
	case !has && wordsOf[name] > 0:
		p.kind, p.words = name, wordsOf[name]
	case !has && name == "low":
		p.low = true
	case !has && name == "swap":
		p.swap = true
	case name == "scale":
		p.real = true
		if p.scale, err = number(value); err == nil && p.scale == 0 {
			err = errors.New("want a number that is not 0")
		}
	case name == "offset":
		p.real = true
		p.offset, err = number(value)
	case name == "bit":
		if p.bit, err = strconv.Atoi(value); err == nil && (p.bit < 0 || p.bit > 15) {
			err = errors.New("want 0 to 15")
		}
	case name == "unit":
		var u uint64
		if u, err = strconv.ParseUint(value, 10, 8); err == nil && (u < 1 || u > 247) {
			err = errors.New("want 1 to 247")
		}
		p.unit = byte(u)
	default:
		err = errors.New("it is none of this package")
	}
	return err
}

func number(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		err = errors.New("want a finite number")
	}
	return v, err
}

// fits returns why a field of the type t cannot have the value of p. options says whether the tag
// has any.
func (p *point) fits(t reflect.Type, options bool) error {
	switch k := t.Kind(); {
	case p.table.bits() || p.bit >= 0:
		if k != reflect.Bool {
			return fmt.Errorf("a bit cannot be a %v", t)
		}
		if p.table.bits() && options && (p.real || p.bit >= 0 || p.words > 1 || p.kind != "uint16") {
			return errors.New("a bit of a table of bits has no type")
		}
	case k == reflect.Float32 || k == reflect.Float64:
	case t == reflect.TypeFor[time.Duration]():
		return errors.New("registers cannot be a time.Duration: declare a number with a unit")
	case k >= reflect.Int && k <= reflect.Uint64:
	default:
		return fmt.Errorf("registers cannot be a %v", t)
	}
	if int(p.addr)+p.words > 1<<16 {
		return errors.New("it goes past address 65535")
	}
	return nil
}

// decode sets the field to what registers or a bit say. A float that is no number is 0.
func (p *point) decode(f reflect.Value, words []uint16) {
	if f.Kind() == reflect.Bool {
		f.SetBool(words[0]>>max(p.bit, 0)&1 != 0)
		return
	}
	raw := p.raw(words)
	var whole int64
	var real float64
	switch p.kind {
	case "int16":
		whole = int64(int16(raw))
	case "int32":
		whole = int64(int32(raw))
	case "float32":
		real = float64(math.Float32frombits(uint32(raw)))
	case "float64":
		real = math.Float64frombits(raw)
	default:
		whole = int64(raw)
	}
	switch {
	case !p.real && f.CanInt():
		if !f.OverflowInt(whole) && !(p.kind == "uint64" && raw > math.MaxInt64) {
			f.SetInt(whole)
		}
		return
	case !p.real && f.CanUint():
		if (whole >= 0 || p.kind == "uint64") && !f.OverflowUint(raw) {
			f.SetUint(raw)
		}
		return
	case p.kind == "uint64":
		real = float64(raw)
	case p.kind[0] != 'f':
		real = float64(whole)
	}
	real = tidy(real*p.scale+p.offset, p.scale)
	if math.IsNaN(real) || math.IsInf(real, 0) {
		real = 0
	}
	switch {
	case f.CanFloat():
		f.SetFloat(real)
	case f.CanInt():
		if r := math.Round(real); r >= -1<<62 && r <= 1<<62 && !f.OverflowInt(int64(r)) {
			f.SetInt(int64(r))
		}
	default:
		if r := math.Round(real); r >= 0 && r <= 1<<62 && !f.OverflowUint(uint64(r)) {
			f.SetUint(uint64(r))
		}
	}
}

// tidy takes away what the binary form of a decimal scale adds: 215 * 0.1 is 21.5, and not
// 21.500000000000004.
func tidy(v, scale float64) float64 {
	if scale == 1 || math.Abs(v) > 1e12 {
		return v
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 13, 64), 64)
	if err != nil {
		return v
	}
	return short
}

// raw puts the registers of a value together.
func (p *point) raw(words []uint16) (raw uint64) {
	for i := range p.words {
		w := words[i]
		if p.low {
			w = words[p.words-1-i]
		}
		if p.swap {
			w = w<<8 | w>>8
		}
		raw = raw<<16 | uint64(w)
	}
	return raw
}

// encode returns the registers, or the bit, of the field. It returns an error for a value that they
// cannot have.
func (p *point) encode(f reflect.Value) ([]uint16, error) {
	if f.Kind() == reflect.Bool {
		if f.Bool() {
			return []uint16{1}, nil
		}
		return []uint16{0}, nil
	}
	var real float64
	var raw uint64
	switch {
	case f.CanFloat():
		real = f.Float()
	case f.CanInt():
		real, raw = float64(f.Int()), uint64(f.Int())
	default:
		real, raw = float64(f.Uint()), f.Uint()
	}
	real = (real - p.offset) / p.scale
	bad := fmt.Errorf("%v does not fit a register of the type %s", f.Interface(), p.kind)
	switch p.kind {
	case "float32":
		raw = uint64(math.Float32bits(float32(real)))
	case "float64":
		raw = math.Float64bits(real)
	default:
		// The limits are compared as float64, which is exact for them; but a value that needs more
		// than 53 bits is not rounded on its way.
		bits := 16 * p.words
		least, most := 0.0, math.Ldexp(1, bits)
		if p.kind[0] == 'i' {
			least, most = -math.Ldexp(1, bits-1), math.Ldexp(1, bits-1)
		}
		exact := !p.real && !f.CanFloat()
		real = math.Round(real)
		if exact && f.CanUint() && p.words == 4 && p.kind[0] == 'u' || exact && f.CanInt() && p.words == 4 && p.kind[0] == 'i' {
			break // they are the same type
		}
		if !(real >= least && real < most) {
			return nil, bad
		}
		switch {
		case exact:
		case p.kind[0] == 'i':
			raw = uint64(int64(real))
		default:
			raw = uint64(real)
		}
	}
	words := make([]uint16, p.words)
	for i := range words {
		w := uint16(raw >> (16 * (p.words - 1 - i)))
		if p.swap {
			w = w<<8 | w>>8
		}
		if p.low {
			words[p.words-1-i] = w
		} else {
			words[i] = w
		}
	}
	return words, nil
}
