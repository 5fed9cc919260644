package modbus

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/mgr"
)

// who changes the settings when registers have changed: a part of the program.
var who = device.Who{Name: "modbus", Role: device.Admin, Via: device.Program.Via}

// A BindOptions says how often registers are read. The zero value reads those of unit 1 each second.
type BindOptions[T any] struct {
	Unit  byte          // of fields whose tag names none; default 1
	Every time.Duration // between two rounds; default 1 s. A round that takes longer is not overtaken
	// Gap is up to how many registers that no field has are read with those around them, to save a
	// request: default 8, negative none. Some devices refuse to read what they do not have.
	Gap int
	// After, unless nil, is called in the change that each round makes, with its error, for a field
	// such as Online. It may be called twice for a round. It is called under the lock of the device,
	// and must not call it. The error has the error of each request that has failed; it is one line.
	After func(s *T, err error)
	// OnError, unless nil, is called on the loop for each value that cannot be written, and for
	// those that were read and that the declaration does not allow. After gets the errors
	// of reading.
	OnError func(error)
}

// A Binding keeps the fields of a device's settings and the registers of units equal. A round of
// reads puts the registers' values into the fields, in one change. A field that others change, and
// whose table can be written, is written; until that is done, no read changes it. The units have
// the last word: what they did not take is what they say in the next round.
//
// The fields have a tag beside that of package device:
//
//	Flow  float64 `device:"flow,unit=°C,readonly" modbus:"input,0,int16,scale=0.1"`
//	Set   float64 `device:"set,unit=°C,min=20,max=60" modbus:"holding,10,uint16,scale=0.1"`
//	Pump  bool    `device:"pump" modbus:"coil,0"`
//	Alarm bool    `device:"alarm,readonly" modbus:"input,7,bit=3"`
//
// The table is coil, discrete, input or holding; the address counts from 0. The type of registers
// is uint16 (the default), int16, uint32, int32, float32, uint64, int64 or float64. The options are
//
//	scale=N   the value is the register's times N
//	offset=N  and N is added to it
//	low       of the registers of a value, the lowest word comes first
//	swap      the bytes of each register are swapped
//	bit=N     a bool is bit N of the register, 0 to 15; it is read only
//	unit=N    the unit
type Binding[T any] struct {
	x      *Master
	dev    *device.Device[T]
	o      BindOptions[T]
	points []*point
	blocks []*block
	timer  *mgr.Timer
	seq    uint64 // counts rounds and writes
	began  uint64 // of the round that goes on
	left   int    // blocks of it
	errs   []error
}

// block is what one request reads.
type block struct {
	unit   byte
	table  Table
	addr   uint16
	n      int
	values []uint16 // nil: not read in this round
}

// Bind makes a Binding and begins to read. It is for the time before the loop runs, as OnChange is;
// m is the first manager of the device's group, and that of x. The queue of x gets room for the
// requests of a round beside Options.Queue.
// It returns an error for a tag that is wrong.
func Bind[T any](m *mgr.Manager, x *Master, dev *device.Device[T], opts ...BindOptions[T]) (*Binding[T], error) {
	b := &Binding[T]{x: x, dev: dev}
	if len(opts) > 0 {
		b.o = opts[0]
	}
	if b.o.Unit == 0 {
		b.o.Unit = 1
	}
	if b.o.Every <= 0 {
		b.o.Every = time.Second
	}
	if b.o.Gap == 0 {
		b.o.Gap = 8
	}
	fields := map[string]*device.Field{}
	for _, f := range dev.Fields() {
		fields[f.Path] = f
	}
	if err := b.declare(reflect.TypeFor[T](), nil, "", fields); err != nil {
		return nil, err
	}
	if len(b.points) == 0 {
		return nil, errors.New("modbus: no field has a tag \"modbus\"")
	}
	b.blocks = blocksOf(b.points, b.o.Gap)
	x.o.Queue += len(b.blocks) // a round asks for all of them at once
	dev.OnChange(b.changed)
	b.timer = m.Every(b.o.Every, b.Round)
	m.AfterFunc(0, b.Round)
	return b, nil
}

// Stop ends the rounds. Requests under way end by themselves.
func (b *Binding[T]) Stop() { b.timer.Stop() }

// declare collects the points of a struct.
func (b *Binding[T]) declare(t reflect.Type, index []int, prefix string, fields map[string]*device.Field) error {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clip(slices.Clone(index)), i)
		path := prefix + nameOf(f)
		tag, tagged := f.Tag.Lookup("modbus")
		if !tagged {
			if f.Type.Kind() == reflect.Struct && fields[path] == nil {
				if err := b.declare(f.Type, at, path+".", fields); err != nil {
					return err
				}
			}
			continue
		}
		field := fields[path]
		if field == nil {
			return fmt.Errorf("modbus: field %s: it and the structs around it need a name in the tag \"device\"", f.Name)
		}
		p, err := parsePoint(tag, f.Type)
		if err != nil {
			return fmt.Errorf("modbus: field %s: %w", f.Name, err)
		}
		if p.unit == 0 {
			p.unit = b.o.Unit
		}
		p.index, p.path, p.readOnly = at, path, field.ReadOnly || p.table == Input || p.table == Discrete || p.bit >= 0
		if p.readOnly && !field.ReadOnly {
			return fmt.Errorf("modbus: field %s: its registers cannot be written, so it has to be readonly", f.Name)
		}
		b.points = append(b.points, p)
	}
	return nil
}

// blocksOf groups points into the requests that read them.
func blocksOf(points []*point, gap int) (blocks []*block) {
	sorted := slices.Clone(points)
	slices.SortStableFunc(sorted, func(a, b *point) int {
		if a.unit != b.unit {
			return int(a.unit) - int(b.unit)
		}
		if a.table != b.table {
			return int(a.table) - int(b.table)
		}
		return int(a.addr) - int(b.addr)
	})
	var last *block
	for _, p := range sorted {
		most := mostReadRegs
		if p.table.bits() {
			most = mostReadBits
		}
		if last != nil && last.unit == p.unit && last.table == p.table && int(p.addr) <= int(last.addr)+last.n+max(gap, 0) &&
			int(p.addr)+p.words-int(last.addr) <= most {
			last.n = max(last.n, int(p.addr)+p.words-int(last.addr))
		} else {
			last = &block{unit: p.unit, table: p.table, addr: p.addr, n: p.words}
			blocks = append(blocks, last)
		}
		p.block = last
	}
	return blocks
}

// Round reads all registers, unless a round goes on. It belongs to the loop.
func (b *Binding[T]) Round() {
	if b.left > 0 {
		return
	}
	b.seq++
	b.began, b.errs = b.seq, nil
	b.left = len(b.blocks)
	for _, bl := range b.blocks {
		bl.values = nil
		err := b.x.Read(bl.unit, bl.table, bl.addr, bl.n, func(v []uint16, err error) { b.took(bl, v, err) })
		if err != nil {
			b.took(bl, nil, err)
		}
	}
}

func (b *Binding[T]) took(bl *block, v []uint16, err error) {
	if err != nil {
		err = fmt.Errorf("unit %d, %v %d to %d: %w", bl.unit, bl.table, bl.addr, int(bl.addr)+bl.n-1, err)
		b.errs = append(b.errs, err)
	}
	bl.values = v
	if b.left--; b.left == 0 {
		b.apply()
	}
}

// failures are the errors of a round.
type failures []error

func (f failures) Unwrap() []error { return f }

func (f failures) Error() string {
	var texts []string
	for _, err := range f {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}

func (b *Binding[T]) fail(err error) {
	if b.o.OnError != nil {
		b.o.OnError(err)
	}
}

// apply puts what a round has read into the settings. Values that the declaration does not allow
// are left out, so that one of them does not keep the others from coming.
func (b *Binding[T]) apply() {
	refused, after := map[string]bool{}, b.o.After
	var failed error
	if len(b.errs) > 0 {
		failed = failures(b.errs)
	}
	for range len(b.points) + 2 {
		err := b.dev.Set(who, func(s *T) {
			v := reflect.ValueOf(s).Elem()
			for _, p := range b.points {
				if p.block.values != nil && p.writing == 0 && p.written < b.began && !refused[p.path] {
					at := int(p.addr - p.block.addr)
					p.decode(v.FieldByIndex(p.index), p.block.values[at:at+p.words])
				}
			}
			if after != nil {
				after(s, failed)
			}
		})
		if err == nil {
			return
		}
		b.fail(err)
		var invalid *device.Invalid
		if !errors.As(err, &invalid) {
			return
		}
		more := false
		for _, f := range invalid.Fields {
			more = more || !refused[f.Path]
			refused[f.Path] = true
			if !slices.ContainsFunc(b.points, func(p *point) bool { return p.path == f.Path }) {
				after = nil // it is the program's own
			}
		}
		if !more {
			return
		}
	}
}

// changed writes what others have changed.
func (b *Binding[T]) changed(c *device.Change) {
	if c.Who == who {
		return
	}
	for _, p := range b.points {
		if p.readOnly {
			continue
		}
		for _, it := range c.Items {
			if it.Field.Path == p.path {
				b.write(p, it.To)
			}
		}
	}
}

// write begins to write a value, given as JSON. It is that of the change: a round may have put an
// older one into the settings since.
func (b *Binding[T]) write(p *point, value string) {
	v := reflect.New(reflect.TypeFor[T]().FieldByIndex(p.index).Type)
	err := json.Unmarshal([]byte(value), v.Interface())
	var words []uint16
	if err == nil {
		words, err = p.encode(v.Elem())
	}
	if err == nil {
		b.seq++
		p.written = b.seq
		p.writing++
		if err = b.x.Write(p.unit, p.table, p.addr, words, func(err error) { b.wrote(p, err) }); err != nil {
			p.writing--
		}
	}
	if err != nil {
		b.fail(fmt.Errorf("modbus: %s: %w", p.path, err))
	}
}

func (b *Binding[T]) wrote(p *point, err error) {
	p.writing--
	if err != nil {
		b.fail(fmt.Errorf("modbus: %s: %w", p.path, err))
	}
}
