package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// renew makes a log of a new epoch with the messages of l, which has lost its end: offsets that
// have been delivered would be given again, to other messages. Several nodes may do so at once, and
// one may die amid it: the new log is the same for all, and each step may be done twice.
func (e *Engine) renew(ctx context.Context, l log) (log, error) {
	e.opts.Log.Warn("nats: the stream has lost its end: its messages go to a new one", "stream", l.name, "last", l.info.Last)
	if !l.config.Sealed {
		sealed := l.config
		sealed.Sealed = true // nothing is stored in it from now on
		if _, err := e.js.UpdateStream(ctx, sealed); err != nil {
			return log{}, fmt.Errorf("nats: the stream %s cannot be sealed: %w", l.name, err)
		}
	}
	c := e.settings(e.newConfig(nextEpoch(l.info.Epoch)))
	c.Subjects, c.Sources = nil, []*jetstream.StreamSource{{Name: l.name}}
	s, err := e.js.CreateStream(ctx, c)
	if err != nil {
		return e.other(ctx, l, fmt.Errorf("nats: no stream could be made: %w", err))
	}
	if err := e.copied(ctx, l, s); err != nil {
		return e.other(ctx, l, fmt.Errorf("nats: the stream %s cannot be copied: %w", l.name, err))
	}
	if err := e.js.DeleteStream(ctx, l.name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return log{}, fmt.Errorf("nats: the stream %s cannot be deleted: %w", l.name, err)
	}
	return e.finish(ctx, c)
}

// other returns the log that another node has made in the place of l, or else err.
func (e *Engine) other(ctx context.Context, l log, err error) (log, error) {
	if x, bad := e.findStream(ctx); bad == nil && x.name != l.name {
		return x, nil
	}
	return log{}, err
}

// finish has the copy of a log that was deleted take its place.
func (e *Engine) finish(ctx context.Context, c jetstream.StreamConfig) (log, error) {
	s, err := e.js.UpdateStream(ctx, e.settings(c))
	if err != nil {
		return log{}, fmt.Errorf("nats: the stream %s does not take over: %w", c.Name, err)
	}
	return asLog(s.CachedInfo())
}

// unfinished finishes the copy of a log that another node has deleted, if there is one: that node
// is about to finish it, or has died before.
func (e *Engine) unfinished(ctx context.Context) (log, error) {
	names := e.js.StreamNames(ctx)
	for name := range names.Name() {
		if !strings.HasPrefix(name, e.opts.Name+"-") {
			continue
		}
		s, err := e.js.Stream(ctx, name)
		if err != nil {
			continue
		}
		if c := s.CachedInfo().Config; len(c.Subjects) == 0 && len(c.Sources) == 1 && c.Metadata[metaEpoch] != "" {
			return e.finish(ctx, c)
		}
	}
	return log{}, names.Err()
}

// nextEpoch returns the epoch after one whose end is lost. All nodes have the same one in mind. It
// passes through all 2^20 epochs before one comes again (a linear congruential generator with full
// period): a client may be away while a stream is renewed several times.
func nextEpoch(epoch uint64) uint64 {
	return (1 + ((epoch>>32-1)*603_221+308_171)&(1<<20-1)) << 32
}

// copied waits until s has what l has.
func (e *Engine) copied(ctx context.Context, l log, s jetstream.Stream) error {
	old, err := e.js.Stream(ctx, l.name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // another node has seen that it has
	}
	if err != nil {
		return err
	}
	for want := old.CachedInfo().State.Msgs; ; {
		info, err := s.Info(ctx)
		if err != nil {
			return err
		}
		if info.State.LastSeq+1-info.Config.FirstSeq >= want {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
