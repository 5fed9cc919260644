package dns

import (
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// RFC 2782: the lowest priority comes first; of one priority each target may be the first, also one of
// weight 0.
func TestOrderSRV(t *testing.T) {
	list := []SRV{{Target: "b", Priority: 2, Weight: 9}, {Target: "one", Priority: 1, Weight: 1}, {Target: "none", Priority: 1, Weight: 0}, {Target: "c", Priority: 3}}
	first := map[string]int{}
	for range 500 {
		got := orderSRV(list)
		if len(got) != 4 || got[2].Target != "b" || got[3].Target != "c" || got[0].Target == got[1].Target {
			t.Fatalf("%+v", got)
		}
		first[got[0].Target]++
	}
	if first["one"] == 0 || first["none"] == 0 || list[0].Target != "b" {
		t.Errorf("%v, %+v", first, list)
	}
}

func TestSameName(t *testing.T) {
	for _, tt := range []struct {
		of, name string
		same     bool
	}{
		{"a.test.", "a.test", true}, {"A.TesT.", "a.test", true}, {"a.testx", "a.test", false}, {"a.test.", "a.tes", false}, {"a.test.", "a.testx", false},
		{"a.test.", "", false}, {".", "", true}, {"", "", false}, {"x", "", false}, {".", "a", false}, {"Z@[.", "z@[", true}, {"z`{.", "z@[", false}, {"\x01.", "!", false},
	} {
		n := dnsmessage.Name{Length: uint8(len(tt.of))}
		copy(n.Data[:], tt.of)
		if got := sameName(&n, tt.name); got != tt.same {
			t.Errorf("%q is %q: %v", tt.of, tt.name, got)
		}
	}
}
