// Package homeassistant shows the settings, readings and actions of a device in Home Assistant, by
// MQTT discovery (https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery).
//
// All comes from the declaration: a reading becomes a sensor or a binary_sensor; a setting becomes a
// number, a switch, a select or a text; an action becomes a button. Names, units, limits and steps are
// those of the tags. Nothing is configured in Home Assistant.
//
//	topics := homeassistant.Topics{ID: "boiler-4711"}
//	bridge, err := mqtt.New(mqtt.Options{
//		URL: "mqtt://broker.local:1883", Client: topics.ID, Status: topics.Status(),
//		In:      []mqtt.In{{Filter: topics.Commands(), QoS: 1}},
//		Out:     []mqtt.Out{{Pattern: topics.Configs(), QoS: 1, Retain: true}, {Pattern: topics.States(), QoS: 1, Retain: true}},
//		Changed: func(connected bool) { if connected { ha.Announce() } },
//	})
//	hub := broadcast.NewHub(broadcast.Options{Tap: func(m *broadcast.Message, id string) { bridge.Tap(m, id); ha.Tap(m, id) }}, m)
//	ha, err := homeassistant.New(m, dev, hub, homeassistant.Options{Topics: topics, Name: "Boiler"})
//
// The package itself speaks no MQTT: it publishes to a broadcast.Hub, which package mqtt joins with a
// broker. While that bridge is away, the broker says so on Topics.Status, and Home Assistant shows
// the device as unavailable.
//
// # What is left out
//
// Secrets are not shown, and cannot be set. A setting that needs a higher role than Options.Role is
// shown, and cannot be set. An action that asks for a confirmation, which a button of Home Assistant
// cannot do, is a button only if Options.Confirmed names it.
package homeassistant
