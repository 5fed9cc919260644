// Package mqtt joins the topics of a broadcast.Hub with those of an MQTT broker.
//
//	b, err := mqtt.New(mqtt.Options{
//		URL: "mqtt://127.0.0.1:1883",
//		In:  []mqtt.In{{Filter: "sensors/#"}},
//		Out: []mqtt.Out{{Pattern: "commands/#"}},
//	})
//	hub := broadcast.NewHub(broadcast.Options{Retain: true, Tap: b.Tap}, m)
//	b.Start(hub)
//
// A message that a sensor publishes with mosquitto_pub reaches all browsers that have subscribed to
// its topic, and a command that a page publishes reaches the device. Patterns and filters have the
// same syntax on both sides. The broker is one of yours (MQTT 5.0), or that of package mqtt/broker,
// in this program.
//
// # In
//
// A message of QoS 1 is acknowledged when the hub has taken it (with an engine: stored it), and not
// before. While the hub is full, or its engine down, the bridge tries again, and the broker keeps
// the rest: at most Options.ReceiveMaximum messages are on their way. A message of QoS 0 for which
// there is no room is dropped and counted. A hub with Retain gives retained messages to newcomers;
// an empty retained message deletes its topic there. A topic that the hub does not take, because it
// is longer than 1,024 bytes or has more than 64 levels, is counted, logged and acknowledged.
//
// # Out
//
// A message published to the hub goes to the broker if a rule matches it, with the QoS of the rule.
// Messages of one topic keep their order. While the broker is away up to Options.Queue of them
// wait; more are counted as lost, and logged. With Retain the broker keeps the last one, and a
// deleted topic is an empty retained message.
//
// # Loops
//
// A message that came in does not go out, and a message that this bridge has sent does not come
// back: the bridge subscribes with No Local, and it recognises its own messages by a user property,
// "mangusta-origin". So In and Out may have the same topics, and several bridges the same broker.
// With an engine that several nodes share, let one of them run the bridge.
//
// Topics that begin with "$" are bridged only if the rule begins so, too.
//
// # Figures
//
// Messages of 64 bytes with QoS 1 in a second, the median of three runs of BenchmarkBridge on two
// cores that other work shared, with the broker and its client on them, too: in 25,000 with the
// embedded broker and 21,000 with Mosquitto 2.0.11 (which saved nothing), out 49,000 and 39,000.
package mqtt
