package device

import (
	"testing"

	"github.com/seed4930a636/mangusta/mgr"
)

// A part of the program, such as one that reads registers, has a name of its own in the audit, and
// sets readings. No other may.
func TestAPartOfTheProgramSetsReadings(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	d, err := New(m, defaults())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Set(Who{Name: "modbus", Role: Admin, Via: Program.Via}, func(s *settings) { s.Celsius = 21 }); err != nil || d.Get().Celsius != 21 {
		t.Errorf("a part of the program: %v, %v", d.Get().Celsius, err)
	}
	err = d.Set(Who{Name: "program", Role: Admin, Via: "192.0.2.1"}, func(s *settings) { s.Celsius = 5 })
	if err == nil || err.Error() != "device: celsius cannot be set" || d.Get().Celsius != 21 {
		t.Errorf("another: %v, %v", d.Get().Celsius, err)
	}
}
