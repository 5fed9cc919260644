// Package broadcast distributes messages by topic: any goroutine publishes, and the WebSockets and streams of server-sent
// events that have subscribed get them on their loops.
//
//	hub := broadcast.NewHub(broadcast.Options{Retain: true}, m)
//
//	func handle(c *conn.Conn, ev conn.Event) {
//		switch ev := ev.(type) {
//		case *http.Message:
//			websocket.Upgrade(c, ev, nil)
//		case *websocket.Open:
//			hub.Subscribe(c, "sensors/+/temperature")
//		}
//	}
//
//	go func() {
//		for t := range temperatures {
//			hub.Publish("sensors/kitchen/temperature", t)
//		}
//	}()
//
// # Topics
//
// A topic has levels, which "/" separates. In a pattern "+" stands for any one level, and "#" at the end for any number. What a
// publish costs grows with the levels of its topic and with those who get it, not with the number of topics and patterns.
//
// # Slow subscribers
//
// Publish waits for nobody. A message is encoded once for all WebSockets, and once for all streams of events; connections hold
// references to it. One whose connection is full, because its peer does not read fast enough, has messages wait for it, up to
// SubscribeOptions.Limit. What is over that is dealt with by its Policy: the oldest make room, the new one is skipped, only the
// latest of each topic is kept, or the connection is closed. Nothing is dropped without being counted, in Stats, by topic and by
// subscriber, and with TellMissed the subscriber itself is told, in the place where messages are missing.
//
// # History
//
// With Options.History each topic's last messages are kept. Every message has an offset; they rise by one, over all topics, so
// that a subscriber to any pattern goes on from one number: that of the last message it got, in SubscribeOptions.Since. It
// gets what it missed, read from history as fast as its connection takes it, and then the live messages. Messages that
// history no longer has are told as Missed. The first offset of a run is random in its high bits, so an offset of an earlier run is
// recognized: the subscriber gets all that is kept then, and Missed with Reset.
//
// # Order
//
// Each subscriber gets each message once, in the order of the offsets; only the history that a later Subscribe asks for comes
// behind what was sent before. Messages that one goroutine publishes have rising offsets. PublishTo goes between those that were
// published before and after it.
package broadcast
