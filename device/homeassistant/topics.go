package homeassistant

import (
	"errors"
	"strings"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/device"
)

// Topics are the names of the topics of one device. Their patterns are for the rules of a bridge.
type Topics struct {
	// ID is the device's own: letters, digits, "-" and "_". No two devices of a broker have the same,
	// and it stays the same: Home Assistant knows the device by it.
	ID string

	// Prefix is that of discovery in Home Assistant; "homeassistant" when "".
	Prefix string
}

// Status returns the topic that says whether the device is there: "online" or "offline".
func (t Topics) Status() string { return t.ID + "/status" }

// States returns the pattern of the topics with the values of settings and readings.
func (t Topics) States() string { return t.ID + "/state/+" }

// Commands returns the pattern of the topics on which settings are set and actions called.
func (t Topics) Commands() string { return t.ID + "/set/+" }

// Configs returns the pattern of the topics by which the device is discovered.
func (t Topics) Configs() string { return t.prefix() + "/+/" + t.ID + "/+/config" }

func (t Topics) prefix() string {
	if t.Prefix == "" {
		return "homeassistant"
	}
	return t.Prefix
}

func (t Topics) state(object string) string   { return t.ID + "/state/" + object }
func (t Topics) command(object string) string { return t.ID + "/set/" + object }

func (t Topics) config(component, object string) string {
	return t.prefix() + "/" + component + "/" + t.ID + "/" + object + "/config"
}

// commanded returns the object that a topic commands, or "".
func (t Topics) commanded(topic string) string {
	object, ok := strings.CutPrefix(topic, t.ID+"/set/")
	if !ok || strings.Contains(object, "/") {
		return ""
	}
	return object
}

func (t Topics) check() error {
	if t.ID == "" || !plain(t.ID) {
		return errors.New("homeassistant: Topics.ID must have letters, digits, - and _")
	}
	if !broadcast.ValidTopic(t.prefix()) {
		return errors.New("homeassistant: Topics.Prefix is no topic")
	}
	return nil
}

// plain reports whether a text can be part of a topic of discovery.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// objectOf returns the name of a field in topics: its path, with "-" for each character that they
// cannot have.
func objectOf(f *device.Field) string {
	return strings.Map(func(r rune) rune {
		if plain(string(r)) {
			return r
		}
		return '-'
	}, f.Path)
}
