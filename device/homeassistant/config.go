package homeassistant

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/device"
)

// A config is the message by which Home Assistant discovers one entity. The names of its members are
// Home Assistant's.
type config struct {
	Name     string `json:"name"`
	UniqueID string `json:"unique_id"`

	State   string `json:"state_topic,omitempty"`
	Command string `json:"command_topic,omitempty"`
	Status  string `json:"availability_topic"` // the texts "online" and "offline" are the defaults

	Category string   `json:"entity_category,omitempty"` // config, diagnostic
	Class    string   `json:"device_class,omitempty"`
	Measured string   `json:"state_class,omitempty"`
	Unit     string   `json:"unit_of_measurement,omitempty"`
	Options  []string `json:"options,omitempty"`
	Mode     string   `json:"mode,omitempty"`
	Min      *float64 `json:"min,omitempty"`
	Max      *float64 `json:"max,omitempty"`
	Step     float64  `json:"step,omitempty"`

	Device product `json:"device"`
	Origin origin  `json:"origin"`
}

// A product is the device that the entities belong to.
type product struct {
	Identifiers  []string `json:"identifiers"`
	Name         string   `json:"name"`
	Manufacturer string   `json:"manufacturer,omitempty"`
	Model        string   `json:"model,omitempty"`
	Version      string   `json:"sw_version,omitempty"`
	URL          string   `json:"configuration_url,omitempty"`
}

// An origin is what has sent the message, for logs.
type origin struct {
	Name    string `json:"name"`
	Version string `json:"sw_version,omitempty"`
}

// The limits of Home Assistant.
const (
	maxText  = 255   // characters of a state, and of a text
	minStep  = 0.001 // of a number
	farAway  = 1e9   // the limit of a number that has none; without it Home Assistant takes 1 and 100
	boxAbove = 500   // steps: a slider with more is no help
)

// component says how a field is shown, and whether it can be set.
func component(f *device.Field, mayset bool) string {
	numeric := f.Type == "integer" || f.Type == "number"
	least, most := limits(f)
	switch {
	case f.Type == "boolean" && mayset:
		return "switch"
	case f.Type == "boolean":
		return "binary_sensor"
	case !mayset || numeric && least >= most: // a number without a choice
		return "sensor"
	case numeric:
		return "number"
	case f.Enum != nil:
		return "select"
	case least > maxText || most < 1: // Home Assistant has no such text
		return "sensor"
	}
	return "text"
}

// describe fills in what depends on the field and its component.
func (c *config) describe(f *device.Field, component string) {
	c.Name = title(f)
	least, most := limits(f)
	switch component {
	case "sensor", "binary_sensor":
		if !f.ReadOnly {
			c.Category = "diagnostic"
		}
	default:
		c.Category = "config"
	}
	switch component {
	case "sensor":
		c.Unit, c.Class = unit(f)
		switch {
		case f.Enum != nil:
			c.Unit, c.Class, c.Options = "", "enum", f.Enum
		case f.Type != "string":
			c.Measured = "measurement"
		}
	case "number":
		c.Unit, c.Class = unit(f)
		c.Min, c.Max = &least, &most
		if c.Step = f.Step; c.Step == 0 {
			c.Step = minStep
			if f.Type == "integer" {
				c.Step = 1
			}
		}
		c.Step = max(c.Step, minStep)
		if c.Mode = "slider"; (most-least)/c.Step > boxAbove {
			c.Mode = "box"
		}
	case "select":
		c.Options = f.Enum
	case "text":
		most = min(most, maxText)
		least = min(max(least, 0), most-1) // Home Assistant refuses a text of one length
		c.Min, c.Max = &least, &most
	}
}

// limits returns those of a number.
func limits(f *device.Field) (least, most float64) {
	least, most = -farAway, farAway
	if f.Min != nil {
		least = *f.Min
	}
	if f.Max != nil {
		most = *f.Max
	}
	return least, most
}

// unit returns the unit as Home Assistant writes it, and the class that goes with it, if there is
// but one.
func unit(f *device.Field) (unit, class string) {
	switch f.Unit {
	case "°C", "°F", "K":
		return f.Unit, "temperature"
	case "us":
		return "µs", "duration"
	case "ms", "s", "min", "h":
		return f.Unit, "duration"
	case "V", "mV":
		return f.Unit, "voltage"
	case "A", "mA":
		return f.Unit, "current"
	case "W", "kW":
		return f.Unit, "power"
	case "Hz", "kHz":
		return f.Unit, "frequency"
	case "hPa", "Pa", "bar":
		return f.Unit, "pressure"
	}
	return f.Unit, ""
}

// title returns the name of a field for people: "led.brightness" is "Led brightness", and
// "readings.temperature" is "Temperature".
func title(f *device.Field) string {
	path := f.Path
	if _, inner, ok := strings.Cut(path, "."); ok && f.ReadOnly {
		path = inner
	}
	return words(path)
}

// words makes words of a name: the first with a capital.
func words(name string) string {
	text := strings.Map(func(r rune) rune {
		if strings.ContainsRune("._-", r) {
			return ' '
		}
		return r
	}, name)
	_, n := utf8.DecodeRuneInString(text)
	return strings.ToUpper(text[:n]) + text[n:]
}

// payload returns a value as Home Assistant has it in a state, from the value in JSON. "None" is
// unknown. An empty text of a sensor is that, too: Home Assistant ignores an empty state.
func (x *entity) payload(value []byte) []byte {
	switch {
	case string(value) == "null", string(value) == `""` && !x.mayset:
		return []byte("None")
	case x.field.Type == "boolean":
		if string(value) == "true" {
			return []byte("ON")
		}
		return []byte("OFF")
	case x.field.Type != "string":
		return value
	}
	var text string
	json.Unmarshal(value, &text) // package device has encoded it
	n := 0
	for i := range text {
		if n == maxText {
			return []byte(text[:i])
		}
		n++
	}
	return []byte(text)
}

// patch returns the merge patch that sets a field to what a command says, or false if the command is
// none.
func patch(f *device.Field, command []byte) ([]byte, bool) {
	if !utf8.Valid(command) || utf8.RuneCount(command) > maxText {
		return nil, false
	}
	var value []byte
	switch f.Type {
	case "boolean":
		switch string(command) {
		case "ON":
			value = []byte("true")
		case "OFF":
			value = []byte("false")
		default:
			return nil, false
		}
	case "string":
		value, _ = json.Marshal(string(command)) // a string is always encoded
	default:
		var n json.Number
		if json.Unmarshal(command, &n) != nil || len(command) == 0 || command[0] == '"' || string(n) == "" {
			return nil, false
		}
		value = []byte(n)
	}
	names := strings.Split(f.Path, ".")
	for i := len(names) - 1; i >= 0; i-- {
		name, _ := json.Marshal(names[i])
		value = append(append(append([]byte("{"), name...), ':'), append(value, '}')...)
	}
	return value, true
}
