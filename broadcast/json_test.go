package broadcast

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/websocket"
)

func TestJSONHasTheDataWhereItIsJSONAndElseAString(t *testing.T) {
	for data, want := range map[string]string{
		`{"a":1}`: `"data":{"a":1}`, "[]": `"data":[]`, "1e3": `"data":1e3`, "null": `"data":null`, " true\n": "\"data\": true\n",
		`"x"`: `"data":"x"`, "": `"data":""`, "NaN": `"data":"NaN"`, "{": `"data":"{"`, "1 2": `"data":"1 2"`,
		"a\"\\\n\r\t\x00\x1fé😀": `"data":"a\"\\\n\r\t\u0000\u001fé😀"`,
		"\xff\x00":              `"base64":"/wA="`, "\"\xff\"": `"base64":"Iv8i"`,
	} {
		op, b := JSON([]byte("in front "), &Message{Topic: `t"`, Offset: 7, Data: []byte(data)})
		if text := `in front {"topic":"t\"","offset":7,` + want + `}`; string(b) != text || op != websocket.Text {
			t.Errorf("%q: %v %s, want %s", data, op, b, text)
		}
	}
}

func TestNestingOfJSONIsBounded(t *testing.T) {
	for n, want := range map[int]bool{maxDepth: true, maxDepth + 1: false, 10_000_000: false} {
		if got := validJSON([]byte(strings.Repeat("[", n) + strings.Repeat("]", n))); got != want {
			t.Errorf("%d deep: %v", n, got)
		}
	}
}

// FuzzJSON compares with encoding/json: what is valid, and what a reader makes of the encoding.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{"", "0", "-0.5e+10", "01", "-", "1.", "1e", ".5", "tru", "true", "[1,2]", "[1,]", "[,1]", "[", `{"a":{"b":[null,false]}}`,
		`{"a"}`, `{"a":}`, `{a:1}`, `{"a":1,}`, `"\u12aF\n\/"`, `"\u12a"`, `"\x"`, "\"\n\"", `"\`, `"\ud800"`, "\"\xff\"", " [ ] ", "\xef\xbb\xbf1", "a\u2028b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1000 {
			return
		}
		valid := validJSON(data)
		if want := json.Valid(data) && utf8.Valid(data); valid != want && strings.Count(string(data), "[")+strings.Count(string(data), "{") < maxDepth {
			t.Fatalf("%q: valid %v, want %v", data, valid, want)
		}
		_, b := JSON(nil, &Message{Topic: "a/b", Offset: 5, Data: data})
		var doc struct {
			Topic  string
			Offset uint64
			Data   json.RawMessage
			Base64 string
		}
		if err := json.Unmarshal(b, &doc); err != nil || doc.Topic != "a/b" || doc.Offset != 5 {
			t.Fatalf("%q: %s: %v", data, b, err)
		}
		switch {
		case !utf8.Valid(data):
			if got, err := base64.StdEncoding.DecodeString(doc.Base64); err != nil || string(got) != string(data) {
				t.Fatalf("%q: %s", data, b)
			}
		case valid:
			if string(doc.Data) != strings.Trim(string(data), " \t\r\n") {
				t.Fatalf("%q: %s", data, doc.Data)
			}
		default:
			var s string
			if err := json.Unmarshal(doc.Data, &s); err != nil || s != string(data) {
				t.Fatalf("%q: %q, %v", data, s, err)
			}
		}
	})
}
