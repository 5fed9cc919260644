package server

import (
	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// authorize returns what a client of the Door may do, where Options.Authorize decides. r is nil for
// a token that came as a message. The token of the command line may do everything.
func (s *server) authorize(r *http.Request, token string) (broadcast.Rights, error) {
	if r != nil && s.access.allows(r) || http.SecretEqual(token, s.access.token) {
		return broadcast.Rights{Publish: broadcast.ValidTopic}, nil
	}
	return s.cfg.more.Authorize(token)
}

// mayPublish is the guard of POST /publish where Options.Authorize decides.
func (s *server) mayPublish(c *conn.Conn, r *http.Request) bool {
	credentials := r.Credentials()
	if s.access.allows(r) || credentials.Scheme != http.AuthBearer {
		return s.access.guard(c, r)
	}
	rights, err := s.cfg.more.Authorize(string(credentials.Token))
	if err != nil {
		return s.access.guard(c, r) // which says that the token is wrong
	}
	topic := string(r.PathValue("topic"))
	if rights.Publish == nil || !rights.Publish(topic) {
		refuse(c, 403, "this token does not publish to %q", topic)
		return false
	}
	return true
}
