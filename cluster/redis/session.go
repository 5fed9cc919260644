package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/seed4930a636/mangusta/broadcast"
)

const (
	page  = 1000        // entries that are read at once
	block = time.Second // for which one read waits, and after which the epoch is looked at
)

// errEpoch says that the store has got another epoch while it was read.
var errEpoch = errors.New("redis: the store is another one")

// A reader is the state of Run.
type reader struct {
	e     *Engine
	sink  broadcast.Sink
	epoch uint64
	last  uint64 // the offset of what was delivered last
	begun int    // how many times Begin was called
}

// A conn is a connection that is not made again when it breaks: the new one may lead to another
// server, and the session has to find that out first.
type conn struct {
	valkey.DedicatedClient
	e *Engine
}

// do sends a command and waits for its answer.
func (c conn) do(args ...string) valkey.ValkeyResult {
	return c.wait(c.B().Arbitrary(args...).Build(), c.e.opts.Timeout)
}

func (c conn) wait(command valkey.Completed, d time.Duration) valkey.ValkeyResult {
	ctx, cancel := context.WithTimeout(c.e.ctx, d)
	defer cancel()
	return c.Do(ctx, command)
}

// A server is what a connection says of the server at its end.
type server struct {
	run     string // another one after each start
	durable bool   // a restart loses nothing
}

func (c conn) server() (server, error) {
	text, err := c.do("INFO").ToString()
	if err != nil {
		return server{}, err
	}
	var s server
	appends, promoted := false, false
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "run_id":
			s.run = value
		case "aof_enabled":
			appends = value == "1"
		case "master_replid2": // of the server whose place it has taken
			promoted = strings.Trim(value, "0") != ""
		}
	}
	if appends && !promoted {
		// A server that refuses the question is assumed to lose something, and so is one with
		// everysec: while it waits for a flush, it acknowledges what it has not written.
		setting, _ := c.do("CONFIG", "GET", "appendfsync").AsStrMap()
		s.durable = setting["appendfsync"] == "always"
	}
	if s.run == "" {
		return s, errors.New("redis: INFO names no run_id")
	}
	return s, nil
}

// session connects, and reads the store until something fails. Messages can be published meanwhile.
func (r *reader) session() error {
	e := r.e
	var l links
	option := e.client
	l.watch(&option)
	client, err := valkey.NewClient(option)
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(e.ctx) // of this session
	defer cancel(nil)
	defer context.AfterFunc(ctx, l.close)()
	w, release := client.Dedicate()
	defer release()
	d, release := client.Dedicate()
	defer release()
	out, in := conn{w, e}, conn{d, e}

	s, err := out.server()
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	if other, err := in.server(); err != nil || other.run != s.run {
		return fmt.Errorf("redis: the server has just restarted: %w", errors.Join(err, errEpoch))
	}
	if err := out.do("SCRIPT", "LOAD", publishScript).Error(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	info, first, err := r.begin(out, s)
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	if r.epoch != 0 && r.epoch != info.Epoch {
		e.opts.Log.Warn("redis: the store has a new epoch", "name", e.opts.Name)
	}
	r.epoch = info.Epoch
	r.begun++
	e.out.begin(ctx, cancel, out, info.Epoch)
	defer e.out.end()
	defer l.close()
	defer cancel(nil)
	r.last = max(r.sink.Begin(info), info.Epoch)
	if err := r.retained(in, first); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	for {
		if err := r.read(in); err != nil {
			return fmt.Errorf("redis: %w", errors.Join(err, context.Cause(ctx)))
		}
	}
}

// begin says what the store has, and with which offset the stream begins: what is retained may be
// older.
func (r *reader) begin(c conn, s server) (info broadcast.Info, first uint64, err error) {
	durable := "0"
	if s.durable {
		durable = "1"
	}
	fresh := broadcast.NewEpoch() >> 32
	if fresh == r.epoch>>32 {
		fresh++
	}
	args := append([]string{"EVAL", beginScript, strconv.Itoa(len(r.e.keys))}, r.e.keys...)
	answer, err := c.do(append(args, strconv.FormatUint(fresh, 10), s.run, durable,
		strconv.FormatUint(r.epoch>>32, 10), strconv.FormatUint(r.last, 10))...).AsStrSlice()
	if err != nil {
		return info, 0, err
	}
	if len(answer) != 5 {
		return info, 0, fmt.Errorf("%q is no answer", answer)
	}
	high, err := strconv.ParseUint(answer[0], 10, 21)
	if err != nil {
		return info, 0, err
	}
	if info.Now, err = parseTime(answer[4]); err != nil {
		return info, 0, err
	}
	info.Epoch = high << 32
	info.Last = info.Epoch
	if id := answer[2]; id != "" {
		if info.Last, err = offsetOf(id); err != nil {
			return info, 0, err
		}
	}
	first = info.Last + 1
	if id := answer[1]; id != "" {
		if first, err = offsetOf(id); err != nil {
			return info, 0, err
		}
	}
	info.First = first
	if retained, err := strconv.ParseFloat(answer[3], 64); err == nil {
		info.First = min(first, uint64(retained))
		info.Last = max(info.Last, uint64(retained))
	}
	return info, first, nil
}

// offsetOf returns the offset of the entry with this id.
func offsetOf(id string) (uint64, error) {
	high, low, _ := strings.Cut(id, "-")
	h, err := strconv.ParseUint(high, 10, 21)
	l, bad := strconv.ParseUint(low, 10, 53)
	at := h<<32 + l + 1
	if err = errors.Join(err, bad); err == nil && at > broadcast.MaxOffset {
		err = broadcast.ErrOffset
	}
	if err != nil {
		return 0, fmt.Errorf("%q is no entry's id: %w", id, err)
	}
	return at, nil
}

// retained delivers the last messages of topics that the stream has no longer: those after r.last
// and before first.
func (r *reader) retained(c conn, first uint64) error {
	keyLast, keyOrder := r.e.keys[2], r.e.keys[3]
	for r.last+1 < first {
		topics, err := c.do("ZRANGEBYSCORE", keyOrder, "("+strconv.FormatUint(r.last, 10),
			"("+strconv.FormatUint(first, 10), "LIMIT", "0", strconv.Itoa(page)).AsStrSlice()
		if err != nil || len(topics) == 0 {
			return err
		}
		values, err := c.do(append([]string{"HMGET", keyLast}, topics...)...).ToArray()
		if err != nil {
			return err
		}
		delivered := false
		for i, v := range values {
			packed, err := v.ToString()
			if err != nil {
				continue // it has just made room
			}
			entry, err := unpack(topics[i], packed)
			if err != nil {
				return err
			}
			if entry.Offset > r.last && entry.Offset < first { // else there is a newer one, in the stream
				r.deliver(entry)
				delivered = true
			}
		}
		if !delivered {
			return nil
		}
	}
	return nil
}

// read delivers what the stream has after r.last, and waits for it.
func (r *reader) read(c conn) error {
	after := strconv.FormatUint(r.epoch>>32, 10) + "-"
	command := c.B().Arbitrary("XREAD", "COUNT", strconv.Itoa(page), "BLOCK", strconv.FormatInt(block.Milliseconds(), 10), "STREAMS", r.e.keys[0])
	if r.last > r.epoch {
		command = command.Args(after + strconv.FormatUint(r.last-r.epoch-1, 10))
	} else {
		command = command.Args(strconv.FormatUint(r.epoch>>32-1, 10) + "-18446744073709551615")
	}
	streams, err := c.wait(command.Blocking(), block+r.e.opts.Timeout).AsXRead()
	if valkey.IsValkeyNil(err) { // nothing came: is it still the same store?
		high, err := c.do("HGET", r.e.keys[1], "epoch").ToString()
		if err == nil && high != strconv.FormatUint(r.epoch>>32, 10) || valkey.IsValkeyNil(err) {
			return errEpoch
		}
		return err
	}
	if err != nil {
		return err
	}
	for _, x := range streams[r.e.keys[0]] {
		offset, err := offsetOf(x.ID)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(x.ID, after) || offset <= r.last {
			return errEpoch
		}
		f := x.FieldValues
		entry := &broadcast.Entry{Offset: offset, Topic: f["t"], Data: []byte(f["d"]), ID: f["i"], Delete: f["x"] == "1"}
		if entry.Time, err = parseTime(f["w"]); err != nil {
			return err
		}
		r.deliver(entry)
	}
	return nil
}

// parseTime reads Unix time in µs.
func parseTime(text string) (time.Time, error) {
	us, err := strconv.ParseInt(text, 10, 64)
	return time.UnixMicro(us), err
}

func (r *reader) deliver(entry *broadcast.Entry) {
	if !broadcast.ValidTopic(entry.Topic) {
		r.e.opts.Log.Warn("redis: an entry that is not of this engine is left out", "topic", entry.Topic)
		return
	}
	// The ids have no hole: what is missing before the entry has been removed from the stream.
	entry.Lost = entry.Offset - r.last - 1
	r.last = entry.Offset
	r.sink.Deliver(entry)
}
