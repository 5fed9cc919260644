package homeassistant

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/mgr"
)

// Device is a *device.Device of any type.
type Device interface {
	Fields() []*device.Field
	Value(f *device.Field) []byte
	OnChange(f func(*device.Change))
	Patch(who device.Who, document []byte) error
	Actions() []device.Action
	Call(who device.Who, action string, confirmed bool, done func(error)) error
}

// Options are the settings of Entities. Topics.ID is needed.
type Options struct {
	Topics Topics

	// Name is how the device is called in Home Assistant; Topics.ID when "". The others are shown
	// beside it: URL is that of the device's own page.
	Name, Manufacturer, Model, Version, URL string

	// Role is that of Home Assistant. It can set and call what the role may; device.User when it is
	// Nobody. Each client that may publish Topics.Commands has it, at the broker or at a Door of the
	// hub.
	Role device.Role

	// Confirmed are the names of actions that become buttons although they ask for a confirmation.
	Confirmed []string

	// Every is the least time between two states of a reading; 10 s when 0, negative is none.
	// Settings are told at once.
	Every time.Duration

	// File, unless "", is where the topics of discovery are noted, so that an entity which a later
	// version of the program does not declare any more can be taken out of Home Assistant.
	File string

	// Log gets commands that were refused, and what went wrong; slog.Default when nil.
	Log *slog.Logger
}

// Entities are what Home Assistant shows of a device. Announce, Remove and Tap are safe for
// concurrent use.
type Entities struct {
	m    *mgr.Manager
	dev  Device
	hub  *broadcast.Hub
	opts Options
	who  device.Who

	list     []*entity
	byObject map[string]*entity
	byField  map[*device.Field]*entity

	// These belong to the loop.
	announced bool
	noted     bool      // File is up to date, or is being written
	orphans   []string  // topics that an earlier version of the program has published
	waiting   []*entity // readings that have changed
	timer     *mgr.Timer
}

// An entity is one setting, reading or action.
type entity struct {
	object string
	topic  string // of config
	config []byte
	field  *device.Field // nil of an action
	action string
	mayset bool
	due    bool // is in Entities.waiting
}

// New makes the entities of dev, whose settings and actions have all been declared. m is the manager
// whose loop calls dev's handlers. Nothing is published before Announce.
func New(m *mgr.Manager, dev Device, hub *broadcast.Hub, o Options) (*Entities, error) {
	if err := o.Topics.check(); err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = o.Topics.ID
	}
	if o.Role == device.Nobody {
		o.Role = device.User
	}
	if o.Every == 0 {
		o.Every = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	e := &Entities{
		m: m, dev: dev, hub: hub, opts: o, who: device.Who{Name: "home assistant", Role: o.Role, Via: "mqtt"},
		byObject: map[string]*entity{}, byField: map[*device.Field]*entity{},
	}
	for _, f := range dev.Fields() {
		if f.Secret {
			continue
		}
		x := &entity{object: objectOf(f), field: f}
		kind := component(f, !f.ReadOnly && f.Role <= o.Role)
		x.mayset = kind != "sensor" && kind != "binary_sensor"
		c := e.config(x)
		c.State = o.Topics.state(x.object)
		c.describe(f, kind)
		if err := e.add(x, kind, c); err != nil {
			return nil, err
		}
		e.byField[f] = x
	}
	for _, a := range dev.Actions() {
		if a.Role > o.Role || a.Confirm != "" && !slices.Contains(o.Confirmed, a.Name) {
			continue
		}
		x := &entity{object: "action-" + a.Name, action: a.Name, mayset: true}
		c := e.config(x)
		c.Name = words(a.Name)
		if err := e.add(x, "button", c); err != nil {
			return nil, err
		}
	}
	e.findOrphans()
	dev.OnChange(e.changed)
	return e, nil
}

// config returns what all messages of discovery have.
func (e *Entities) config(x *entity) config {
	o := &e.opts
	c := config{
		UniqueID: o.Topics.ID + "." + x.object, // neither has a dot, so no two devices have the same
		Status:   o.Topics.Status(),
		Device:   product{[]string{o.Topics.ID}, o.Name, o.Manufacturer, o.Model, o.Version, o.URL},
		Origin:   origin{"mangusta", o.Version},
	}
	if x.mayset {
		c.Command = o.Topics.command(x.object)
	}
	return c
}

func (e *Entities) add(x *entity, kind string, c config) error {
	if other := e.byObject[x.object]; other != nil {
		return fmt.Errorf("homeassistant: two settings or actions would have the topic %s", e.opts.Topics.state(x.object))
	}
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("homeassistant: %s: %w", x.object, err)
	}
	x.topic, x.config = e.opts.Topics.config(kind, x.object), text
	e.byObject[x.object] = x
	e.list = append(e.list, x)
	return nil
}

// Announce publishes what there is to discover, and all states. It is called whenever the bridge has
// connected: a broker that was restarted may have forgotten what it retained.
func (e *Entities) Announce() {
	e.enter(e.m.Complete, "the device is not announced", func() {
		e.forget()
		e.announced = true
		for _, x := range e.list {
			e.publish(x.topic, x.config)
		}
		for _, x := range e.list {
			e.tell(x)
		}
	})
}

// Remove takes the device out of Home Assistant: its topics are deleted. Announce brings it back.
func (e *Entities) Remove() {
	e.enter(e.m.Complete, "the device is not removed", func() {
		e.announced = false
		e.deleteOrphans() // the file goes on to have them: the next run deletes them again, which does no harm
		for _, x := range e.list {
			e.delete(x.topic)
			if x.field != nil {
				e.delete(e.opts.Topics.state(x.object))
			}
		}
	})
}

// enter has by, a method of the Manager, run f on the loop. Commands, of which there may be many, are
// for Do. A device that is not announced is missing until the next connection, so that is for
// Complete, which is never refused.
func (e *Entities) enter(by func(func()) error, failed string, f func()) {
	if err := by(f); err != nil {
		e.opts.Log.Error(failed, "why", err)
	}
}

func (e *Entities) publish(topic string, text []byte) {
	if _, err := e.hub.Publish(topic, text); err != nil {
		e.opts.Log.Error("Home Assistant is not told", "topic", topic, "why", err)
	}
}

func (e *Entities) delete(topic string) {
	if _, err := e.hub.Delete(topic); err != nil {
		e.opts.Log.Error("Home Assistant is not told", "topic", topic, "why", err)
	}
}

// tell publishes the state of an entity.
func (e *Entities) tell(x *entity) {
	if x.field != nil {
		e.publish(e.opts.Topics.state(x.object), x.payload(e.dev.Value(x.field)))
	}
}

// changed is told each change, on the loop.
func (e *Entities) changed(c *device.Change) {
	if !e.announced {
		return
	}
	for _, item := range c.Items {
		x := e.byField[item.Field]
		switch {
		case x == nil || x.due: // a secret, or it is told later
		case !x.field.ReadOnly || e.opts.Every < 0:
			e.tell(x)
		default:
			x.due = true
			e.waiting = append(e.waiting, x)
		}
	}
	if e.timer == nil {
		e.tellWaiting()
	}
}

// tellWaiting tells the readings that have changed, and sees to it that the next ones wait.
func (e *Entities) tellWaiting() {
	e.timer = nil
	if e.waiting == nil {
		return
	}
	e.timer = e.m.AfterFunc(e.opts.Every, e.tellWaiting)
	for _, x := range e.waiting {
		x.due = false
		if e.announced {
			e.tell(x)
		}
	}
	e.waiting = nil
}

// Tap is part of broadcast.Options.Tap, as the bridge's Tap is: it takes the commands of Home
// Assistant.
func (e *Entities) Tap(m *broadcast.Message, _ string) {
	object := e.opts.Topics.commanded(m.Topic)
	if object == "" || m.Deleted {
		return
	}
	e.enter(e.m.Do, "a command of Home Assistant is lost", func() { e.command(object, m.Data) })
}

// command does what Home Assistant says. After a setting that was refused the state is told again,
// for the page there to show it.
func (e *Entities) command(object string, text []byte) {
	x := e.byObject[object]
	if x == nil || !x.mayset {
		e.opts.Log.Warn("a command of Home Assistant is for nothing that it may set", "object", object)
		return
	}
	refused := func(err error) {
		if err != nil {
			e.opts.Log.Warn("a command of Home Assistant was refused", "object", object, "why", err)
		}
	}
	if x.field == nil {
		if string(text) == "PRESS" {
			refused(e.dev.Call(e.who, x.action, true, refused))
		}
		return
	}
	document, ok := patch(x.field, text)
	err := errors.New("the value is malformed")
	if ok {
		err = e.dev.Patch(e.who, document)
	}
	if err != nil {
		refused(err)
		e.tell(x)
	}
}

// maxTopics bounds the file of the topics.
const maxTopics = 1 << 20

// findOrphans compares the file of an earlier run with the topics of this one.
func (e *Entities) findOrphans() {
	if e.noted = e.opts.File == ""; e.noted {
		return
	}
	text, err := disk.Read(disk.OS, e.opts.File, maxTopics)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.opts.Log.Error("the entities of an earlier version are not known", "why", err)
	}
	e.noted = string(text) == e.topics()
	for topic := range strings.Lines(string(text)) {
		topic = strings.TrimSuffix(topic, "\n")
		if broadcast.ValidTopic(topic) && broadcast.Match(e.opts.Topics.Configs(), topic) && !slices.ContainsFunc(e.list, func(x *entity) bool { return x.topic == topic }) {
			e.orphans = append(e.orphans, topic)
		}
	}
}

// topics is the content of the file: the topics of discovery, one a line.
func (e *Entities) topics() string {
	text := ""
	for _, x := range e.list {
		text += x.topic + "\n"
	}
	return text
}

// forget deletes the topics that an earlier version of the program has published, and then notes
// those of this one.
func (e *Entities) forget() {
	e.deleteOrphans()
	if e.noted {
		return
	}
	e.noted = true
	go func() { // it waits for the disk
		if err := disk.Replace(disk.OS, e.opts.File, []byte(e.topics()), 0o600); err != nil {
			e.opts.Log.Error("the entities cannot be noted", "why", err)
			e.m.Complete(func() { e.noted = false }) // the next Announce tries again
		}
	}()
}

// deleteOrphans deletes the topics that an earlier version of the program has published: those of
// discovery, and those of states, unless a setting of this version has the same name.
func (e *Entities) deleteOrphans() {
	for _, topic := range e.orphans {
		e.delete(topic)
		names := strings.Split(topic, "/")
		if object := names[len(names)-2]; e.byObject[object] == nil {
			e.delete(e.opts.Topics.state(object))
		}
	}
	e.orphans = nil
}
