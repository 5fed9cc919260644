package http

import (
	"fmt"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// intercept takes the response whose head was read if it is for the Client and not for the program:
// a redirect that is followed, or the refusal of an expectation.
func (c *Client) intercept(k *clientConn) (r result, taken bool) {
	a := k.first
	switch status := k.p.Status; {
	case status == 417 && a.expects() && a.repeatable():
		// RFC 9110 10.1.1: an intermediary before the server may not know the expectation.
		a.blunt = true
		a.code = &redirectTo{target: a.target, method: a.method, drops: a.bodyless}
	case c.side.opts.MaxRedirects <= 0, !isRedirect(status):
		return wait, false
	default:
		head := k.view(nil)
		location, n := head.only("Location")
		if n == 0 {
			return wait, false // the program gets it as it is
		}
		to := a.redirect(status, string(location), n, c.side.opts.MaxRedirects)
		if to == nil {
			return wait, false
		}
		a.code = to
	}
	k.c.Recv.Discard(k.n)
	k.left = 0
	if k.f.End == wire.ByLength {
		k.left = k.f.Length
	}
	switch {
	case k.f.End == wire.NoBody:
		k.f.End = wire.ByLength
	case k.f.End == wire.UntilClose, k.left > maxSkipped:
		// It costs less to make another connection.
		k.f.End, k.left, k.f.Close = wire.ByLength, 0, true
	}
	k.rx.on(rxWantsNone)
	return again, true
}

func isRedirect(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// redirect says where a response with the status leads, by the rules of RFC 9110 15.4. It returns
// nil if the request cannot be sent again: the program then gets the response.
func (a *clientCall) redirect(status int, location string, locations, most int) *redirectTo {
	to := &redirectTo{method: a.method, drops: a.bodyless}
	switch {
	case status == 303 && a.method != "HEAD", (status == 301 || status == 302) && a.method == "POST":
		to.method, to.drops = "GET", true
	case !a.repeatable():
		return nil
	}
	switch {
	case locations > 1:
		to.err = fmt.Errorf("%w: more than one Location", ErrRedirect)
	case a.hops >= most:
		to.err = fmt.Errorf("%w to %s, after %d others", ErrRedirect, location, a.hops)
	default:
		var err error
		if to.target, err = a.target.Follow(location); err != nil {
			to.err = fmt.Errorf("%w to %s: %w", ErrRedirect, location, err)
		}
	}
	return to
}

// redirected ends the response of a redirect, and sends the request to where it leads.
func (k *clientConn) redirected(total int) result {
	a, c, h := k.first, k.host.client, k.host
	k.release(total)
	to, turn := a.code, a.turn
	defer func() { // even if the Source of the next call panics, which rest asks
		switch {
		case a.turn != turn: // it has given a up
		case to.err != nil:
			c.fail(a, a.fail(to.err))
		default:
			c.follow(a, to)
		}
	}()
	if k.closing {
		k.c.Close()
		h.lost(k)
	} else {
		h.rest(k)
	}
	return again
}

// follow sends a call to another place.
func (c *Client) follow(a *clientCall, to *redirectTo) {
	if !to.target.SameOrigin(a.target) {
		a.stripped = true // for good: the origin may lead back, and must not choose what it is sent
	}
	if to.target != a.target {
		a.hops++
	}
	a.rewind()
	a.again = false
	a.target, a.method, a.bodyless = to.target, to.method, to.drops
	h, err := c.hostOf(a.target)
	if err == nil {
		a.of = h
		err = c.place(a)
	}
	if err != nil {
		c.fail(a, a.fail(err))
	}
}
