package update

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device/internal/rest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/weburl"
)

// An attempt is one way of a Puller from the manifest to the program. Its methods run on the loop;
// callbacks of an attempt that is not the Puller's any more do nothing.
type attempt struct {
	p      *Puller
	byUser bool

	image *manifest
	from  *weburl.URL // of the program
	sig   []byte

	in     *incoming // the transfer, as the Updater knows it
	offset int64     // bytes that it has
	skip   int64     // bytes of the reply to pass over: the server does not know Range
	tries  int       // without a new byte
	waits  bool
	reopen bool  // the disk has failed
	failed error // why the transfer was broken off by us
}

// quiet is how long an upload by a person keeps the Puller from beginning another update.
const quiet = 10 * time.Minute

// begin reads the manifest and its signature.
func (a *attempt) begin() {
	a.p.get(a, a.p.at, maxManifest, 0, func(text []byte, err error) {
		if err != nil {
			a.p.over(err)
			return
		}
		a.p.get(a, a.p.sigAt, maxSignature, 0, func(sig []byte, err error) {
			if err == nil {
				a.image, err = readManifest(text, sig, a.p.u.dir.keys, a.p.opts.now())
			}
			if err != nil {
				a.p.over(err)
				return
			}
			a.p.tell(func(s *Pull) { s.Asked = a.p.opts.now() })
			a.decide()
		})
	})
}

// decide says whether the program of the manifest is wanted, and fetches its signature.
func (a *attempt) decide() {
	p, m, now := a.p, a.image, a.p.u.Status()
	var err error
	switch {
	case m.Board != p.u.opts.Board:
		err = fmt.Errorf("%w: %s, not %s", ErrBoard, m.Board, p.u.opts.Board)
	case !newer(m.Version, now.Running.Version), now.State == Ready && now.Next != nil && !newer(m.Version, now.Next.Version):
		p.over(nil) // there is nothing new
		return
	case m.Version == now.Failed && !a.byUser:
		err = fmt.Errorf("%w: %s", ErrFailedBefore, m.Version)
	case now.State == OnTrial:
		err = ErrTrial
	case p.u.isInUse(time.Now()):
		err = ErrBusy
	}
	if err == nil {
		a.from, err = p.follow(p.at, m.URL)
	}
	if err != nil {
		p.over(err)
		return
	}
	if strings.Contains(m.Minisig, "\n") {
		a.open([]byte(m.Minisig))
		return
	}
	at, err := p.follow(p.at, m.Minisig)
	if err != nil {
		p.over(err)
		return
	}
	p.get(a, at, maxSignature, 0, func(sig []byte, err error) {
		if err != nil {
			p.over(err)
			return
		}
		a.open(sig)
	})
}

// isInUse reports whether a person is sending an update.
func (u *Updater) isInUse(now time.Time) bool {
	if !u.work.TryLock() {
		return true
	}
	defer u.work.Unlock()
	return u.in != nil && !u.in.pulled && now.Sub(u.touched) < quiet
}

// open has the Updater begin, off the loop: it reads the part that is there.
func (a *attempt) open(sig []byte) {
	u := a.p.u
	s, err := readSignature(sig, u.dir.keys)
	if err == nil && s.Version != a.image.Version {
		err = fmt.Errorf("%w: it is of version %s, and the manifest of %s", ErrSignature, s.Version, a.image.Version)
	}
	if err != nil {
		a.p.over(err)
		return
	}
	a.sig = sig
	go func() {
		in, err := u.begin(sig, a.image.Size, false, true)
		a.p.m.Complete(func() {
			switch {
			case a.p.attempt != a:
			case err != nil:
				a.p.over(err)
			default:
				a.in, a.offset = in, in.offset
				a.fetch(a.from, 0)
			}
		})
	}()
}

// fetch asks for the rest of the program.
func (a *attempt) fetch(at *weburl.URL, redirects int) {
	a.waits, a.failed, a.skip = false, nil, 0
	if a.offset == a.image.Size {
		a.finish()
		return
	}
	a.p.tell(func(s *Pull) { s.State, s.Next = PullReceiving, time.Time{} })
	var to *weburl.URL
	r := &http.ClientRequest{URL: at.Text, Timeout: transferTimeout}
	r.Events = func(c *conn.Conn, ev conn.Event) {
		if a.p.attempt != a || a.failed != nil {
			return
		}
		switch ev := ev.(type) {
		case *http.ResponseHead:
			if to, a.failed = a.p.judge(ev, at, redirects, 200, 206); to == nil && a.failed == nil {
				if a.failed = a.accept(ev); a.failed == nil {
					a.failed = http.StreamResponse(c)
				}
			}
		case *http.Chunk:
			a.failed = a.take(ev.Data)
		}
		if a.failed != nil {
			c.Close() // its rest is not wanted
		}
	}
	if a.offset > 0 {
		if err := r.SetHeader("Range", fmt.Sprintf("bytes=%d-", a.offset)); err != nil {
			a.p.over(err)
			return
		}
	}
	_, err := a.p.client.Do(r, func(_ *http.Response, err error) {
		switch {
		case a.p.attempt != a:
		case a.failed != nil:
			a.broken(a.failed)
		case err != nil:
			a.broken(fmt.Errorf("update: %s: %w", at.Text, err))
		case to != nil:
			a.fetch(to, redirects+1)
		case a.offset < a.image.Size:
			a.broken(fmt.Errorf("%w: the program ends at byte %d of %d", ErrTransfer, a.offset, a.image.Size))
		default:
			a.finish()
		}
	})
	if err != nil {
		a.broken(fmt.Errorf("update: %w", err))
	}
}

// accept checks the head of a reply with the program, or with a part of it.
func (a *attempt) accept(h *http.ResponseHead) error {
	if v := h.Header("Content-Encoding"); len(v) > 0 && string(v) != "identity" {
		return fmt.Errorf("%w: it is encoded", ErrTransfer)
	}
	if h.Status == 200 {
		if h.Length >= 0 && h.Length != a.image.Size {
			return fmt.Errorf("%w: %d bytes, not the %d of the manifest", ErrSize, h.Length, a.image.Size)
		}
		a.skip = a.offset
		return nil
	}
	want := fmt.Sprintf("bytes %d-%d/%d", a.offset, a.image.Size-1, a.image.Size)
	if got := string(h.Header("Content-Range")); got != want {
		return fmt.Errorf("%w: %q, not %q", ErrTransfer, got, want)
	}
	return nil
}

// take writes the next bytes.
func (a *attempt) take(p []byte) error {
	n := min(a.skip, int64(len(p)))
	a.skip -= n
	if p = p[n:]; len(p) == 0 {
		return nil
	}
	if err := a.p.u.writeTo(a.in, a.offset, p); err != nil {
		a.reopen = true // if it was the disk, the Updater has closed the file
		return err
	}
	a.offset += int64(len(p))
	a.tries = 0
	return nil
}

// hopeless are errors that the next try would have again.
var hopeless = []error{errTaken, ErrSignature, ErrBoard, ErrOlder, ErrSize, ErrElsewhere, ErrTransfer, ErrFailedBefore, weburl.ErrDowngrade}

func isHopeless(err error) bool {
	return slices.ContainsFunc(hopeless, func(target error) bool { return errors.Is(err, target) })
}

// broken is called after a transfer has ended too early. It goes on after a while, unless that
// could not help.
func (a *attempt) broken(err error) {
	if a.tries++; a.tries >= maxTries || full(err) || isHopeless(err) {
		a.p.over(err)
		return
	}
	d := a.p.opts.pause(a.tries)
	var later retryError
	if errors.As(err, &later) {
		d = max(d, later.after)
	}
	a.waits = true
	a.p.tell(func(s *Pull) {
		s.State, s.Error, s.Code, s.Next = PullWaiting, err.Error(), rest.Code(err), a.p.opts.now().Add(d)
	})
	a.p.timer = a.p.m.AfterFunc(d, a.goOn)
}

// goOn begins the next try of the transfer, from the manifest's URL on.
func (a *attempt) goOn() {
	if a.p.attempt != a {
		return
	}
	a.p.stop()
	a.waits = false
	a.p.tell(func(s *Pull) { s.Error, s.Code = "", "" })
	switch {
	case a.p.u.receives(a.in):
		a.fetch(a.from, 0)
	case a.reopen && !a.p.u.isInUse(time.Now()):
		a.reopen = false
		a.open(a.sig)
	default:
		a.p.over(errTaken)
	}
}

// receives reports whether in is the update that is being received.
func (u *Updater) receives(in *incoming) bool {
	if !u.work.TryLock() {
		return false
	}
	defer u.work.Unlock()
	return u.in == in
}

// finish has the Updater check the whole, off the loop.
func (a *attempt) finish() {
	u := a.p.u
	go func() {
		image, err := u.finish(a.in)
		a.p.m.Complete(func() {
			if a.p.attempt != a {
				return
			}
			a.p.over(err)
			if err == nil && a.p.opts.Ready != nil {
				a.p.opts.Ready(image)
			}
		})
	}()
}
