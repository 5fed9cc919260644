package main

import (
	"errors"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/json"
)

// publish answers POST /publish/{topic} of those who are authorized.
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
	receipt, err := s.hub.Publish(topic, m.Body)
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

// authorized reports whether r may publish, and answers it when it may not (RFC 6750 §3). It is asked before the body has come.
func (s *server) authorized(c *conn.Conn, r *http.Request) bool {
	credentials := r.Credentials()
	switch {
	case s.cfg.token == "" || credentials.IsBearer(s.cfg.token):
		return true
	case credentials.Scheme == http.AuthBearer:
		http.SetHeader(c, "WWW-Authenticate", `Bearer realm="publish", error="invalid_token"`)
		refuse(c, 401, "the token is wrong")
	default:
		http.SetHeader(c, "WWW-Authenticate", `Bearer realm="publish"`)
		refuse(c, 401, "publishing takes a token: Authorization: Bearer TOKEN")
	}
	return false
}
