package device

import (
	"slices"
	"time"
)

// An Entry is one act of a user. A secret in it is "***".
type Entry struct {
	Time time.Time `json:"time"`
	Who  string    `json:"who"`
	Via  string    `json:"via"`
	What string    `json:"what"` // the path of a setting, or "action NAME"
	From string    `json:"from,omitempty"`
	To   string    `json:"to,omitempty"` // for an action: "done" or its error
}

const maxAudit = 200

// entries returns the audit entries of a change. Readings have none: no user has changed them.
func (c *Change) entries() (list []Entry) {
	for _, i := range c.Items {
		if i.Field.ReadOnly {
			continue
		}
		e := Entry{c.Time, c.Who.Name, c.Who.Via, i.Field.Path, i.From, i.To}
		if i.Field.Secret {
			e.From, e.To = "***", "***"
		}
		list = append(list, e)
	}
	return list
}

// record adds an entry, on the loop.
func (d *core) record(e Entry) {
	d.mu.Lock()
	keep(&d.audit, e)
	d.mu.Unlock()
	if d.opts.Audit != nil {
		d.m.Try(func() { d.opts.Audit(e) })
	}
}

// keep adds an entry to a list, of which the last maxAudit count: the others are dropped now and
// then, not one by one.
func keep(list *[]Entry, e Entry) {
	if len(*list) == 2*maxAudit {
		n := copy(*list, (*list)[maxAudit:])
		clear((*list)[n:])
		*list = (*list)[:n]
	}
	*list = append(*list, e)
}

func lastOf(list []Entry) []Entry { return list[max(0, len(list)-maxAudit):] }

// Record adds an entry of another part of the program, such as a login, to those that Audit
// returns. Options.Audit is not called. These entries have a room of their own, so that a flood of
// failed logins removes no changes. Safe for concurrent use.
func (d *core) Record(e Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	keep(&d.others, e)
}

// Audit returns the last entries, the oldest first. Safe for concurrent use.
func (d *core) Audit() []Entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := append(append([]Entry{}, lastOf(d.audit)...), lastOf(d.others)...)
	slices.SortStableFunc(list, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	return list
}

// ClearAudit forgets the entries, for a device that goes to another owner. Safe for concurrent use.
func (d *core) ClearAudit() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.audit, d.others = nil, nil
}
