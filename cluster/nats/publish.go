package nats

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	client "github.com/nats-io/nats.go"

	"github.com/seed4930a636/mangusta/broadcast"
)

// The headers of a message. NATS knows the first two.
const (
	headerID     = "Nats-Msg-Id"
	headerRollup = "Nats-Rollup"
	headerDelete = "Mangusta-Delete"
)

// A publisher sends messages, in the order in which they are published, from a goroutine of its
// own: a write to the server may block. Each message asks for an acknowledgement at a subject of
// its own.
type publisher struct {
	e     *Engine
	inbox string // what these subjects begin with
	work  chan struct{}
	done  sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	next    uint64                 // the number of the next message
	first   uint64                 // none before it is waited for
	waiting map[uint64]*publishing // for the acknowledgement, and to be sent
	queue   []*publishing          // to be sent
	bytes   int                    // of those that are waiting
}

// A publishing is a message that is not acknowledged.
type publishing struct {
	n    uint64 // its number
	msg  *client.Msg
	size int
	sent bool // it may have reached the server
	due  time.Time
	done func(uint64, error)
}

func (p *publisher) start(e *Engine) error {
	p.e, p.inbox = e, client.NewInbox()+"."
	p.work, p.waiting = make(chan struct{}, 1), make(map[uint64]*publishing)
	sub, err := e.nc.Subscribe(p.inbox+"*", p.acknowledged)
	if err != nil {
		return fmt.Errorf("nats: %w", err)
	}
	sub.SetPendingLimits(-1, -1) // as many as there are messages in flight
	p.done.Add(2)
	go p.send()
	go p.watch()
	return nil
}

// Publish stores entry, and calls done with its offset after the server has it, as broadcast.Engine
// says: of the last Options.Window entries with the same ID only the first one is stored. The data
// must not change before done is called.
//
// The errors are broadcast.ErrFull, ErrNotSent, ErrTooLarge and ErrClosed; done also gets
// ErrUnknown.
func (e *Engine) Publish(entry *broadcast.Entry, done func(offset uint64, err error)) error {
	msg := &client.Msg{Subject: string(appendSubject([]byte(e.prefix), entry.Topic)), Data: entry.Data}
	if entry.ID != "" || entry.Delete {
		msg.Header = make(client.Header)
	}
	if entry.ID != "" {
		msg.Header.Set(headerID, url.QueryEscape(entry.ID)) // no line feed gets among the headers
	}
	if len(entry.Data) > e.opts.MaxMessage || len(entry.ID) > maxID {
		return ErrTooLarge
	}
	if entry.Delete {
		// The server removes what the topic has, and stores the marker: the two are one step.
		msg.Header.Set(headerRollup, "sub")
		msg.Header.Set(headerDelete, "1")
	}
	return e.out.publish(msg, done)
}

func (p *publisher) publish(msg *client.Msg, done func(uint64, error)) error {
	x := &publishing{msg: msg, size: len(msg.Data) + len(msg.Subject), done: done, due: time.Now().Add(p.e.opts.Timeout)}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return ErrClosed
	case !p.e.nc.IsConnected():
		return ErrNotSent
	case len(p.waiting) >= p.e.opts.InFlight, len(p.waiting) > 0 && p.bytes+x.size > p.e.opts.InFlightBytes:
		return broadcast.ErrFull
	}
	x.n = p.next
	msg.Reply = p.inbox + strconv.FormatUint(x.n, 36)
	p.waiting[x.n] = x
	p.next++
	p.bytes += x.size
	p.queue = append(p.queue, x)
	if len(p.queue) == 1 {
		select {
		case p.work <- struct{}{}:
		default:
		}
	}
	return nil
}

// send writes what is queued.
func (p *publisher) send() {
	defer p.done.Done()
	var batch []*publishing
	for {
		select {
		case <-p.work:
		case <-p.e.ctx.Done():
			return
		}
		for {
			p.mu.Lock()
			batch, p.queue = p.queue, batch[:0]
			for _, x := range batch {
				x.sent = true
			}
			p.mu.Unlock()
			if len(batch) == 0 {
				break
			}
			for i, x := range batch {
				p.write(x)
				batch[i] = nil
			}
		}
	}
}

func (p *publisher) write(x *publishing) {
	err := p.e.nc.PublishMsg(x.msg)
	switch {
	case err == nil:
		return
	case errors.Is(err, client.ErrMaxPayload):
		err = ErrTooLarge
	default:
		err = fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	p.end(x.n, 0, err)
}

// end takes the message numbered n out of those that wait, and tells what became of it.
func (p *publisher) end(n, offset uint64, err error) {
	p.mu.Lock()
	x := p.waiting[n]
	if x != nil {
		p.forget(x)
	}
	p.mu.Unlock()
	if x != nil {
		x.done(offset, err)
	}
}

// forget takes x out of those that wait, with mu held.
func (p *publisher) forget(x *publishing) {
	delete(p.waiting, x.n)
	p.bytes -= x.size
}

// acknowledged gets the server's answers.
func (p *publisher) acknowledged(m *client.Msg) {
	n, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, p.inbox), 36, 64)
	if err != nil {
		return
	}
	offset, err := parseAck(m)
	p.end(n, offset, err)
}

func parseAck(m *client.Msg) (uint64, error) {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return 0, fmt.Errorf("%w: there is no stream, or no leader of it", ErrNotSent)
	}
	var ack struct {
		Seq   uint64 `json:"seq"`
		Error *struct {
			Code        int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	switch err := json.Unmarshal(m.Data, &ack); {
	case err != nil:
		return 0, fmt.Errorf("%w: %q: %w", ErrUnknown, m.Data, err)
	case ack.Error != nil:
		return 0, fmt.Errorf("nats: the server refuses the message: %s (%d): %w", ack.Error.Description, ack.Error.Code, broadcast.ErrDown)
	case ack.Seq == 0:
		return 0, fmt.Errorf("%w: %q", ErrUnknown, m.Data)
	}
	return ack.Seq, nil
}

// cut ends what waits, since the connection has broken.
func (p *publisher) cut() {
	p.endIf(func(*publishing) bool { return true }, ErrNotSent, ErrUnknown)
}

// watch ends what has waited too long.
func (p *publisher) watch() {
	defer p.done.Done()
	tick := time.NewTicker(max(p.e.opts.Timeout/4, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			p.endIf(func(x *publishing) bool { return now.After(x.due) }, ErrNotSent, ErrUnknown)
		case <-p.e.ctx.Done():
			return
		}
	}
}

// endIf ends the messages that wait and are so: with unsent if they were not sent, else with sent.
// They are told in the order in which they were published.
func (p *publisher) endIf(so func(*publishing) bool, unsent, sent error) {
	var over []*publishing
	p.mu.Lock()
	for ; p.first < p.next; p.first++ {
		x := p.waiting[p.first]
		if x == nil {
			continue
		}
		if !so(x) {
			break // later ones have time
		}
		p.forget(x)
		over = append(over, x)
	}
	queue := p.queue[:0]
	for _, x := range p.queue {
		if p.waiting[x.n] == x {
			queue = append(queue, x)
		}
	}
	clear(p.queue[len(queue):])
	p.queue = queue
	p.mu.Unlock()
	for _, x := range over {
		if x.sent {
			x.done(0, sent)
		} else {
			x.done(0, unsent)
		}
	}
}

// stop ends what waits, and what comes.
func (p *publisher) stop() {
	if p.e == nil {
		return
	}
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.done.Wait()
	p.endIf(func(*publishing) bool { return true }, ErrClosed, ErrClosed)
}
