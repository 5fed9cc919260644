package modbus

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/mgr"
)

type settings struct {
	Name  string  `device:"name"`
	Set   float64 `device:"set,unit=°C,min=20,max=60,step=0.5" modbus:"holding,10,uint16,scale=0.1"`
	Pump  bool    `device:"pump" modbus:"coil,3"`
	Total uint32  `device:"total,readonly" modbus:"input,2,uint32,low"`
	Flow  float64 `device:"flow,readonly" modbus:"input,0,int16,scale=0.1"`
	Deep  struct {
		Alarm bool    `device:"alarm" modbus:"input,7,bit=3"`
		Power float32 `device:"power" modbus:"input,40,float32,unit=8"`
		Door  bool    `device:"door" modbus:"discrete,9"`
	} `device:"deep,readonly"`
	Bias   int    `device:"bias,min=-1000,max=1000" modbus:"holding,11,int16"`
	Online bool   `device:"online,readonly"`
	Error  string `device:"error,readonly"`
}

// bound is a rig with a device whose registers are those of two slaves.
type bound struct {
	*rig
	dev    *device.Device[settings]
	b      *Binding[settings]
	a      *slave
	errs   []error
	rounds int
}

func newBound(t *testing.T) *bound {
	t.Helper()
	b := &bound{rig: newManager(t, mgr.Auto), a: &slave{unit: 7}}
	url, _ := tcp(t, b.a)
	b.x = TCP(b.Manager, url, Options{Timeout: 5 * time.Second})
	dev, err := device.New(b.Manager, settings{Set: 40, Name: "pump"})
	if err != nil {
		t.Fatal(err)
	}
	b.dev = dev
	b.b, err = Bind(b.Manager, b.x, dev, BindOptions[settings]{
		Unit: 7, Every: time.Hour, OnError: func(err error) { b.errs = append(b.errs, err) },
		After: func(s *settings, err error) {
			s.Online, s.Error = err == nil, ""
			if err != nil {
				s.Error = err.Error()
			}
			b.rounds++
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// round reads all registers once more.
func (b *bound) round() {
	b.t.Helper()
	b.until("no round goes on", func() bool { return b.b.left == 0 })
	n := b.rounds
	b.b.Round()
	b.until("the round is over", func() bool { return b.rounds > n })
}

func TestBindingReadsAndWrites(t *testing.T) {
	b := newBound(t)
	b.a.set(func() {
		b.a.regs[1][10], b.a.regs[1][11] = 455, 0xff9c // 45.5, -100
		b.a.regs[0][0], b.a.regs[0][2], b.a.regs[0][3] = 0xffd7, 0x5678, 0x1234
		b.a.regs[0][7] = 1 << 3
		b.a.bits[0][3], b.a.bits[1][9] = true, true
	})
	// Unit 8 does not reply: its error is told, and all others are read.
	b.x.o.Timeout, b.x.o.Retries = 50*time.Millisecond, -1
	b.round()
	s := b.dev.Get()
	if s.Set != 45.5 || s.Bias != -100 || s.Flow != -4.1 || s.Total != 0x12345678 || !s.Deep.Alarm || !s.Pump || !s.Deep.Door || s.Name != "pump" {
		t.Errorf("%+v; errors %v", s, b.errs)
	}
	if s.Online || !strings.Contains(s.Error, "unit 8, input 40 to 41: modbus: no reply") {
		t.Errorf("online %v, %q", s.Online, s.Error)
	}
	b.x.o.Timeout = 5 * time.Second
	b.b.blocks[len(b.b.blocks)-1].unit = 7 // from now on it does
	bits := math.Float32bits(3.25)
	b.a.set(func() { b.a.regs[0][40], b.a.regs[0][41] = uint16(bits>>16), uint16(bits) })
	b.round()
	if s := b.dev.Get(); !s.Online || s.Deep.Power != 3.25 || s.Error != "" {
		t.Errorf("%+v", s)
	}

	// A change is written; a round does not undo it meanwhile.
	before := b.a.asked()
	if err := b.dev.Set(device.Program, func(s *settings) { s.Set, s.Pump, s.Bias = 52.5, false, -7 }); err != nil {
		t.Fatal(err)
	}
	b.b.Round() // it is begun before the change is told
	b.until("the writes have come", func() bool { return b.a.asked() >= before+len(b.b.blocks)+3 })
	b.round()
	if s := b.dev.Get(); s.Set != 52.5 || s.Pump || s.Bias != -7 {
		t.Errorf("%+v", s)
	}
	b.a.set(func() {
		if b.a.regs[1][10] != 525 || b.a.bits[0][3] || b.a.regs[1][11] != 0xfff9 {
			t.Errorf("registers %d, %v, %#x", b.a.regs[1][10], b.a.bits[0][3], b.a.regs[1][11])
		}
	})

	// If the unit does not take a value, the next round brings back the unit's own.
	b.errs = nil
	b.a.set(func() {
		b.a.reply = func(_ int, f []byte) [][]byte {
			if f[7] != writeRegister {
				return [][]byte{f}
			}
			b.a.regs[1][10] = 525
			return [][]byte{appendTCP(nil, uint16(f[0])<<8|uint16(f[1]), f[6], []byte{f[7] | failed, byte(IllegalValue)})}
		}
	})
	b.dev.Set(device.Program, func(s *settings) { s.Set = 30 })
	b.until("the error is told", func() bool { return len(b.errs) > 0 })
	if err := b.errs[0]; !errors.Is(err, IllegalValue) || err.Error() != "modbus: set: modbus: illegal data value" {
		t.Errorf("error %v", err)
	}
	b.round()
	if s := b.dev.Get(); s.Set != 52.5 {
		t.Errorf("set is %v", s.Set)
	}

	// A value that the declaration does not allow keeps no other from coming.
	b.errs = nil
	b.a.set(func() { b.a.reply = nil; b.a.regs[1][10], b.a.regs[0][0] = 9999, 77 })
	b.round()
	if s := b.dev.Get(); s.Set != 52.5 || s.Flow != 7.7 || len(b.errs) != 1 {
		t.Errorf("%+v; errors %v", s, b.errs)
	}
	b.errs = nil
	b.b.o.After = func(s *settings, _ error) { s.Error = "two\nlines"; b.rounds++ }
	b.a.set(func() { b.a.regs[0][0] = 78 })
	b.round()
	b.b.o.After = nil
	if s := b.dev.Get(); s.Flow != 7.8 || len(b.errs) == 0 {
		t.Errorf("After set what is not allowed: %+v; errors %v", s, b.errs)
	}
	b.b.Stop()
}

// A round that has read before the change, and is applied after it.
// A round has more requests than the queue has room for: all of them are asked, in each round, and
// the program's requests find their room beside them.
func TestARoundLargerThanTheQueue(t *testing.T) {
	type wide struct {
		A      uint16 `device:"a,readonly" modbus:"holding,0"`
		B      uint16 `device:"b,readonly" modbus:"holding,1000"`
		C      uint16 `device:"c,readonly" modbus:"holding,2000"`
		D      uint16 `device:"d,readonly" modbus:"holding,3000"`
		Rounds int    `device:"rounds,readonly"`
	}
	s := &slave{unit: 1}
	s.regs[1][0], s.regs[1][1000], s.regs[1][2000], s.regs[1][3000] = 1, 2, 3, 4
	url, _ := tcp(t, s)
	r := newManager(t, mgr.Auto)
	r.x = TCP(r.Manager, url, Options{Timeout: 5 * time.Second, Queue: 1})
	dev, err := device.New(r.Manager, wide{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Bind(r.Manager, r.x, dev, BindOptions[wide]{Every: time.Hour, After: func(s *wide, err error) {
		if err != nil {
			t.Error(err)
		}
		s.Rounds++
	}}); err != nil {
		t.Fatal(err)
	}
	r.until("a round goes on", func() bool { return r.x.Waiting() > 0 || dev.Get().Rounds > 0 })
	if _, err := r.read(1, Holding, 0, 1); err != nil {
		t.Errorf("beside the round: %v", err)
	}
	r.until("the round is over", func() bool { return dev.Get().Rounds > 0 })
	if v := dev.Get(); v.A != 1 || v.B != 2 || v.C != 3 || v.D != 4 {
		t.Errorf("%+v", v)
	}
}

func TestAChangeDuringARound(t *testing.T) {
	b := newBound(t)
	b.x.o.Retries = -1
	b.b.blocks[len(b.b.blocks)-1].unit = 7
	b.a.set(func() { b.a.regs[1][10] = 300 })
	b.round()
	first := true
	b.a.set(func() {
		b.a.reply = func(_ int, f []byte) [][]byte {
			if first {
				first = false
				b.dev.Set(device.Program, func(s *settings) { s.Set = 44 })
			}
			return [][]byte{f}
		}
	})
	b.round()
	b.round()
	b.until("the write has come", func() bool { b.a.mu.Lock(); defer b.a.mu.Unlock(); return b.a.regs[1][10] == 440 })
	b.round()
	if s := b.dev.Get(); s.Set != 44 {
		t.Errorf("set is %v", s.Set)
	}
}

// A round that goes on when a change comes does not show the old value again.
func TestARoundDoesNotUndoAChange(t *testing.T) {
	b := newBound(t)
	var history []string
	b.dev.OnChange(func(c *device.Change) {
		for _, it := range c.Items {
			if it.Field.Path == "set" {
				history = append(history, c.Who.Name+" "+it.To)
			}
		}
	})
	b.b.blocks[len(b.b.blocks)-1].unit = 7
	b.a.set(func() { b.a.regs[1][10] = 300 })
	b.round()
	b.b.Round() // its requests go out at the end of the next turn
	if err := b.dev.Set(device.Program, func(s *settings) { s.Set = 44 }); err != nil {
		t.Fatal(err)
	}
	b.until("the write has come", func() bool { b.a.mu.Lock(); defer b.a.mu.Unlock(); return b.a.regs[1][10] == 440 })
	b.round()
	b.round()
	if want := []string{"modbus 30", "program 44"}; !slices.Equal(history, want) {
		t.Errorf("%q, want %q", history, want)
	}
}

// The value of the change is written, though a round has put the old one back before the change was
// told.
func TestTheChangeIsWrittenAndNotWhatCameAfterIt(t *testing.T) {
	b := newBound(t)
	b.b.blocks[len(b.b.blocks)-1].unit = 7
	b.a.set(func() { b.a.regs[1][10] = 300 })
	b.round()
	for i, w := range []device.Who{device.Program, who} { // both before the loop turns
		if err := b.dev.Set(w, func(s *settings) { s.Set = []float64{44, 30}[i] }); err != nil {
			t.Fatal(err)
		}
	}
	b.until("the write has come", func() bool { b.a.mu.Lock(); defer b.a.mu.Unlock(); return b.a.regs[1][10] == 440 })
	b.round()
	if s := b.dev.Get(); s.Set != 44 {
		t.Errorf("set is %v", s.Set)
	}
}

func TestPoints(t *testing.T) {
	for _, tt := range []struct {
		tag   string
		words []uint16
		value any
	}{
		{"holding,0", []uint16{65535}, 65535}, {"holding,0,int16", []uint16{65535}, -1}, {"holding,0,int16,swap", []uint16{0xfeff}, -2},
		{"holding,0,uint32", []uint16{1, 2}, 65538}, {"holding,0,uint32,low", []uint16{2, 1}, 65538}, {"holding,0,uint32,low,swap", []uint16{0x200, 0x100}, 65538},
		{"holding,0,int32", []uint16{0xffff, 0xfffe}, int32(-2)}, {"holding,0,uint64", []uint16{0xffff, 0xffff, 0xffff, 0xffff}, uint64(math.MaxUint64)},
		{"holding,0,int64", []uint16{0x8000, 0, 0, 0}, int64(math.MinInt64)}, {"holding,0,float32", []uint16{0x4148, 0}, 12.5},
		{"holding,0,float64", []uint16{0x4029, 0, 0, 0}, 12.5}, {"holding,0,scale=0.1", []uint16{215}, 21.5}, {"holding,0,int16,scale=0.01,offset=-40", []uint16{100}, -39.0},
		{"holding,0,int16,scale=10", []uint16{0xffff}, -10}, {"holding,0,float32,scale=1000", []uint16{0x3f80, 0}, 1000},
	} {
		p, err := parsePoint(tt.tag, reflect.TypeOf(tt.value))
		if err != nil {
			t.Errorf("%s: %v", tt.tag, err)
			continue
		}
		v := reflect.New(reflect.TypeOf(tt.value)).Elem()
		p.decode(v, tt.words)
		if v.Interface() != tt.value {
			t.Errorf("%s: %v, want %v", tt.tag, v, tt.value)
		}
		if got, err := p.encode(v); err != nil || !reflect.DeepEqual(got, tt.words) {
			t.Errorf("%s: %v became %#x, %v; want %#x", tt.tag, tt.value, got, err, tt.words)
		}
	}
	for _, tt := range []struct {
		tag   string
		value any
	}{
		{"holding,0", 65536}, {"holding,0", -1}, {"holding,0,int16", 32768}, {"holding,0,scale=0.1", 6553.6}, {"holding,0,uint32", -1.0}, {"holding,0", math.NaN()},
		{"holding,0,int16", math.Inf(1)},
	} {
		p, err := parsePoint(tt.tag, reflect.TypeOf(tt.value))
		if err != nil {
			t.Fatal(err)
		}
		if words, err := p.encode(reflect.ValueOf(tt.value)); err == nil {
			t.Errorf("%s: %v became %#x", tt.tag, tt.value, words)
		}
	}
	var small int8
	p, _ := parsePoint("holding,0", reflect.TypeOf(small))
	v := reflect.ValueOf(&small).Elem()
	if p.decode(v, []uint16{300}); small != 0 {
		t.Errorf("300 in an int8 is %d", small)
	}
	var f float64
	p, _ = parsePoint("input,0,float32", reflect.TypeOf(f))
	if p.decode(reflect.ValueOf(&f).Elem(), []uint16{0x7fc0, 0}); f != 0 {
		t.Errorf("no number is %v", f)
	}
}

func TestTagsThatAreRefused(t *testing.T) {
	for tag, want := range map[string]string{
		"":                     `table "": want coil, discrete, input or holding`,
		"holding":              "it has no address",
		"holding,70000":        `address "70000": want 0 to 65535`,
		"holding,-1":           `address "-1": want 0 to 65535`,
		"holding,1,word":       `option "word": it is none of this package`,
		"holding,1,scale=0":    `option "scale=0": want a number that is not 0`,
		"holding,1,scale=x":    `option "scale=x": strconv.ParseFloat: parsing "x": invalid syntax`,
		"holding,1,scale=Inf":  `option "scale=Inf": want a finite number`,
		"holding,1,offset=NaN": `option "offset=NaN": want a finite number`,
		"holding,1,unit=0":     `option "unit=0": want 1 to 247`,
		"holding,1,bit=16":     `option "bit=16": want 0 to 15`,
		"holding,1,bit=2":      "a bit cannot be a int",
		"coil,1":               "a bit cannot be a int",
		"holding,65535,int32":  "it goes past address 65535",
	} {
		if _, err := parsePoint(tag, reflect.TypeFor[int]()); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", tag, err, want)
		}
	}
	if _, err := parsePoint("holding,0", reflect.TypeFor[string]()); err == nil {
		t.Error("a string")
	}
	if _, err := parsePoint("holding,0", reflect.TypeFor[time.Duration]()); err == nil {
		t.Error("a duration")
	}
	if _, err := parsePoint("coil,0,int32", reflect.TypeFor[bool]()); err == nil {
		t.Error("a coil with a type")
	}
	r := newManager(t, mgr.Auto)
	refuse(t, r, struct {
		A int `device:"a" modbus:"input,0"`
	}{}, "modbus: field A: its registers cannot be written, so it has to be readonly")
	refuse(t, r, struct {
		A int `modbus:"holding,0"`
	}{}, `modbus: field A: it and the structs around it need a name in the tag "device"`)
	refuse(t, r, struct {
		A int `device:"a"`
	}{}, `modbus: no field has a tag "modbus"`)
}

func refuse[T any](t *testing.T, r *rig, v T, want string) {
	t.Helper()
	dev, err := device.New(r.Manager, v)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Bind(r.Manager, TCP(r.Manager, "tcp://127.0.0.1:1"), dev); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestBlocks(t *testing.T) {
	at := func(unit byte, table Table, addr uint16, words int) *point {
		return &point{unit: unit, table: table, addr: addr, words: words}
	}
	for _, tt := range []struct {
		points []*point
		gap    int
		want   []block
	}{
		{[]*point{at(1, Holding, 4, 2), at(1, Holding, 0, 1)}, 3, []block{{1, Holding, 0, 6, nil}}},
		{[]*point{at(1, Holding, 5, 2), at(1, Holding, 0, 1)}, 3, []block{{1, Holding, 0, 1, nil}, {1, Holding, 5, 2, nil}}},
		{[]*point{at(1, Holding, 0, 1), at(1, Holding, 1, 1), at(1, Holding, 3, 1)}, -1, []block{{1, Holding, 0, 2, nil}, {1, Holding, 3, 1, nil}}},
		{[]*point{at(1, Input, 0, 1), at(1, Holding, 1, 1), at(2, Input, 1, 1)}, 8, []block{{1, Input, 0, 1, nil}, {1, Holding, 1, 1, nil}, {2, Input, 1, 1, nil}}},
		{[]*point{at(1, Input, 0, 4), at(1, Input, 1, 1)}, 8, []block{{1, Input, 0, 4, nil}}},
		{[]*point{at(1, Input, 0, 1), at(1, Input, 124, 2), at(1, Input, 125, 1)}, 200, []block{{1, Input, 0, 1, nil}, {1, Input, 124, 2, nil}}},
		{[]*point{at(1, Coils, 0, 1), at(1, Coils, 1999, 1), at(1, Coils, 2000, 1)}, 3000, []block{{1, Coils, 0, 2000, nil}, {1, Coils, 2000, 1, nil}}},
	} {
		var got []block
		for _, b := range blocksOf(tt.points, tt.gap) {
			got = append(got, *b)
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%v, want %v", got, tt.want)
		}
		for _, p := range tt.points {
			if b := p.block; p.unit != b.unit || p.addr < b.addr || int(p.addr)+p.words > int(b.addr)+b.n {
				t.Errorf("%+v is not in its block %+v", p, b)
			}
		}
	}
}
