package nats

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed4930a636/mangusta/broadcast"
)

// A log is the stream of an engine. Each has a name of its own, with the epoch in it: a node that
// asks for a message of one log, or deletes it, never reaches the next one.
type log struct {
	name   string
	config jetstream.StreamConfig
	info   broadcast.Info
}

// errNoStream says that there is none with our subjects.
var errNoStream = errors.New("nats: there is no stream")

// metaEpoch is the name of what a stream notes as its epoch.
const metaEpoch = "mangusta-epoch"

// findStream returns the log that takes our subjects, as it is now.
func (e *Engine) findStream(ctx context.Context) (log, error) {
	name, err := e.js.StreamNameBySubject(ctx, e.prefix+">")
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return log{}, errNoStream
	}
	if err != nil {
		return log{}, err
	}
	s, err := e.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return log{}, errNoStream
	}
	if err != nil {
		return log{}, err
	}
	return asLog(s.CachedInfo())
}

func asLog(s *jetstream.StreamInfo) (log, error) {
	epoch, err := strconv.ParseUint(s.Config.Metadata[metaEpoch], 10, 64)
	if err != nil {
		return log{}, fmt.Errorf("nats: the stream %s was not made by this engine: it has no %s in its metadata", s.Config.Name, metaEpoch)
	}
	info := broadcast.Info{First: s.State.FirstSeq, Last: max(s.State.LastSeq, epoch), Epoch: epoch, Now: s.TimeStamp}
	if s.State.Msgs == 0 {
		info.First = info.Last + 1
	}
	return log{name: s.Config.Name, config: s.Config, info: info}, nil
}

// stream returns the log, which it makes if there is none. One that has other settings than these
// Options gets these, as far as they can be changed.
func (e *Engine) stream(ctx context.Context) (log, error) {
	l, err := e.findStream(ctx)
	switch {
	case errors.Is(err, errNoStream):
		return e.newStream(ctx)
	case err != nil:
		return log{}, err
	case l.config.Sealed: // another node is about to renew it, or has died at that
		return e.renew(ctx, l)
	}
	want := e.settings(l.config)
	if l.config.Storage != want.Storage {
		return log{}, fmt.Errorf("nats: the stream %s is in %v, and these Options want it in %v: that cannot be changed", l.name, l.config.Storage, want.Storage)
	}
	if same(l.config, want) {
		return l, nil
	}
	e.opts.Log.Info("nats: the stream gets new settings", "stream", l.name)
	s, err := e.js.UpdateStream(ctx, want)
	if err != nil {
		return log{}, fmt.Errorf("nats: the stream %s does not take these Options: %w", l.name, err)
	}
	return asLog(s.CachedInfo())
}

func same(a, b jetstream.StreamConfig) bool {
	return a.MaxMsgsPerSubject == b.MaxMsgsPerSubject && a.MaxBytes == b.MaxBytes && a.MaxAge == b.MaxAge &&
		a.MaxMsgSize == b.MaxMsgSize && a.Duplicates == b.Duplicates && a.Replicas == b.Replicas && len(a.Sources) == len(b.Sources) && len(a.Subjects) == len(b.Subjects)
}

// newStream makes a log of a new epoch. If another node was faster, it returns that node's.
func (e *Engine) newStream(ctx context.Context) (log, error) {
	if l, err := e.unfinished(ctx); l.name != "" || err != nil {
		return l, err
	}
	c := e.settings(e.newConfig(broadcast.NewEpoch()))
	s, err := e.js.CreateStream(ctx, c)
	if err != nil {
		if l, found := e.findStream(ctx); found == nil {
			return l, nil
		}
		return log{}, fmt.Errorf("nats: no stream could be made: %w", err)
	}
	e.opts.Log.Info("nats: a new stream", "stream", c.Name)
	return asLog(s.CachedInfo())
}

// newConfig is what a new log is named, and where it begins: both never change.
func (e *Engine) newConfig(epoch uint64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:     fmt.Sprintf("%s-%x", e.opts.Name, epoch>>32),
		FirstSeq: epoch + 1,
		Metadata: map[string]string{metaEpoch: strconv.FormatUint(epoch, 10)},
		Storage:  e.storage(),
	}
}

func (e *Engine) storage() jetstream.StorageType {
	if e.opts.Files {
		return jetstream.FileStorage
	}
	return jetstream.MemoryStorage
}

// settings returns c with what these Options say.
func (e *Engine) settings(c jetstream.StreamConfig) jetstream.StreamConfig {
	if e.opts.Files != (c.Storage == jetstream.FileStorage) {
		c.Storage = e.storage() // for the caller to see
	}
	c.Subjects, c.Sources = []string{e.prefix + ">"}, nil
	c.Retention, c.Discard = jetstream.LimitsPolicy, jetstream.DiscardOld
	c.MaxMsgs = -1
	c.MaxMsgsPerSubject = int64(max(e.opts.Backlog, e.opts.History.Count, 1))
	c.MaxBytes = e.opts.MaxBytes
	c.MaxMsgSize = int32(e.opts.MaxMessage + headerRoom)
	c.Replicas = e.opts.Replicas
	c.AllowRollup = true
	c.MaxAge = 0
	if !e.opts.Retain { // a retained message has no age
		c.MaxAge = e.opts.History.Age
	}
	c.Duplicates = e.opts.Window
	if c.MaxAge > 0 {
		c.Duplicates = min(c.Duplicates, c.MaxAge)
	}
	return c
}

// entryOf makes an entry of a message of the stream. The data is the message's.
func (e *Engine) entryOf(m *client.Msg, at *client.MsgMetadata) (*broadcast.Entry, error) {
	topic, err := topicOf(m.Subject[len(e.prefix):])
	if err == nil && !broadcast.ValidTopic(topic) {
		err = errSubject // another program publishes at our subjects
	}
	id, bad := url.QueryUnescape(m.Header.Get(headerID))
	return &broadcast.Entry{Offset: at.Sequence.Stream, Topic: topic, Data: m.Data, Time: at.Timestamp,
		ID: id, Delete: m.Header.Get(headerDelete) != ""}, errors.Join(err, bad)
}
