package http

import (
	"bytes"
	"slices"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// This file takes a request from its first byte to its Head and Message events. The body is read
// in read.go.

// readHead parses the head and emits Head.
func (x *exchange) readHead(c *conn.Conn) result {
	b := c.Recv.Bytes()
	fresh := x.p.Fresh()
	n, bad := x.p.Parse(b, &x.srv.lim)
	if n > 0 {
		if bad = x.adopt(b, n); bad == nil && !x.srv.hosts.allows(c, x.head.Host) {
			bad = errOtherHost(x.head.Host)
		}
	}
	if bad != nil {
		return x.refuse(c, bad)
	}
	if n == 0 {
		if c.Layer().PeerDone() {
			return x.broken(c)
		}
		if fresh {
			c.Layer().SetDeadline(x.srv.opts.HeadTimeout)
		}
		return wait
	}
	x.out.on(asked)
	switch {
	case !x.emit(c, &x.head):
		return wait
	case x.out >= outPumping, x.out == outBegun && (!x.is(asStream) || x.f.Expect):
		return x.early(c)
	case x.f.Length > x.maxBody:
		return x.refuse(c, wire.ErrLongBody)
	case x.is(asStream):
		return x.startStream(c)
	case !x.f.HasBody:
		return x.deliver(c, n, n)
	}
	x.maxBody = min(x.maxBody, mostBody)
	x.sendContinue(c)
	x.in.on(wantsWhole)
	x.startClock(c)
	return again
}

// adopt fills in the request from the head of n bytes that the parser has read.
func (x *exchange) adopt(b []byte, n int) *wire.Refusal {
	x.n, x.w, x.r = n, n, n
	x.nhead = len(x.p.Fields)
	r := &x.head.Request
	r.turn = x.turn
	r.Method = internMethod(x.p.Method.Of(b))
	if r.Method == "HEAD" {
		x.flags |= isHead
	}
	if bad := x.f.Read(b, &x.p, x.srv.host); bad != nil {
		return bad
	}
	if h := x.f.Host.Of(b); x.f.HasHost && !bytes.Equal(h, x.srv.host) {
		x.srv.host = append(x.srv.host[:0], h...)
	}
	if bad := x.look(b); bad != nil {
		return bad
	}
	if x.head.Length = x.f.Length; x.f.Chunked {
		x.head.Length = untold
	}
	x.keep()
	if e := x.srv.opts.Compress; e != nil {
		if r.AcceptsEncoding(e.Coding()) == e.Coding() {
			x.flags |= accepts
		}
		if r.namesWeakTag() {
			x.flags |= heldWeak
		}
	}
	return nil
}

// look points the slices of the request into b, where the request lies now.
func (x *exchange) look(b []byte) *wire.Refusal {
	x.base = b
	r := &x.head.Request
	r.Target = x.p.Target.Of(b)
	r.Minor, r.Query, r.Host = int(x.p.Minor), nil, nil
	if x.p.Plain && r.Method != "CONNECT" {
		r.Path, r.raw = r.Target, r.Target
	} else if bad := x.lookAtTarget(r); bad != nil {
		return bad
	}
	if r.Host == nil && x.f.HasHost {
		r.Host = x.f.Host.Of(b)
	}
	r.fields, r.from = nil, x
	return nil
}

// lookAtTarget fills in what r has of its target.
func (x *exchange) lookAtTarget(r *Request) *wire.Refusal {
	u, bad := wire.ParseTarget(r.Method, r.Target)
	if bad != nil {
		return bad
	}
	if bad = allowed(&u, &x.srv.opts); bad != nil {
		return bad
	}
	r.Query, r.raw, r.Host = u.Query, u.Path, u.Host
	r.Path, x.path, bad = wire.DecodePath(x.path, u.Path)
	return bad
}

// slice returns the fields of the head, and those of the trailers if they are there.
func (x *exchange) slice() (head, trailers []Field) {
	b, spans := x.base, x.p.Fields
	fields := slices.Grow(x.fields[:0], len(spans))[:len(spans)]
	for i, f := range spans {
		to := &fields[i]
		to.Name, to.Value = f.Name.Of(b), f.Value.Of(b)
	}
	x.fields = fields
	return fields[:x.nhead:x.nhead], fields[x.nhead:]
}

// allowed checks a target by the Options.
func allowed(u *wire.Target, o *Options) *wire.Refusal {
	switch {
	case u.HTTPS && !o.HTTPS:
		return errMisdirect
	case o.StrictTarget:
		return u.CheckStrict()
	}
	return nil
}

// internMethod returns the method, without an allocation if it is a common one.
func internMethod(b []byte) string {
	switch string(b) {
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "DELETE":
		return "DELETE"
	case "OPTIONS":
		return "OPTIONS"
	case "PATCH":
		return "PATCH"
	case "CONNECT":
		return "CONNECT"
	case "TRACE":
		return "TRACE"
	case "PROPFIND":
		return "PROPFIND"
	}
	return string(b)
}

// emit gives ev to the user. It returns false if the handler has ended the exchange: c was hijacked
// or closed.
func (x *exchange) emit(c *conn.Conn, ev conn.Event) bool {
	x.flags |= busy
	c.Layer().Emit(ev)
	x.flags &^= busy
	if x.out == outHijacked {
		x.recycle()
		return false
	}
	return c.IsOpen()
}

// deliver emits the Message. Its body ends at the offset end, and the bytes of the request at
// total.
func (x *exchange) deliver(c *conn.Conn, end, total int) result {
	x.complete(c.Recv.Bytes(), end)
	x.total = total
	x.in.on(complete)
	if !x.emit(c, &x.msg) {
		return wait
	}
	c.Recv.Discard(total)
	return x.next(c)
}

// complete makes the Message of the request whose body is b[x.n:end]. Its head has been emitted.
func (x *exchange) complete(b []byte, end int) {
	if &b[0] != &x.base[0] || len(x.p.Fields) > x.nhead {
		x.look(b) // it was fine the first time
	}
	x.msg.Request = x.head.Request
	x.msg.Body, x.msg.trailers = nil, nil
	if len(x.p.Fields) > x.nhead {
		x.msg.fields, x.msg.trailers = x.slice()
	}
	if end > x.n {
		x.msg.Body = b[x.n:end:end]
	}
}
