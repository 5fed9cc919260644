package main

import (
	"encoding/json"
	"strconv"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/websocket"
)

// encode appends {"topic":"a/b","offset":12,"data":…}, where data is the message itself if it is JSON, and else a string of it.
func encode(b []byte, m *broadcast.Message) (websocket.Op, []byte) {
	b = appendString(append(b, `{"topic":`...), m.Topic)
	b = strconv.AppendUint(append(b, `,"offset":`...), m.Offset, 10)
	b = append(b, `,"data":`...)
	if json.Valid(m.Data) {
		b = append(b, m.Data...)
	} else {
		b = appendString(b, string(m.Data))
	}
	return websocket.Text, append(b, '}')
}

// appendString appends s in JSON.
func appendString(b []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string can always be encoded
	return append(b, text...)
}
