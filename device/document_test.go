package device

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// change tries a document against the defaults, and returns the document after it, or the error.
func try(t *testing.T, how how, role Role, text string) string {
	t.Helper()
	_, root, err := declare(reflect.TypeFor[settings]())
	if err != nil {
		t.Fatal(err)
	}
	to := reflect.New(reflect.TypeFor[settings]()).Elem()
	now := defaults()
	now.Fan, now.WiFi.SSID, now.WiFi.Password = true, "home", "secret"
	to.Set(reflect.ValueOf(now))
	r := reader{how: how, who: Who{Role: role}, to: to, defaults: reflect.ValueOf(defaults())}
	r.read(root, "", []byte(text))
	if r.errs != nil {
		return (&Invalid{r.errs}).Error()
	}
	return string(root.appendDocument(nil, to, func(*Field) bool { return true }))
}

func TestDocuments(t *testing.T) {
	for _, x := range []struct {
		how  how
		role Role
		text string
		want string
	}{
		{patch, User, `{}`, `{"name":"box","interval":1000,"mode":"auto","wifi":{"ssid":"home","password":"secret"},"celsius":0,"fan":true}`},
		{patch, User, `{"wifi":{"ssid":"x"}}`, `{"name":"box","interval":1000,"mode":"auto","wifi":{"ssid":"x","password":"secret"},"celsius":0,"fan":true}`},
		// RFC 7396 §2: null removes, and what is removed is as the defaults have it.
		{patch, User, `{"fan":null,"interval":null}`, `{"name":"box","interval":1000,"mode":"auto","wifi":{"ssid":"home","password":"secret"},"celsius":0,"fan":false}`},
		{patch, Admin, `{"wifi":null}`, `{"name":"box","interval":1000,"mode":"auto","wifi":{"ssid":"","password":""},"celsius":0,"fan":true}`},
		{patch, User, `{"wifi":null}`, "device: wifi.password can be set by the role admin only"},
		{patch, User, `{"wifi":{"password":"x"}}`, "device: wifi.password can be set by the role admin only"},
		{patch, Viewer, `{"fan":false}`, "device: fan can be set by the role user only"},
		{patch, Admin, `{"celsius":1}`, "device: celsius cannot be set"},
		{patch, Admin, `{"nope":1,"wifi":{"nope":2}}`, "device: nope is no setting; wifi.nope is no setting"},
		{patch, Admin, `{"name":"","interval":50}`, "device: name must have 1 to 8 characters; interval must be 200 to 10000 ms"},
		{patch, Admin, `{"interval":250}`, "device: interval must go by steps of 100 from 200"},
		{patch, Admin, `{"wifi":"x"}`, "device: wifi must be a JSON object"},
		{patch, Admin, `{"fan":true,"fan":false}`, `device: has "fan" twice`},
		{patch, Admin, `[]`, "device: must be a JSON object"},
		{patch, Admin, ``, "device: must be a JSON object"},
		{patch, Admin, `{"fan":true}{}`, "device: must be one JSON object"},
		{patch, Admin, `{"fan":tru`, "device: must be a JSON object"},
		// A client sends back what it has read: readings too, and no secret.
		{replace, User, `{"name":"b","interval":200,"mode":"on","wifi":{"ssid":"y"},"celsius":5,"fan":false}`,
			`{"name":"b","interval":200,"mode":"on","wifi":{"ssid":"y","password":"secret"},"celsius":0,"fan":false}`},
		// That holds for a setting which the caller may not set. A secret must not be found out by trying.
		{replace, Viewer, `{"name":"box","interval":1000,"mode":"auto","wifi":{"ssid":"home"},"fan":false}`, "device: fan can be set by the role user only"},
		{replace, User, `{"name":"box","interval":1000,"mode":"auto","wifi":{"ssid":"home","password":"secret"},"fan":true}`,
			"device: wifi.password can be set by the role admin only"},
		{replace, User, `{"name":"b"}`, "device: interval is missing; mode is missing; wifi.ssid is missing; fan is missing"},
		{replace, User, `{"name":null,"interval":200,"mode":"on","wifi":{"ssid":"y"},"fan":false}`, "device: name cannot be null"},
	} {
		if got := try(t, x.how, x.role, x.text); got != x.want {
			t.Errorf("%s as %v: %s, want %s", x.text, x.role, got, x.want)
		}
	}
}

// RFC 7396: applied to what a client has, the patch gives what the server has.
func TestAPatchLeadsFromOneVersionToTheNext(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	fields, root, err := declare(reflect.TypeFor[settings]())
	if err != nil {
		t.Fatal(err)
	}
	patches := patcher{root, make([]bool, len(fields))}
	random := func(s settings) settings {
		for range rnd.IntN(4) {
			switch rnd.IntN(6) {
			case 0:
				s.Name = string('a' + rune(rnd.IntN(26)))
			case 1:
				s.Interval = time.Duration(rnd.IntN(9)+2) * 100 * time.Millisecond
			case 2:
				s.WiFi.SSID = string('A' + rune(rnd.IntN(26)))
			case 3:
				s.WiFi.Password = "never shown"
			case 4:
				s.Celsius = [...]float64{rnd.Float64() * 100, 0, math.NaN(), math.Inf(1)}[rnd.IntN(4)]
			case 5:
				s.Fan = !s.Fan
			}
		}
		return s
	}
	// A reading that is no number is null, and a patch with null takes the member away.
	without := func(v any) any { return merge(map[string]any{}, v) }
	now := defaults()
	client := parse(t, string(root.appendDocument(nil, reflect.ValueOf(now), shown)))
	for range 2000 {
		next := random(now)
		var items []Item
		for _, f := range fields {
			if !f.equal(reflect.ValueOf(now), reflect.ValueOf(next)) {
				items = append(items, Item{Field: f})
			}
		}
		text := string(patches.append(nil, items, reflect.ValueOf(next), shown))
		client = merge(client, parse(t, text))
		now = next
		want := without(parse(t, string(root.appendDocument(nil, reflect.ValueOf(now), shown))))
		if !reflect.DeepEqual(client, want) {
			t.Fatalf("the patch %s leads to %v, want %v", text, client, want)
		}
	}
}

func TestCheckSeesTheSettingsTogether(t *testing.T) {
	r := start(t, 0, Options{Check: func(v any) []FieldError {
		if s := v.(settings); s.Mode == "on" && s.Fan {
			return []FieldError{{Path: "fan", Text: "cannot run while the mode is on"}}
		}
		return nil
	}})
	if err := r.dev.Set(Program, func(s *settings) { s.Mode = "on" }); err != nil {
		t.Fatal(err)
	}
	err := r.dev.Set(Program, func(s *settings) { s.Fan = true })
	var invalid *Invalid
	if !errors.As(err, &invalid) || err.Error() != "device: fan cannot run while the mode is on" || r.dev.Get().Fan {
		t.Error(err)
	}
}
