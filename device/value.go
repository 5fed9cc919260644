package device

import (
	"encoding"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/device/internal/rest"
)

// append appends the value of f in the struct v, as JSON.
func (f *Field) append(b []byte, v reflect.Value) []byte {
	v = v.FieldByIndex(f.index)
	switch f.kind {
	case kindBool:
		return strconv.AppendBool(b, v.Bool())
	case kindInt:
		return strconv.AppendInt(b, v.Int(), 10)
	case kindUint:
		return strconv.AppendUint(b, v.Uint(), 10)
	case kindFloat:
		return appendNumber(b, float(v))
	case kindDuration:
		return appendNumber(b, float64(v.Int())/float64(f.unit))
	case kindText:
		text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return append(b, "null"...)
		}
		return appendString(b, string(text))
	}
	return appendString(b, v.String())
}

// appendNumber appends a number as JSON has them: it has no infinities, those are null.
func appendNumber(b []byte, x float64) []byte {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, x, 'g', -1, 64)
}

// float returns a float32 or float64. A float32 becomes its shortest decimal: 0.1, not
// 0.10000000149011612.
func float(v reflect.Value) float64 {
	x := v.Float()
	if v.Kind() == reflect.Float32 && !math.IsInf(x, 0) && !math.IsNaN(x) {
		x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', -1, 32), 64)
	}
	return x
}

func appendString(b []byte, s string) []byte {
	if strings.IndexFunc(s, escaped) < 0 {
		return append(append(append(b, '"'), s...), '"')
	}
	text, _ := json.Marshal(s) // a string is always encoded
	return append(b, text...)
}

// escaped reports whether package json may write a character in another way.
func escaped(r rune) bool {
	return r < ' ' || r == '"' || r == '\\' || r == '<' || r == '>' || r == '&' || r == '\u2028' || r == '\u2029' || r == utf8.RuneError || r == 0x7f
}

// set reads raw, a JSON value, into the value of f in the struct v. The error is for the person who
// sent it, and stands beside the field.
func (f *Field) set(v reflect.Value, raw json.RawMessage) error {
	v = v.FieldByIndex(f.index)
	switch f.kind {
	case kindBool:
		var x bool
		if json.Unmarshal(raw, &x) != nil {
			return rest.Coded("boolean", "must be true or false")
		}
		v.SetBool(x)
		return nil
	case kindString, kindText:
		var x string
		if raw[0] != '"' || json.Unmarshal(raw, &x) != nil {
			return rest.Coded("text", "must be a text")
		}
		if f.kind == kindString {
			v.SetString(x)
		} else if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(x)); err != nil {
			return rest.Coded("setting-malformed", "is malformed: %w", err)
		}
		return nil
	}
	var x json.Number
	if raw[0] == '"' || json.Unmarshal(raw, &x) != nil {
		return rest.Coded("number", "must be a number")
	}
	return f.setNumber(v, string(x))
}

func (f *Field) setNumber(v reflect.Value, text string) error {
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return rest.Coded("large", "is too large")
	}
	switch f.kind {
	case kindFloat:
		if v.OverflowFloat(number) {
			return rest.Coded("large", "is too large")
		}
		v.SetFloat(number)
	case kindDuration:
		ns := math.Round(number * float64(f.unit))
		if math.Abs(ns) > math.MaxInt64/2 {
			return rest.Coded("large", "is too large")
		}
		v.SetInt(int64(ns))
	default:
		if number != math.Trunc(number) {
			return rest.Coded("whole", "must be a whole number")
		}
		if strings.ContainsAny(text, ".eE") { // 1e3 is a whole number too
			if math.Abs(number) > 1<<53 {
				return rest.Coded("large", "is too large")
			}
			text = strconv.FormatInt(int64(number), 10)
		}
		return f.setInteger(v, text)
	}
	return nil
}

func (f *Field) setInteger(v reflect.Value, text string) error {
	if f.kind == kindUint {
		if strings.HasPrefix(text, "-") {
			return rest.Coded("negative", "cannot be negative")
		}
		x, err := strconv.ParseUint(text, 10, 64)
		if err != nil || v.OverflowUint(x) {
			return rest.Coded("large", "is too large")
		}
		v.SetUint(x)
		return nil
	}
	x, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v.OverflowInt(x) {
		return rest.Coded("large", "is too large")
	}
	v.SetInt(x)
	return nil
}

// validate compares the value of f in the struct v with the declaration.
func (f *Field) validate(v reflect.Value) error {
	v = v.FieldByIndex(f.index)
	switch f.kind {
	case kindInt:
		return f.validateNumber(float64(v.Int()))
	case kindUint:
		return f.validateNumber(float64(v.Uint()))
	case kindFloat:
		return f.validateNumber(float(v))
	case kindDuration:
		return f.validateNumber(float64(v.Int()) / float64(f.unit))
	case kindString:
		return f.validateString(v.String())
	}
	return nil
}

func (f *Field) validateNumber(x float64) error {
	switch {
	case math.IsInf(x, 0) || math.IsNaN(x):
		if f.ReadOnly {
			return nil // a reading without a value: clients get null
		}
		return rest.Coded("number", "must be a number")
	case f.Min != nil && x < *f.Min, f.Max != nil && x > *f.Max:
		return rest.Coded("limits"+f.bounds(), "must be %s", f.limits(""))
	case f.Step != 0:
		base := 0.0
		if f.Min != nil {
			base = *f.Min
		}
		// A step of 0.1 has no exact float: a millionth of a step is forgiven.
		if steps := (x - base) / f.Step; math.Abs(steps-math.Round(steps)) > 1e-6 {
			return rest.Coded("step", "must go by steps of %s from %s", number(f.Step), number(base))
		}
	}
	return nil
}

func (f *Field) validateString(s string) error {
	n := float64(utf8.RuneCountInString(s))
	switch {
	case f.Enum != nil && !slices.Contains(f.Enum, s):
		return rest.Coded("choice", "must be one of %s", strings.Join(f.Enum, ", "))
	case f.Min != nil && n < *f.Min, f.Max != nil && n > *f.Max:
		return rest.Coded("length"+f.bounds(), "must have %s", f.limits(" characters"))
	case !utf8.ValidString(s):
		return rest.Coded("text", "must be UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return rest.Coded("control", "cannot have control characters")
	}
	return nil
}

// limits says "200 to 10000 ms", "at most 32 characters" or "at least 1".
func (f *Field) limits(of string) string {
	if of == "" && f.Unit != "" {
		of = " " + f.Unit
	}
	switch {
	case f.Max == nil:
		return "at least " + number(*f.Min) + of
	case f.Min == nil:
		return "at most " + number(*f.Max) + of
	}
	return number(*f.Min) + " to " + number(*f.Max) + of
}

// bounds ends the code of an error about the limits.
func (f *Field) bounds() string {
	switch {
	case f.Max == nil:
		return "-min"
	case f.Min == nil:
		return "-max"
	}
	return ""
}

func number(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// equal reports whether f is the same in the structs a and b.
func (f *Field) equal(a, b reflect.Value) bool {
	a, b = a.FieldByIndex(f.index), b.FieldByIndex(f.index)
	if f.kind == kindText {
		return string(f.text(a)) == string(f.text(b))
	}
	return a.Equal(b) || f.kind == kindFloat && math.IsNaN(a.Float()) && math.IsNaN(b.Float())
}

func (f *Field) text(v reflect.Value) []byte {
	text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return nil
	}
	return text
}

// number returns the value of f in the struct v for a gauge; false if it is none.
func (f *Field) number(v reflect.Value) (float64, bool) {
	v = v.FieldByIndex(f.index)
	switch f.kind {
	case kindBool:
		if v.Bool() {
			return 1, true
		}
		return 0, true
	case kindInt:
		return float64(v.Int()), true
	case kindUint:
		return float64(v.Uint()), true
	case kindFloat:
		return float(v), true
	case kindDuration:
		return time.Duration(v.Int()).Seconds(), true
	}
	return 0, false
}
