package device

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/device/internal/rest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// ErrBusy is returned for a change while so many others wait for the loop that no more are taken.
var ErrBusy = rest.Coded("busy", "device: too many changes wait for the loop")

// ErrConflict is returned for a change of a version that is not the newest.
var ErrConflict = rest.Coded("changed", "device: the settings have changed meanwhile")

// maxWaiting bounds the changes that wait for the loop.
const maxWaiting = 1024

// Options configure a Device. The zero value works.
type Options struct {
	// File is where the settings are kept, as JSON, with mode 0600; "" keeps them nowhere. The file
	// before the last change is kept beside it, with the suffix ".old", and is read if File is
	// damaged.
	File string

	// Version is the number of the format of File. If the file has an older version, Migrate is
	// called with each version from the file's up to Version-1. It changes values, the JSON
	// document of the settings, into the form of the next version.
	Version int
	Migrate func(from int, values map[string]any) error

	// Check checks the settings as a whole, after each setting was found valid. It returns the
	// errors, or nil; T is a struct of the declared type. It is called on the goroutine of the
	// change, and must not change T or call the Device.
	Check func(T any) []FieldError

	// Who returns the sender of a request. If it is nil, a connection over a loopback address is an
	// admin, and any other is Nobody.
	Who func(c *conn.Conn, r *http.Request) Who

	// Challenge is the WWW-Authenticate of the 401 for a caller without a role and without a name
	// (RFC 9110 §11.6.1); "Bearer" when "". If Who is nil these callers get 403, since there is
	// nothing to log in with.
	Challenge string

	// Opened, unless nil, is called for each request that is to become a WebSocket of JSON-RPC,
	// before Who is asked. The function that it returns, unless nil, is called on the same loop
	// when that WebSocket has ended, or did not come about. A program that follows the WebSockets
	// in this way can close one whose user is no longer allowed.
	Opened func(c *conn.Conn, r *http.Request) (ended func())

	// WebSocket are the options of the WebSockets of JSON-RPC. A message has 64 KiB at most where
	// MaxMessage is 0.
	WebSocket websocket.Options

	// Audit is called on the loop for each change of a setting that is no reading, and for each
	// action. The last 200 entries are kept besides, for GET audit.
	Audit func(Entry)

	// Hub, unless nil, gets the document of the settings after each change, on Topic; "settings"
	// when "". A hub that retains sends it to each new subscriber. A hub that makes patches
	// (SubscribeOptions.Delta) sends only the changes to the others.
	Hub   *broadcast.Hub
	Topic string

	// Log gets what went wrong in the background: a file that could not be read or written.
	// slog.Default when nil.
	Log *slog.Logger

	disk disk.FS
}

// A Change is what OnChange gets. It never changes.
type Change struct {
	Version uint64
	Who     Who
	Time    time.Time
	Items   []Item
}

// An Item is one setting of a Change.
type Item struct {
	Field    *Field
	From, To string // as JSON
}

// Has reports whether the setting at path is among those that changed.
func (c *Change) Has(path string) bool {
	return slices.ContainsFunc(c.Items, func(i Item) bool { return i.Field.Path == path })
}

// A Device is a struct of settings of the type T that others may read and change: by REST, by
// JSON-RPC, by a form in a page. New makes one. Get, Set and Flush are safe for concurrent use;
// OnChange, Action and Mount are for the time before the loop runs.
type Device[T any] struct{ core }

// core is a Device without its type.
type core struct {
	opts   Options
	m      *mgr.Manager // OnChange and actions run on its loop
	group  mgr.Group
	fields []*Field
	root   *node
	push   *push

	// These are set before the loop runs.
	onChange []func(*Change)
	actions  []*Action

	disk sync.Mutex // held by the goroutine that is at Options.File

	mu       sync.Mutex
	now      reflect.Value // the settings: a struct that is replaced, never changed
	defaults reflect.Value
	started  reflect.Value // the settings at the start: those that need a restart are compared
	version  uint64
	kept     uint64   // the version that changed something which the file has
	differ   []*Field // for reuse, as text is
	text     []byte
	waiting  []*Change
	told     bool // deliver is on its way
	store    store
	audit    []Entry
	others   []Entry // given to Record
}

// New declares T: the settings are those that opts.File has, or defaults. The loop of g's first
// manager calls the handlers.
//
// It returns an error when T cannot be declared, defaults are not valid, or the file belongs to
// something else. A file that is damaged or does not fit is reported to opts.Log, and the device
// starts with the values that it can use.
func New[T any](g mgr.Group, defaults T, opts ...Options) (*Device[T], error) {
	d := &Device[T]{}
	return d, d.init(g, reflect.ValueOf(defaults), opts...)
}

func (d *core) init(g mgr.Group, defaults reflect.Value, opts ...Options) error {
	if len(opts) > 0 {
		d.opts = opts[0]
	}
	if d.opts.Log == nil {
		d.opts.Log = slog.Default()
	}
	if d.opts.disk == nil {
		d.opts.disk = disk.OS
	}
	switch {
	case d.opts.Who == nil:
		d.opts.Who, d.opts.Challenge = local, ""
	case d.opts.Challenge == "":
		d.opts.Challenge = "Bearer"
	}
	if d.opts.WebSocket.MaxMessage == 0 {
		d.opts.WebSocket.MaxMessage = maxDocument
	}
	d.group, d.m = g, g.Managers()[0]
	var err error
	if d.fields, d.root, err = declare(defaults.Type()); err != nil {
		return err
	}
	if errs := d.wrong(defaults, d.fields); errs != nil {
		return fmt.Errorf("the defaults: %w", &Invalid{errs})
	}
	d.defaults, d.now, d.version = defaults, defaults, 1
	if d.opts.File != "" {
		if d.now, err = d.load(); err != nil {
			return err
		}
	}
	d.started = d.now
	d.push = newPush(d)
	return nil
}

// local is the default of Options.Who: the machine itself may do everything.
func local(c *conn.Conn, _ *http.Request) Who {
	if a := c.RemoteAddr().Addr().Unmap(); a.IsLoopback() {
		return Who{Name: "local", Role: Admin, Via: a.String()}
	}
	return Who{Via: c.RemoteAddr().Addr().String()}
}

// Get returns the settings. Safe for concurrent use.
func (d *Device[T]) Get() T { return d.settings().Interface().(T) }

// Set calls f to change the settings, in who's name, and checks them as a whole. Either all changes
// take effect, or none. When it returns nil, Get returns the new settings; OnChange, the pages and
// the disk follow.
//
// It returns *Invalid, with the fields that were refused, or ErrBusy. Safe for concurrent use. f is
// called once, under a lock: it must not call the Device.
func (d *Device[T]) Set(who Who, f func(s *T)) error {
	_, err := d.change(who, 0, nil, func(to reflect.Value) []FieldError {
		f(to.Addr().Interface().(*T))
		return nil
	})
	return err
}

// OnChange registers f, which is called on the loop after each change, in order, with the settings
// that were changed. Get may return newer settings by then.
func (d *core) OnChange(f func(*Change)) { d.onChange = append(d.onChange, f) }

// Fields returns the declaration, in its order. It must not be changed.
func (d *core) Fields() []*Field { return d.fields }

// Value returns the setting of a field as JSON; nil of a secret. Safe for concurrent use.
func (d *core) Value(f *Field) []byte {
	if f.Secret {
		return nil
	}
	return f.append(nil, d.settings())
}

func (d *core) settings() reflect.Value {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// allowed returns those of fields, which are to change, that who may not change.
func allowed(who Who, fields []*Field) (errs []FieldError) {
	for _, f := range fields {
		switch {
		case f.ReadOnly && who.Via != Program.Via:
			errs = append(errs, fieldError(f.Path, errReadOnly))
		case who.Role < f.Role:
			errs = append(errs, f.denied())
		}
	}
	return errs
}

// wrong returns those of fields that are not in v as they were declared; if there are none, what is
// wrong with v as a whole.
func (d *core) wrong(v reflect.Value, fields []*Field) (errs []FieldError) {
	for _, f := range fields {
		if err := f.validate(v); err != nil {
			errs = append(errs, fieldError(f.Path, err))
		}
	}
	if errs == nil && d.opts.Check != nil {
		errs = d.opts.Check(v.Interface())
	}
	return errs
}

// change is the one way in which settings change. f changes a copy. If is the version that the
// caller has seen; 0 is any. saved, unless nil, is called on any goroutine when the disk has the
// change, or with the error. It returns the new version, or the present one if nothing differs.
func (d *core) change(who Who, seen uint64, saved func(error), f func(to reflect.Value) []FieldError) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if seen != 0 && seen != d.version {
		return d.version, ErrConflict
	}
	if len(d.waiting) >= maxWaiting {
		return d.version, ErrBusy
	}
	to := reflect.New(d.now.Type()).Elem()
	to.Set(d.now)
	errs := f(to)
	d.differ = d.differ[:0]
	for _, x := range d.fields {
		if !x.equal(d.now, to) {
			d.differ = append(d.differ, x)
		}
	}
	if errs == nil {
		errs = allowed(who, d.differ)
	}
	if errs == nil && len(d.differ) > 0 { // what is as it was is valid
		errs = d.wrong(to, d.differ)
	}
	if errs != nil {
		return d.version, &Invalid{errs}
	}
	keep := false
	if len(d.differ) > 0 {
		c := &Change{Version: d.version + 1, Who: who, Time: time.Now(), Items: make([]Item, len(d.differ))}
		for i, x := range d.differ {
			c.Items[i] = d.item(x, to)
			keep = keep || !x.ReadOnly
		}
		d.now, d.version = to, c.Version
		d.push.changed(c, to)
		d.tell(c)
	}
	if keep {
		d.kept = d.version
	}
	d.save(saved)
	return d.version, nil
}

// item is the change of a setting, whose new value is in to.
func (d *core) item(f *Field, to reflect.Value) Item {
	b := f.append(d.text[:0], d.now)
	from := len(b)
	d.text = f.append(b, to)
	both := string(d.text) // one allocation for both
	return Item{f, both[:from], both[from:]}
}

// tell has c delivered on the loop.
func (d *core) tell(c *Change) {
	d.waiting = append(d.waiting, c)
	if !d.told {
		d.told = d.m.Complete(d.deliver) == nil
	}
	if !d.told { // the manager is closed
		d.waiting = nil
	}
}

// deliver passes the waiting changes to the functions that asked for them.
func (d *core) deliver() {
	d.mu.Lock()
	waiting := d.waiting
	d.waiting, d.told = nil, false
	d.mu.Unlock()
	for _, c := range waiting {
		for _, e := range c.entries() {
			d.record(e)
		}
		for _, f := range d.onChange {
			d.m.Try(func() { f(c) })
		}
	}
}

// ForgetOld waits as Flush does, and removes what is kept of the settings before: the file from before
// the last change, and one that was damaged. It is for a device that goes to another owner, after all
// settings were set to their defaults. Safe for concurrent use; a handler must not wait for it.
func (d *core) ForgetOld(ctx context.Context) error {
	if err := d.Flush(ctx); err != nil || d.opts.File == "" {
		return err
	}
	d.disk.Lock()
	defer d.disk.Unlock()
	if err := disk.Forget(d.opts.disk, d.opts.File, ".bad"); err != nil {
		return fmt.Errorf("device: %w", err)
	}
	return nil
}

// Flush waits until the disk has all changes that Set has made, and returns the error of writing
// them, or that of ctx. Safe for concurrent use; a handler must not wait for it.
func (d *core) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	d.mu.Lock()
	d.save(func(err error) { done <- err })
	d.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
