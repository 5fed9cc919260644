package homeassistant_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/homeassistant"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// settings have each kind of entity.
type settings struct {
	Name   string     `device:"name,min=1,max=32"`
	Note   string     `device:"note"`
	Mode   string     `device:"mode,enum=auto|off"`
	Fan    bool       `device:"fan"`
	Target float64    `device:"target,unit=°C,min=5,max=30,step=0.5"`
	Count  uint8      `device:"count"`
	Gate   netip.Addr `device:"gate"`
	WiFi   struct {
		SSID     string `device:"ssid,max=300"`
		Password string `device:"password,secret"`
		Channel  int    `device:"channel,min=1,max=13"`
	} `device:"wifi,role=admin"`
	Delay    time.Duration `device:"delay,unit=us,min=0,max=1000000"`
	Readings struct {
		Celsius float64 `device:"celsius,unit=°C"`
		Door    bool    `device:"door_open"`
		State   string  `device:"state,enum=idle|busy"`
		Text    string  `device:"text"`
	} `device:"readings,readonly"`
}

func defaults() settings {
	s := settings{Name: "box", Mode: "auto", Target: 21}
	s.WiFi.Channel, s.Readings.State, s.Readings.Celsius = 6, "idle", math.NaN()
	return s
}

// A rig is a device on a loop that the test turns, and what goes to the broker.
type rig struct {
	t    *testing.T
	m    *mgr.Manager
	dev  *device.Device[settings]
	hub  *broadcast.Hub
	ha   *homeassistant.Entities
	sent []string // topic, a blank, and the text or "deleted"
	log  bytes.Buffer
	done []string // actions that have run
}

var topics = homeassistant.Topics{ID: "box-1"}

func newRig(t *testing.T, p mgr.Poller, o homeassistant.Options) *rig {
	t.Helper()
	r := &rig{t: t}
	var err error
	if r.m, err = mgr.New(mgr.Options{Poller: p, Queue: 64}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.m.Close() })
	log := slog.New(slog.NewTextHandler(&r.log, nil))
	if r.dev, err = device.New(r.m, defaults(), device.Options{Log: log}); err != nil {
		t.Fatal(err)
	}
	for _, a := range []device.Action{
		{Name: "identify", Role: device.User}, {Name: "fill-up", Role: device.User, Confirm: "Really?"},
		{Name: "wipe", Role: device.User, Confirm: "Really?"}, {Name: "reboot"},
	} {
		a.Run = func(who device.Who) error {
			r.done = append(r.done, a.Name+" by "+who.Name)
			return nil
		}
		r.dev.Action(a)
	}
	r.hub = broadcast.NewHub(broadcast.Options{Tap: func(m *broadcast.Message, id string) {
		text := string(m.Data)
		if m.Deleted {
			text = "deleted"
		}
		r.sent = append(r.sent, m.Topic+" "+text)
		r.ha.Tap(m, id)
	}}, r.m)
	o.Topics, o.Log = topics, log
	if r.ha, err = homeassistant.New(r.m, r.dev, r.hub, o); err != nil {
		t.Fatal(err)
	}
	return r
}

// turn turns the loop until nothing is left to do at once.
func (r *rig) turn() {
	for range 5 {
		if err := r.m.Poll(0); err != nil {
			r.t.Fatal(err)
		}
	}
}

// took returns what was sent since the last call.
func (r *rig) took() []string {
	r.turn()
	sent := r.sent
	r.sent = nil
	return sent
}

func (r *rig) want(want ...string) {
	r.t.Helper()
	if got := r.took(); !slices.Equal(got, want) {
		r.t.Errorf("sent %q, want %q", got, want)
	}
}

func (r *rig) set(f func(s *settings)) {
	r.t.Helper()
	if err := r.dev.Set(device.Program, f); err != nil {
		r.t.Fatal(err)
	}
}

// command has Home Assistant publish.
func (r *rig) command(object, text string) {
	r.t.Helper()
	topic := "box-1/set/" + object
	if !broadcast.Match(topics.Commands(), topic) {
		r.t.Errorf("%s does not match %s", topic, topics.Commands())
	}
	if _, err := r.hub.Publish(topic, []byte(text)); err != nil {
		r.t.Fatal(err)
	}
	r.turn()
	r.sent = slices.DeleteFunc(r.sent, func(s string) bool { return strings.HasPrefix(s, topic+" ") })
}

func TestDiscovery(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := newRig(t, p, homeassistant.Options{Name: "Box", Model: "B1", Version: "1.2", URL: "http://box.local/", Confirmed: []string{"fill-up"}})
		r.want() // nothing before Announce
		r.set(func(s *settings) { s.Fan = true })
		r.want()
		r.ha.Announce()
		got := map[string]string{}
		for _, s := range r.took() {
			topic, text, _ := strings.Cut(s, " ")
			if _, ok := got[topic]; ok {
				t.Errorf("%s comes twice", topic)
			}
			if !broadcast.Match(topics.States(), topic) && !broadcast.Match(topics.Configs(), topic) {
				t.Errorf("%s would not go to the broker", topic)
			}
			got[topic] = text
		}
		const common = `"availability_topic":"box-1/status",`
		const of = `"device":{"identifiers":["box-1"],"name":"Box","model":"B1","sw_version":"1.2","configuration_url":"http://box.local/"},"origin":{"name":"mangusta","sw_version":"1.2"}`
		want := map[string]string{}
		entity := func(component, object, name, state, rest string) {
			both := fmt.Sprintf(`"state_topic":"box-1/state/%s","command_topic":"box-1/set/%[1]s",`, object)
			switch component {
			case "sensor", "binary_sensor":
				both = fmt.Sprintf(`"state_topic":"box-1/state/%s",`, object)
			case "button":
				both = fmt.Sprintf(`"command_topic":"box-1/set/%s",`, object)
			}
			if rest != "" {
				rest += ","
			}
			want["homeassistant/"+component+"/box-1/"+object+"/config"] = fmt.Sprintf(`{"name":"%s","unique_id":"box-1.%s",`, name, object) + both + common + rest + of + "}"
			if component != "button" {
				want["box-1/state/"+object] = state
			}
		}
		entity("text", "name", "Name", "box", `"entity_category":"config","min":1,"max":32`)
		entity("text", "note", "Note", "", `"entity_category":"config","min":0,"max":255`)
		entity("select", "mode", "Mode", "auto", `"entity_category":"config","options":["auto","off"]`)
		entity("switch", "fan", "Fan", "ON", `"entity_category":"config"`)
		entity("number", "target", "Target", "21", `"entity_category":"config","device_class":"temperature","unit_of_measurement":"°C","mode":"slider","min":5,"max":30,"step":0.5`)
		entity("number", "count", "Count", "0", `"entity_category":"config","mode":"box","min":-1000000000,"max":1000000000,"step":1`)
		entity("text", "gate", "Gate", "", `"entity_category":"config","min":0,"max":255`)
		entity("sensor", "wifi-ssid", "Wifi ssid", "None", `"entity_category":"diagnostic"`)
		entity("sensor", "wifi-channel", "Wifi channel", "6", `"entity_category":"diagnostic","state_class":"measurement"`)
		entity("number", "delay", "Delay", "0", `"entity_category":"config","device_class":"duration","unit_of_measurement":"µs","mode":"box","min":0,"max":1000000,"step":0.001`)
		entity("sensor", "readings-celsius", "Celsius", "None", `"device_class":"temperature","state_class":"measurement","unit_of_measurement":"°C"`)
		entity("binary_sensor", "readings-door_open", "Door open", "OFF", "")
		entity("sensor", "readings-state", "State", "idle", `"device_class":"enum","options":["idle","busy"]`)
		entity("sensor", "readings-text", "Text", "None", "")
		entity("button", "action-identify", "Identify", "", "")
		entity("button", "action-fill-up", "Fill up", "", "")
		for topic, text := range want {
			if got[topic] != text {
				t.Errorf("%s:\n%s, want\n%s", topic, got[topic], text)
			}
		}
		for topic := range got {
			if _, ok := want[topic]; !ok {
				t.Errorf("%s is more than there should be", topic)
			}
		}
	})
}

func TestCommands(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := newRig(t, p, homeassistant.Options{Confirmed: []string{"fill-up"}})
		r.ha.Announce()
		r.took()
		for _, tt := range []struct{ object, text, want string }{
			{"name", `Küche "1"`, `box-1/state/name Küche "1"`},
			{"name", "", "box-1/state/name Küche \"1\""}, // refused: the state is told again
			{"name", "\xff", "box-1/state/name Küche \"1\""},
			{"note", strings.Repeat("ü", 255), "box-1/state/note " + strings.Repeat("ü", 255)},
			{"note", strings.Repeat("ü", 256), "box-1/state/note " + strings.Repeat("ü", 255)},
			{"note", "", "box-1/state/note "},
			{"mode", "off", "box-1/state/mode off"},
			{"mode", "on", "box-1/state/mode off"},
			{"fan", "ON", "box-1/state/fan ON"},
			{"fan", "on", "box-1/state/fan ON"},
			{"fan", "OFF", "box-1/state/fan OFF"},
			{"target", "22.5", "box-1/state/target 22.5"},
			{"target", "22.7", "box-1/state/target 22.5"},
			{"target", `"23"`, "box-1/state/target 22.5"},
			{"target", "23}", "box-1/state/target 22.5"},
			{"target", "null", "box-1/state/target 22.5"},
			{"target", "", "box-1/state/target 22.5"},
			{"count", "7.0", "box-1/state/count 7"},
			{"count", "-1", "box-1/state/count 7"},
			{"gate", "192.0.2.1", "box-1/state/gate 192.0.2.1"},
			{"gate", "nowhere", "box-1/state/gate 192.0.2.1"},
			{"delay", "1000", "box-1/state/delay 1000"},
			{"wifi-channel", "3", ""}, // for an admin alone
			{"wifi-password", "x", ""},
			{"readings-celsius", "3", ""},
			{"nothing", "1", ""},
		} {
			r.command(tt.object, tt.text)
			var want []string
			if tt.want != "" {
				want = []string{tt.want}
			}
			if got := r.took(); !slices.Equal(got, want) {
				t.Errorf("%s %q: sent %q, want %q", tt.object, tt.text, got, want)
			}
		}
		if s := r.dev.Get(); s.Target != 22.5 || s.WiFi.Channel != 6 || s.Delay != time.Millisecond {
			t.Errorf("%+v", s)
		}
		for object, want := range map[string][]string{
			"action-identify": {"identify by home assistant"}, "action-fill-up": {"fill-up by home assistant"}, "action-wipe": nil, "action-reboot": nil, "action-x": nil,
		} {
			r.done = nil
			r.command(object, "PRESS")
			r.command(object, "press")
			if !slices.Equal(r.done, want) {
				t.Errorf("%s: %q, want %q", object, r.done, want)
			}
		}
		r.want()
	})
}

// A client of the broker has the rights that the program gives, and no more.
func TestRole(t *testing.T) {
	r := newRig(t, 0, homeassistant.Options{Role: device.Admin})
	r.ha.Announce()
	r.took()
	r.command("wifi-channel", "3")
	r.want("box-1/state/wifi-channel 3")
	r.command("action-reboot", "PRESS")
	if len(r.done) != 1 {
		t.Errorf("%q", r.done)
	}

	r = newRig(t, 0, homeassistant.Options{Role: device.Viewer})
	r.ha.Announce()
	for _, s := range r.took() {
		topic, _, _ := strings.Cut(s, " ")
		if c := strings.Split(topic, "/")[1]; strings.HasPrefix(topic, "homeassistant/") && c != "sensor" && c != "binary_sensor" {
			t.Errorf("a viewer is offered %s", s)
		}
	}
	r.command("fan", "ON")
	r.want()
}

// Settings are told at once, readings now and then.
func TestReadingsWait(t *testing.T) {
	r := newRig(t, 0, homeassistant.Options{Every: 20 * time.Millisecond})
	r.ha.Announce()
	r.took()
	r.set(func(s *settings) { s.Readings.Celsius, s.Fan = 20, true })
	r.want("box-1/state/fan ON", "box-1/state/readings-celsius 20")
	for i := range 10 {
		r.set(func(s *settings) { s.Readings.Celsius = 21 + float64(i) })
	}
	var got []string
	for end := time.Now().Add(time.Minute); len(got) == 0 && time.Now().Before(end); {
		r.m.Poll(5 * time.Millisecond)
		got = r.took()
	}
	if last := "box-1/state/readings-celsius 30"; !slices.Equal(got, []string{last}) {
		t.Errorf("sent %q, want %q", got, last)
	}

	r = newRig(t, 0, homeassistant.Options{Every: time.Hour})
	r.ha.Announce()
	r.took()
	r.set(func(s *settings) { s.Readings.Celsius = 1 })
	r.want("box-1/state/readings-celsius 1")
	r.set(func(s *settings) { s.Readings.Celsius = 2 })
	r.want()
	r.ha.Announce() // tells all
	if got := strings.Join(r.took(), "\n"); !strings.Contains(got, "box-1/state/readings-celsius 2") {
		t.Errorf("sent %s", got)
	}

	r = newRig(t, 0, homeassistant.Options{Every: -1})
	r.ha.Announce()
	r.took()
	for i := range 3 {
		r.set(func(s *settings) { s.Readings.Celsius = float64(i) })
		r.want(fmt.Sprint("box-1/state/readings-celsius ", i))
	}
}

// Home Assistant refuses a text whose least length is not less than its greatest one.
func TestTextsOfOneLength(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s := struct {
		PIN  string `device:"pin,min=4,max=4"`
		Long string `device:"long,min=255,max=255"`
		More string `device:"more,min=256,max=300"`
	}{"1234", strings.Repeat("x", 255), strings.Repeat("x", 256)}
	dev, err := device.New(m, s)
	if err != nil {
		t.Fatal(err)
	}
	sent := map[string]string{}
	hub := broadcast.NewHub(broadcast.Options{Tap: func(m *broadcast.Message, _ string) { sent[m.Topic] = string(m.Data) }}, m)
	ha, err := homeassistant.New(m, dev, hub, homeassistant.Options{Topics: topics})
	if err != nil {
		t.Fatal(err)
	}
	ha.Announce()
	if err := m.Poll(0); err != nil {
		t.Fatal(err)
	}
	for topic, part := range map[string]string{
		"homeassistant/text/box-1/pin/config": `"min":3,"max":4`, "homeassistant/text/box-1/long/config": `"min":254,"max":255`,
		"homeassistant/sensor/box-1/more/config": `"state_topic"`,
	} {
		if !strings.Contains(sent[topic], part) {
			t.Errorf("%s: %s, want %s", topic, sent[topic], part)
		}
	}
}

// Home Assistant ignores an entity whose unique_id another one has, of whichever device.
func TestNoTwoDevicesHaveAUniqueIDInCommon(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	one, err := device.New(m, struct {
		A bool `device:"led_on"`
	}{})
	if err != nil {
		t.Fatal(err)
	}
	two, err := device.New(m, struct {
		A bool `device:"on"`
	}{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	hub := broadcast.NewHub(broadcast.Options{Tap: func(m *broadcast.Message, _ string) {
		var c struct {
			ID string `json:"unique_id"`
		}
		if json.Unmarshal(m.Data, &c) == nil && c.ID != "" {
			seen[c.ID] = true
		}
	}}, m)
	for id, dev := range map[string]homeassistant.Device{"box": one, "box_led": two} {
		ha, err := homeassistant.New(m, dev, hub, homeassistant.Options{Topics: homeassistant.Topics{ID: id}})
		if err != nil {
			t.Fatal(err)
		}
		ha.Announce()
	}
	if err := m.Poll(0); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 2 {
		t.Errorf("two entities have the identifiers %v", seen)
	}
}

func TestRefusals(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	type clash struct {
		A struct {
			B int `device:"b"`
		} `device:"a"`
		AB int `device:"a-b"`
	}
	dev, err := device.New(m, clash{})
	if err != nil {
		t.Fatal(err)
	}
	hub := broadcast.New(m)
	for _, tt := range []struct {
		topics homeassistant.Topics
		want   string
	}{
		{homeassistant.Topics{}, "homeassistant: Topics.ID must have letters, digits, - and _"},
		{homeassistant.Topics{ID: "a/b"}, "homeassistant: Topics.ID must have letters, digits, - and _"},
		{homeassistant.Topics{ID: "a", Prefix: "x/#"}, "homeassistant: Topics.Prefix is no topic"},
		{homeassistant.Topics{ID: "azAZ09-_"}, "homeassistant: two settings or actions would have the topic azAZ09-_/state/a-b"},
		{homeassistant.Topics{ID: "a"}, "homeassistant: two settings or actions would have the topic a/state/a-b"},
	} {
		if _, err := homeassistant.New(m, dev, hub, homeassistant.Options{Topics: tt.topics}); fmt.Sprint(err) != tt.want {
			t.Errorf("%+v: %v, want %s", tt.topics, err, tt.want)
		}
	}
}

// A text of any length and a name in any script have a form that Home Assistant takes.
func TestLongAndForeignTexts(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	type foreign struct {
		A string `device:"größe"`
		B string `device:"übel,readonly"`

		PIN   string  `device:"pin,min=4,max=4"`
		Fixed int     `device:"fixed,min=3,max=3"`
		Fine  float64 `device:"fine,min=0,max=1,step=0.00001"`
	}
	dev, err := device.New(m, foreign{B: strings.Repeat("ä", 300), PIN: "1234", Fixed: 3})
	if err != nil {
		t.Fatal(err)
	}
	sent := map[string]string{}
	hub := broadcast.NewHub(broadcast.Options{Tap: func(m *broadcast.Message, _ string) { sent[m.Topic] = string(m.Data) }}, m)
	ha, err := homeassistant.New(m, dev, hub, homeassistant.Options{Topics: homeassistant.Topics{ID: "x", Prefix: "ha"}})
	if err != nil {
		t.Fatal(err)
	}
	ha.Announce()
	for range 5 {
		m.Poll(0)
	}
	if got := sent["x/state/-bel"]; got != strings.Repeat("ä", 255) {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	var c struct{ Name string }
	if err := json.Unmarshal([]byte(sent["ha/sensor/x/-bel/config"]), &c); err != nil || c.Name != "Übel" {
		t.Errorf("%v %+v %q", err, c, sent)
	}
	for _, topic := range []string{"ha/text/x/gr--e/config", "ha/text/x/pin/config", "ha/sensor/x/fixed/config"} {
		if _, ok := sent[topic]; !ok {
			t.Errorf("no %s in %q", topic, sent)
		}
	}
	if text := sent["ha/number/x/fine/config"]; !strings.Contains(text, `"step":0.001`) {
		t.Error(text)
	}
}
