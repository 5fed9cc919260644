package handoff

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

var (
	errNoRestore  = errors.New("handoff: Options.Restore is missing")
	errNoListener = errors.New("handoff: no listener on the address by which the connection came")
)

// receiving is the link to the process before, in the new process, after Go.
type receiving struct {
	p     *Process
	link  link
	taken []arrival // acknowledged, but the word may not have left this process
	next  int       // loop
}

// receive takes what the process before sends until it ends.
func (p *Process) receive() error {
	fd := p.before
	p.before = -1
	r := &receiving{p: p}
	r.link = link{frame: r.frame, flushed: r.flushed, gone: r.gone}
	c, err := p.host.Wrap(fd, nil)
	if err != nil {
		unix.Close(fd)
		return err
	}
	r.link.c = c
	p.link = &r.link
	p.host.Hide(c)
	c.SetLimits(&linkLimits)
	c.SetHandler(r.link.handle)
	return c.SetAncillary(true)
}

func (r *receiving) frame(f frame, file int) error {
	step("new got " + string(f.kind))
	if f.kind != kindMove {
		drop(file)
		return errFrame
	}
	rec, err := parseRecord(f.payload)
	if rec.id == 0 {
		unix.Close(file)
		return errFrame
	}
	a := arrival{record: rec, fd: file, loop: r.next % len(r.p.loops)}
	a.state, a.user, a.input = clone(a.state), clone(a.user), clone(a.input)
	r.next++
	if err != nil {
		r.answer(a, err)
		return nil
	}
	m := r.p.loops[a.loop]
	if m == r.p.host {
		_, err := r.p.check(m, a)
		r.answer(a, err)
		return nil
	}
	if m.Complete(func() {
		_, err := r.p.check(m, a)
		if r.p.host.Complete(func() { r.answer(a, err) }) != nil {
			unix.Close(a.fd) // this process ends; the one before has it still
		}
	}) != nil {
		r.answer(a, errGone)
	}
	return nil
}

// answer tells the process before whether this one takes a. The connection is adopted, and read
// from, only after that word is in the kernel, from where the other process gets it even if this
// one dies: until then it would take the connection back.
func (r *receiving) answer(a arrival, err error) {
	if r.link.bad != nil { // a loop has been asked meanwhile; see gone
		unix.Close(a.fd)
		return
	}
	if err != nil {
		r.p.opts.Log.Warn("handoff: a connection is not taken", "err", err)
		unix.Close(a.fd)
		r.link.send(kindRefused, number(a.id))
		return
	}
	if r.link.c.IsClosed() {
		r.p.adopt(a, nil) // the process before has ended
		return
	}
	r.taken = append(r.taken, a)
	r.link.send(kindTaken, number(a.id))
}

// flushed adopts what has been acknowledged.
func (r *receiving) flushed() {
	taken := r.taken
	r.taken = nil
	for _, a := range taken {
		step("adopt")
		r.p.adopt(a, nil)
	}
}

// gone is called when the process before has ended: what it has sent is ours alone. If the link has
// ended because of what it has sent, it may be alive, and takes back what it has not heard of.
func (r *receiving) gone(err error) {
	r.p.link = nil
	if err == nil {
		r.flushed()
		return
	}
	r.p.opts.Log.Error("handoff: the process before sends nonsense", "err", err)
	for _, a := range r.taken {
		unix.Close(a.fd)
	}
	r.taken = nil
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

var _ conn.Handler = (*link)(nil).handle
