package device

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDeclarationsThatAreRefused(t *testing.T) {
	for _, x := range []struct {
		v    any
		want string
	}{
		{1, "device: int: only a struct of settings can be declared"},
		{struct{ A []string }{}, "device: a: a setting cannot be a []string"},
		{struct {
			A int `device:"a,mni=1"`
		}{}, `device: a: the tag has an unknown option "mni=1"`},
		{struct {
			A int `device:"a,role=king"`
		}{}, `device: a: there is no role "king"`},
		{struct {
			A int `device:"a,min=2,max=1"`
		}{}, "device: a: min is above max"},
		{struct {
			A int `device:"a,min=x"`
		}{}, `device: a: strconv.ParseFloat: parsing "x": invalid syntax`},
		{struct {
			A int `device:"a,enum=1|2"`
		}{}, "device: a: enum is for strings"},
		{struct {
			A bool `device:"a,min=1"`
		}{}, "device: a: min and max are for numbers and strings"},
		{struct {
			A string `device:"a,step=1"`
		}{}, "device: a: step is a positive number, for numbers"},
		{struct {
			A int `device:"a,secret"`
		}{}, "device: a: secret is for strings"},
		{struct {
			A string `device:"a,readonly,secret"`
		}{}, "device: a: readonly goes with neither secret nor restart"},
		{struct {
			A time.Duration `device:"a,unit=days"`
		}{}, `device: a: a time.Duration cannot be in "days"`},
		{struct {
			A int `device:"x"`
			B int `device:"x"`
		}{}, "device: x is declared twice"},
		{struct {
			A int `device:"x.y"`
		}{}, `device: "x.y" is no name of a setting`},
		{struct {
			a int `device:"x"`
		}{}, "has a tag, but is not exported"},
	} {
		if _, _, err := declare(reflect.TypeOf(x.v)); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%T: %v, want %s", x.v, err, x.want)
		}
	}
}

func TestWhatADeclarationSays(t *testing.T) {
	type declared struct {
		MaxRate  int `device:",unit=1/s"`
		Hidden   int `device:"-"`
		internal int //lint:ignore U1000 what is not exported is not declared
		Net      struct {
			Addr netip.Addr `help:"The address."`
			Port uint16     `device:"port,role=viewer"`
		} `device:",restart,role=admin"`
	}
	fields, _, err := declare(reflect.TypeFor[declared]())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range fields {
		got = append(got, strings.Join([]string{f.Path, f.Type, f.Unit, f.Group, f.Help, f.Role.String()}, ";"))
		if f.Restart != strings.HasPrefix(f.Path, "net.") {
			t.Errorf("%s: restart is %v", f.Path, f.Restart)
		}
	}
	want := []string{"max_rate;integer;1/s;;;user", "net.addr;string;;Net;The address.;admin", "net.port;integer;;Net;;viewer"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}

func TestValues(t *testing.T) {
	type declared struct {
		B bool
		I int8          `device:"i,min=-5,max=100"`
		U uint16        `device:"u"`
		F float32       `device:"f,step=0.1"`
		S string        `device:"s,min=2,max=4"`
		E string        `device:"e,enum=a|b"`
		D time.Duration `device:"d,unit=ms,min=1.5,unit=ms"`
		T netip.Addr    `device:"t"`
	}
	start := declared{S: "ab", E: "a", D: time.Second, T: netip.MustParseAddr("10.0.0.1")}
	fields, root, err := declare(reflect.TypeFor[declared]())
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string]*Field{}
	for _, f := range fields {
		byPath[f.Path] = f
	}
	for _, x := range []struct{ path, value, want string }{
		{"b", `true`, ""},
		{"b", `1`, "must be true or false"},
		{"i", `-5`, ""},
		{"i", `1e2`, "=100"},
		{"i", `100.0`, "=100"},
		{"i", `101`, "must be -5 to 100"},
		{"i", `-6`, "must be -5 to 100"},
		{"i", `128`, "is too large"},
		{"i", `1e300`, "is too large"},
		{"i", `1e999`, "is too large"},
		{"i", `99999999999999999999`, "is too large"},
		{"i", `1.5`, "must be a whole number"},
		{"i", `"1"`, "must be a number"},
		{"i", `{}`, "must be a number"},
		{"u", `65535`, ""},
		{"u", `65536`, "is too large"},
		{"u", `-1`, "cannot be negative"},
		{"u", `1e5`, "is too large"},
		{"f", `0.3`, ""},
		{"f", `0.25`, "must go by steps of 0.1 from 0"},
		{"f", `1e39`, "is too large"},
		{"s", `"äöüß"`, ""}, // characters, not bytes
		{"s", `"a"`, "must have 2 to 4 characters"},
		{"s", `"abcde"`, "must have 2 to 4 characters"},
		{"s", `"a\u0000b"`, "cannot have control characters"},
		{"s", `"a\nb"`, "cannot have control characters"},
		{"s", `12`, "must be a text"},
		{"s", `null`, "must be a text"},
		{"e", `"b"`, ""},
		{"e", `"c"`, "must be one of a, b"},
		{"d", `1.5`, ""},
		{"d", `1`, "must be at least 1.5 ms"},
		{"d", `1e18`, "is too large"},
		{"t", `"::1"`, ""},
		{"t", `"nowhere"`, `is malformed: ParseAddr("nowhere"): unable to parse IP`},
		{"t", `7`, "must be a text"},
	} {
		v := reflect.New(reflect.TypeFor[declared]()).Elem()
		v.Set(reflect.ValueOf(start))
		f := byPath[x.path]
		err := f.set(v, []byte(x.value))
		if err == nil {
			err = f.validate(v)
		}
		want, good := strings.CutPrefix(x.want, "=")
		if x.want == "" {
			want, good = x.value, true
		}
		switch {
		case err != nil && (good || err.Error() != want):
			t.Errorf("%s = %s: %v, want %s", x.path, x.value, err, want)
		case err == nil && (!good || string(f.append(nil, v)) != want):
			t.Errorf("%s = %s is taken as %s, want %s", x.path, x.value, f.append(nil, v), want)
		}
	}
	if got := string(root.appendDocument(nil, reflect.ValueOf(start), shown)); got !=
		`{"b":false,"i":0,"u":0,"f":0,"s":"ab","e":"a","d":1000,"t":"10.0.0.1"}` {
		t.Error(got)
	}
}

// A text is written as package json writes it, whatever its characters are.
func TestStringsAreWrittenAsJSON(t *testing.T) {
	for r := rune(-1); r < 0x3000; r++ {
		text := "a" + string(r) + "b"
		want, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(appendString(nil, text)); got != string(want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", "\xff", "a\xc3", "😀", "\ufffd"} {
		if want, err := json.Marshal(text); err != nil || string(appendString(nil, text)) != string(want) {
			t.Errorf("%q: %s, want %s %v", text, appendString(nil, text), want, err)
		}
	}
}
