package server

import (
	"errors"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/json"
	"github.com/seed4930a636/mangusta/mgr"
)

// publish replies to POST /publish/{topic} of authorized clients: with an engine, after it has
// stored the message.
func (s *server) publish(c *conn.Conn, m *http.Message) {
	topic := string(m.PathValue("topic"))
	if !broadcast.ValidTopic(topic) {
		refuse(c, 400, "%q is no topic: that is 1 to 1024 bytes of UTF-8 without +, # and control characters", topic)
		return
	}
	if !utf8.Valid(m.Body) {
		refuse(c, 415, "the message is not UTF-8: send binary data encoded, as Base64 for instance")
		return
	}
	if s.cfg.more.Engine == nil {
		receipt, err := s.hub.Publish(topic, m.Body)
		published(c, topic, receipt, err)
		return
	}
	later, loop := m.Later(), mgr.Of(c)
	s.hub.PublishLater(topic, m.Body, func(receipt broadcast.Receipt, err error) {
		// The engine bounds how many are on their way.
		loop.Complete(func() {
			later.With(func(c *conn.Conn) { published(c, topic, receipt, err) })
		})
	})
}

// published says what became of a message.
func published(c *conn.Conn, topic string, receipt broadcast.Receipt, err error) {
	switch {
	case errors.Is(err, broadcast.ErrFull):
		http.SetHeader(c, "Retry-After", "1")
		refuse(c, 429, "too many messages wait for their subscribers")
	case err != nil:
		http.SetHeader(c, "Retry-After", "5")
		refuse(c, 503, "%v", err)
	default:
		json.Reply(c, 200, struct {
			Topic       string `json:"topic"`
			Offset      uint64 `json:"offset"`
			Subscribers int    `json:"subscribers"`
		}{topic, receipt.Offset, receipt.Subscribers})
	}
}
