package broadcast

import (
	"encoding/json"
	"testing"
)

// FuzzWire compares what reads the messages of Doors and their clients with encoding/json.
func FuzzWire(f *testing.F) {
	for _, s := range []string{`{"token":"a\u00e9\ud83d\ude00\n","subscribe":{"a/+":12,"b":null},"unsubscribe":["c"]}`,
		`{"publish":"a","base64":"/w==","id":7,"ping":true}`, `{"topic":"a","offset":1,"data":[{"x":"}"}]}`,
		`{"missed":3,"reset":true}`, `{"\ud800":"\udc00x","":{}}`, `[1,"\\"]`, "{\"publish\":\"a\"}\n\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		parseOrder(b)
		parseNotice(b)
		if !validJSON(b) { // only that it ends, without a panic
			for _, v := range members(b) {
				unquote(v)
			}
			for v := range elements(b) {
				unquote(v)
			}
			return
		}
		var list []json.RawMessage
		if json.Unmarshal(b, &list) == nil && list != nil {
			n := 0
			for v := range elements(b) {
				if n < len(list) && string(v) != string(list[n]) {
					t.Fatalf("element %d of %q is %q, want %q", n, b, v, list[n])
				}
				n++
			}
			if n != len(list) {
				t.Fatalf("%d elements in %q, want %d", n, b, len(list))
			}
		}
		var want map[string]json.RawMessage
		if json.Unmarshal(b, &want) != nil || want == nil {
			return
		}
		got := make(map[string][]byte)
		for name, v := range members(b) {
			got[name] = v // of two with one name the last one counts
			var s string
			if v[0] == '"' && json.Unmarshal(v, &s) == nil {
				if text, ok := unquote(v); !ok || text != s {
					t.Fatalf("%q is %q, want %q", v, text, s)
				}
			}
		}
		for name, v := range want {
			if string(got[name]) != string(v) {
				t.Fatalf("%q of %q is %q, want %q", name, b, got[name], v)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d members in %q, want %d", len(got), b, len(want))
		}
	})
}
