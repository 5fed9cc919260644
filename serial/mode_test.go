package serial

import "testing"

func TestParseMode(t *testing.T) {
	for s, want := range map[string]Mode{
		"9600":               {9600, 8, NoParity, 1, NoFlow},
		"19200 8E1":          {19200, 8, Even, 1, NoFlow},
		"115200 7O2 rtscts":  {115200, 7, Odd, 2, RTSCTS},
		" 1200  5M1 xonxoff": {1200, 5, Mark, 1, XonXoff},
		"300 6S2":            {300, 6, Space, 2, NoFlow},
	} {
		if m, err := ParseMode(s); err != nil || m != want {
			t.Errorf("%q: %v, %v", s, m, err)
		}
	}
	for _, s := range []string{"", "x", "0", "-9600", "9600 8", "9600 8X1", "9600 8e1", "9600 4N1", "9600 0N1", "9600 8N0", "9600 8N3", "9600 8N1 rts",
		"9600 8N1 rtscts more", "999999999999", "200000000", "9600 :N1", "9600 8N11"} {
		if m, err := ParseMode(s); err == nil {
			t.Errorf("%q: %v", s, m)
		}
	}
	if m := (Mode{}); m.String() != "9600 8N1" || m.CharBits() != 10 || (Mode{Parity: Even, StopBits: 2}).CharBits() != 12 {
		t.Error(m, m.CharBits())
	}
}
