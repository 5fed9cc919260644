// Package json replies to requests of package http with JSON. It is a package of its own because a
// program that imports encoding/json grows by 12 KB even when it does not use it. It shadows that
// package's name.
package json

import (
	"encoding/json"
	"fmt"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// Reply replies to the request of c with v in JSON, as json.Marshal makes it, and the type
// application/json. It returns the error of json.Marshal, and the errors of http.ReplyBytes. After
// an error the request still waits.
func Reply(c *conn.Conn, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("http: reply json: %w", err)
	}
	return http.ReplyBytes(c, status, "application/json", b)
}
