// Package broadcast distributes messages by topic: any goroutine publishes, and the WebSockets and
// streams of server-sent events that have subscribed get them on their loops.
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
// A topic has levels, which "/" separates. In a pattern "+" stands for any one level, and "#" at
// the end for any number. The cost of a publish grows with the levels of its topic and with the
// subscribers that get it, not with the number of topics and patterns. To keep that true whatever
// patterns there are, a pattern with "+" has 12 levels at most, of which 4 may be "+".
//
// # Encoding
//
// A WebSocket gets Message.Data as it is, unless Options.Encode says otherwise; with the function
// JSON it gets topic and offset too. A stream of events gets events of the default type, which
// EventSource gives to onmessage whatever the topic, with the data that JSON makes;
// Options.EncodeEvent may say otherwise. Their ids are the offsets, and Missed is an event of the
// type "missed".
//
// # Who may do what
//
// The hub itself allows everything: the program that calls it decides. With SubscribeOptions.Rights
// a subscription is checked, and ends when its time is over. Keys sign and check tokens that hold
// the rights of a client, for DoorOptions.Authorize or a program's own use.
//
// # Slow subscribers
//
// Publish never waits for a subscriber. A message is encoded once for all WebSockets, and once for
// all streams of events; connections hold references to it. One whose connection is full, because
// its peer does not read fast enough, has messages wait for it, up to SubscribeOptions.Limit.
// Beyond that its Policy decides: the oldest make room, the new one is skipped, only the latest of
// each topic is kept, or the connection is closed. Nothing is dropped without being counted, in
// Stats, by topic and by subscriber, and with TellMissed the subscriber itself is told, before any
// message that comes after the gap.
//
// With SubscribeOptions.MinInterval a subscriber gets of each topic at most one message in that
// time, the newest: for a page that need not see every reading, or a tab that is hidden.
//
// With SubscribeOptions.Delta it gets, instead of a JSON object, the merge patch (RFC 7396) against
// the one that it has.
//
// # History
//
// With Options.History each topic's last messages are kept. Every message has an offset; they rise
// by one, over all topics, so that a subscriber to any pattern goes on from one number: that of the
// last message it got, in SubscribeOptions.Since. It gets what it missed, read from history as fast
// as its connection takes it, and then the live messages. Messages that history no longer has are
// told as Missed. The first offset of a run is random in its high bits, so an offset of an earlier
// run is recognized: the subscriber gets all that is kept then, and Missed with Reset. ParseSince
// reads what a client says its offset is. Delete drops what is kept of a topic; its subscribers are
// told, and those that were away are told later.
//
// The cost of reading history grows with the messages that it brings. A pattern with wildcards may
// have to look through the names of many topics. All readers of a loop share a bounded number of
// looks in each turn, so that other connections are not held up; Stats counts them. History.Total
// bounds memory: data, encoded forms and the names of topics.
//
// # Engines
//
// With Options.Engine several hubs, in several programs, share topics. The engine puts all messages
// into one order and stores them. Publish gives a message to it, and subscribers get it when it
// comes back; PublishLater says which offset it has, or that it was not stored. While the engine is
// down Publish returns ErrDown. Each hub keeps a history of its own of what the engine delivers,
// and reads the engine's when it starts: CaughtUp says when it has. A client may come back to
// any node with its offset; if that node lags, it gets what comes after the offset. Messages that
// the engine has no more are told as Missed, and a new stream as Missed with Reset. Holes in the
// offsets are no loss: a node need not see all topics. PublishTo, PublishExcept, Subscribers and
// Presence know the connections of their own hub alone.
//
// # Order
//
// Each subscriber gets each message once, in the order of the offsets; only the history that a
// later Subscribe asks for comes after what was sent before. Messages that one goroutine publishes
// have rising offsets, with an engine too. PublishTo goes between those that were published before
// and after it.
//
// # Pages
//
// A Door is the path of an HTTP server at which clients come in to a hub: they subscribe, go on
// from their offset, publish, and show tokens, as docs/browser.md says. Script serves mangusta.js,
// the client of pages; Dial is that of programs.
package broadcast
