package broadcast_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/broadcast/enginetest"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// A hub with an engine: how messages are published, stored, failed and deleted. The stream as
// clients see it is in enginestream_test.go.

var _ broadcast.Engine = (*enginetest.Engine)(nil)

const patience = 30 * time.Second

// node is a hub with an engine.
type node struct {
	*broadcast.Rig
	e *enginetest.Engine
	t *testing.T
}

// numbered is an Encode with the number of the message since the beginning of the stream.
func numbered(b []byte, m *broadcast.Message) (websocket.Op, []byte) {
	return websocket.Text, fmt.Appendf(b, "%d %s %s", uint32(m.Offset), m.Topic, m.Data)
}

func newNode(t *testing.T, p mgr.Poller, e *enginetest.Engine, opts broadcast.Options) *node {
	opts.Engine = e
	if opts.Encode == nil {
		opts.Encode = numbered
	}
	n := &node{broadcast.NewRig(t, p, opts, broadcast.TellMissed), e, t}
	t.Cleanup(func() { e.Close() })
	return n
}

// ready waits until the node has caught up.
func (n *node) ready() *node {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Hub().CaughtUp(ctx); err != nil {
		n.t.Fatal(err)
	}
	return n
}

// until waits until ok says so of how the hub stands with its engine.
func (n *node) until(what string, ok func(broadcast.EngineState) bool) {
	n.t.Helper()
	for end := time.Now().Add(patience); !ok(n.Hub().Engine()); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatalf("%s does not come: %+v", what, n.Hub().Engine())
		}
	}
}

// publish publishes, and returns the offset when the message is stored.
func (n *node) publish(topic, data string, opts ...broadcast.PublishOptions) uint64 {
	n.t.Helper()
	offset, err := n.try(topic, data, opts...)
	if err != nil {
		n.t.Fatalf("PublishLater(%q): %v", topic, err)
	}
	return offset
}

func (n *node) try(topic, data string, opts ...broadcast.PublishOptions) (uint64, error) {
	type result struct {
		r   broadcast.Receipt
		err error
	}
	done := make(chan result, 2)
	n.Hub().PublishLater(topic, []byte(data), func(r broadcast.Receipt, err error) { done <- result{r, err} }, opts...)
	x := <-done
	return x.r.Offset, x.err
}

// has waits until the node has the offset.
func (n *node) has(offset uint64) {
	n.t.Helper()
	n.until("the offset", func(s broadcast.EngineState) bool { return s.Offset >= offset })
}

var kept = broadcast.Options{History: broadcast.History{Count: 100}}

func TestNodesOfOneEngineHaveOneOrder(t *testing.T) {
	broadcast.Pollers(t, func(t *testing.T, p mgr.Poller) {
		log := enginetest.NewLog()
		a, b := newNode(t, p, log.Engine(), kept).ready(), newNode(t, p, log.Engine(), kept).ready()
		at, bt := a.WS("topic=%23"), b.WS("topic=%23")
		const each = 200
		for _, n := range []*node{a, b} {
			go func() {
				for i := range each {
					if _, err := n.Hub().Publish("t", fmt.Append(nil, i)); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		for i := range 2 * each {
			want, err := at.Read()
			if err != nil || !strings.HasPrefix(want, fmt.Sprint(i+1, " t ")) {
				t.Fatal(want, err)
			}
			bt.Want(want)
		}
	})
}

func TestAnOffsetComesLater(t *testing.T) {
	log := enginetest.NewLog()
	n := newNode(t, mgr.Auto, log.Engine(), kept).ready()
	c := n.WS("topic=a")
	r, err := n.Hub().Publish("a", []byte("x"))
	if err != nil || r != (broadcast.Receipt{Subscribers: 1}) {
		t.Fatal(r, err)
	}
	c.Want("1 a x")
	if at := n.publish("a", "y"); at != log.Last() || uint32(at) != 2 {
		t.Error(at)
	}
	c.Want("2 a y")
	if at := n.Hub().Offset(); at != log.Last() {
		t.Error(at)
	}
	if _, err := n.try("a/#", "z"); err != broadcast.ErrBadTopic {
		t.Error(err)
	}
}

// Without an engine the offset comes at once.
func TestWithoutAnEngineLaterIsNow(t *testing.T) {
	hub := broadcast.New()
	called := 0
	hub.PublishLater("a", nil, func(r broadcast.Receipt, err error) {
		if called++; err != nil || r.Offset != hub.Offset() {
			t.Error(r, err)
		}
	})
	if called != 1 {
		t.Error(called)
	}
	if err := hub.CaughtUp(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestAMessageWithAKnownIDIsNotStoredAgain(t *testing.T) {
	log := enginetest.NewLog()
	n := newNode(t, mgr.Auto, log.Engine(), kept).ready()
	c := n.WS("topic=a")
	once := broadcast.PublishOptions{ID: "mine"}
	if x, y := n.publish("a", "1", once), n.publish("a", "1", once); x != y {
		t.Error(x, y)
	}
	n.publish("a", "2")
	c.Want("1 a 1", "2 a 2")
}

func TestTheSenderIsLeftOutWhenItsMessageComesBack(t *testing.T) {
	log := enginetest.NewLog()
	n := newNode(t, mgr.Auto, log.Engine(), kept).ready()
	c, sender := n.WS("topic=a"), n.WS("topic=a")
	id := n.NewestID()
	n.publish("a", "1", broadcast.PublishOptions{Except: id})
	if _, err := n.Hub().PublishExcept(id, "a", []byte("2")); err != nil {
		t.Fatal(err)
	}
	n.publish("a", "3")
	c.Want("1 a 1", "2 a 2", "3 a 3")
	sender.Want("3 a 3")
	// Nothing is left over of a message that the engine knew already.
	again := broadcast.PublishOptions{Except: id, ID: "mine"}
	n.publish("a", "4", again)
	n.has(log.Last())
	n.publish("a", "4", again)
	n.publish("a", "5")
	sender.Want("5 a 5")
	if k := n.Hub().Excepts(); k != 0 {
		t.Error(k, "left")
	}
}

// Each published message gets an offset or an error, once.
func TestADownEngineIsAnError(t *testing.T) {
	log := enginetest.NewLog()
	failed := make(chan error, 10)
	opts := kept
	opts.PublishFailed = func(topic string, err error) { failed <- fmt.Errorf("%s: %w", topic, err) }
	n := newNode(t, mgr.Auto, log.Engine(), opts).ready()
	c := n.WS("topic=a")

	n.e.Hold()
	results := make(chan error, 10)
	n.Hub().PublishLater("a", nil, func(_ broadcast.Receipt, err error) { results <- err })
	if _, err := n.Hub().Publish("b", nil); err != nil {
		t.Fatal(err)
	}
	if s := n.Hub().Engine(); s.InFlight != 2 || !s.Up {
		t.Errorf("%+v", s)
	}
	n.e.Down()
	if err := <-results; !errors.Is(err, enginetest.ErrCut) {
		t.Error(err)
	}
	if err := <-failed; !errors.Is(err, enginetest.ErrCut) || !strings.HasPrefix(err.Error(), "b: ") {
		t.Error(err)
	}
	n.until("down", func(s broadcast.EngineState) bool { return !s.Up && s.Err != nil && s.InFlight == 0 })
	if _, err := n.Hub().Publish("a", nil); !errors.Is(err, broadcast.ErrDown) || !errors.Is(err, enginetest.ErrCut) {
		t.Error(err)
	}
	if _, err := n.try("a", ""); !errors.Is(err, broadcast.ErrDown) {
		t.Error(err)
	}
	n.e.Release()
	n.e.Up()
	n.until("up", func(s broadcast.EngineState) bool { return s.Up && s.Begins == 2 && s.Resets == 0 })
	n.publish("a", "on")
	c.Want("1 a on")
	select {
	case err := <-results:
		t.Error("told twice: ", err)
	case err := <-failed:
		t.Error("told twice: ", err)
	default:
	}
	if s := n.Hub().Stats(); s.Refused != 4 {
		t.Errorf("%+v", s)
	}
	n.e.Close()
	if _, err := n.Hub().Publish("a", nil); !errors.Is(err, broadcast.ErrEngineClosed) {
		t.Error(err)
	}
}

// silent is an engine that takes all and answers nothing, and whose connection breaks: the hub
// itself fails what is on its way, even if the engine does later what it ought to have done.
type silent struct {
	broadcast.Engine
	sink chan broadcast.Sink
	done []func(uint64, error)
	end  chan struct{}
}

func (e *silent) Publish(_ *broadcast.Entry, done func(uint64, error)) error {
	e.done = append(e.done, done)
	return nil
}

func (e *silent) Run(s broadcast.Sink) error {
	s.Begin(broadcast.Info{Epoch: 1 << 40, First: 1<<40 + 1, Last: 1 << 40})
	e.sink <- s
	<-e.end
	return nil
}

func TestTheHubFailsWhatAnEngineForgets(t *testing.T) {
	e := &silent{sink: make(chan broadcast.Sink, 1), end: make(chan struct{})}
	defer close(e.end)
	hub := broadcast.NewHub(broadcast.Options{Engine: e, Queue: 3, QueueBytes: 100})
	sink := <-e.sink
	var told []string
	publish := func(size int) {
		n := len(told)
		told = append(told, "")
		hub.PublishLater("a", make([]byte, size), func(_ broadcast.Receipt, err error) { told[n] += fmt.Sprint(err, ";") })
	}
	publish(90)
	publish(11) // too many bytes
	publish(0)
	publish(0)
	publish(0) // too many messages
	e.done[1](1<<40+1, nil)
	sink.Down(errors.New("broken"))
	for _, done := range e.done {
		done(0, errors.New("too late"))
	}
	down := "broadcast: the engine is down: broken;"
	want := []string{down, broadcast.ErrFull.Error() + ";", "<nil>;", down, broadcast.ErrFull.Error() + ";"}
	for i := range want {
		if told[i] != want[i] {
			t.Errorf("%d: %q instead of %q", i, told[i], want[i])
		}
	}
	sink.Begin(broadcast.Info{Epoch: 1 << 40, First: 1<<40 + 1, Last: 1<<40 + 1})
	publish(100)
	if told[5] != "" {
		t.Error(told[5])
	}
}

// The engine waits for a loop that is busy: nothing is lost. It does not wait for one that is
// closed.
func TestAnEngineWaitsForTheLoops(t *testing.T) {
	broadcast.Pollers(t, func(t *testing.T, p mgr.Poller) {
		log := enginetest.NewLog()
		n := newNode(t, p, log.Engine(), broadcast.Options{History: kept.History, Queue: 3}).ready()
		other := newNode(t, p, log.Engine(), kept).ready()
		c := n.WS("topic=a")
		busy := func(f func()) {
			runs := make(chan struct{})
			go n.Do(func() { close(runs); f() })
			<-runs
		}
		busy(func() {
			n.until("a full queue", func(broadcast.EngineState) bool { return n.Hub().Stats().Queued == 3 })
		})
		var want []string
		for i := range 50 {
			other.publish("a", fmt.Sprint(i))
			want = append(want, fmt.Sprintf("%d a %d", i+1, i))
		}
		c.Want(want...)
		block := make(chan struct{})
		unblock := sync.OnceFunc(func() { close(block) })
		t.Cleanup(unblock) // before the loop is to end, however the test does
		busy(func() { <-block })
		for range 10 {
			other.publish("a", "")
		}
		n.Until("a full queue", func(s broadcast.Stats) bool { return s.Queued == 3 })
		// The loop ends without taking them: Close of the engine must not wait for it.
		closed := make(chan struct{})
		go func() { n.Stop(); n.e.Close(); close(closed) }()
		unblock()
		<-closed
	})
}

func TestADeletionComesToAllNodes(t *testing.T) {
	log := enginetest.NewLog()
	opts := broadcast.Options{Retain: true}
	a, b := newNode(t, mgr.Auto, log.Engine(), opts).ready(), newNode(t, mgr.Auto, log.Engine(), opts).ready()
	c := b.WS("topic=a")
	first := a.publish("a", "1")
	if _, err := a.Hub().Delete("a"); err != nil {
		t.Fatal(err)
	}
	at := a.publish("a", "", broadcast.PublishOptions{Delete: true})
	deleted := func(at uint64) string { return fmt.Sprintf(`{"topic":"a","offset":%d,"deleted":true}`, at) }
	c.Want("1 a 1", deleted(at-1), deleted(at))
	b.WS(fmt.Sprint("topic=a&since=", first)).Want(deleted(at))
	n := newNode(t, mgr.Auto, log.Engine(), opts).ready()
	newcomer := n.WS("topic=a")
	a.publish("a", "4")
	newcomer.Want("4 a 4")
}

// A client of a Door gets the reply when its message is stored, or the error.
func TestADoorRepliesWhenTheEngineHasStoredIt(t *testing.T) {
	broadcast.Pollers(t, func(t *testing.T, p mgr.Poller) {
		log := enginetest.NewLog()
		e := log.Engine()
		opts := kept
		opts.Engine = e
		all := broadcast.Rights{Publish: func(string) bool { return true }}
		n := &node{broadcast.NewDoorRig(t, p, opts, broadcast.DoorOptions{Rights: all}), e, t}
		t.Cleanup(func() { e.Close() })
		n.ready()
		c := n.Enter()
		c.Say(`{"subscribe":{"a":null}}`)
		c.Want(fmt.Sprintf(`{"live":%d}`, log.Last()))
		e.Hold()
		c.Say(`{"publish":"a","data":1,"id":7}`)
		c.Say(`{"publish":"a","data":2}`)
		n.until("two on their way", func(s broadcast.EngineState) bool { return s.InFlight == 2 })
		post := n.Dial()
		io.WriteString(post, "POST /hub?topic=b HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
		gone := n.Enter()
		gone.Say(`{"publish":"b","data":3,"id":1}`)
		n.until("four on their way", func(s broadcast.EngineState) bool { return s.InFlight == 4 })
		c.Say(`{"ping":true}`)
		c.Want(fmt.Sprintf(`{"pong":%d}`, log.Last())) // no reply has come yet
		gone.Close()
		e.Release()
		var got []string
		for range 3 {
			m, err := c.Read()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m)
		}
		base := log.Last() - 4
		slices.Sort(got) // the reply comes before the message or after it
		want := []string{fmt.Sprintf(`{"reply":7,"offset":%d,"subscribers":1}`, base+1),
			fmt.Sprintf(`{"topic":"a","offset":%d,"data":1}`, base+1), fmt.Sprintf(`{"topic":"a","offset":%d,"data":2}`, base+2)}
		if !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		r, err := http.ReadResponse(bufio.NewReader(post), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(r.Body); r.StatusCode != 200 || !strings.HasSuffix(string(body), `,"subscribers":0}`) {
			t.Errorf("%d %s", r.StatusCode, body)
		}
		e.Hold()
		c.Say(`{"publish":"a","data":3,"id":8}`)
		n.until("one on its way", func(s broadcast.EngineState) bool { return s.InFlight == 1 })
		e.Down()
		if m, err := c.Read(); err != nil || !strings.HasPrefix(m, `{"reply":8,"error":"`) {
			t.Error(m, err)
		}
		c.Say(`{"publish":"a","data":3,"id":9}`)
		if m, err := c.Read(); err != nil || !strings.HasPrefix(m, `{"reply":9,"error":"`) {
			t.Error(m, err)
		}
		io.WriteString(post, "POST /hub?topic=b HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
		if r, err := http.ReadResponse(bufio.NewReader(post), nil); err != nil || r.StatusCode != 503 {
			t.Error(r, err)
		}
	})
}

func TestInject(t *testing.T) {
	r := broadcast.NewRig(t, mgr.Auto, broadcast.Options{History: broadcast.History{Count: 10, Age: time.Minute},
		Encode: numbered}, broadcast.TellMissed)
	hub := r.Hub()
	c := r.WS("topic=a")
	base := hub.Offset()
	for _, tc := range []struct {
		offset uint64
		topic  string
		age    time.Duration
		want   error
	}{
		{1, "a", 0, nil},
		{5, "a", time.Second, nil},
		{5, "a", 0, broadcast.ErrStale},
		{4, "a", 0, broadcast.ErrStale},
		{6, "a/#", 0, broadcast.ErrBadTopic},
		{9, "a", 2 * time.Minute, nil}, // it comes live, but no history keeps it
		{11, "a", -time.Hour, nil},
	} {
		if err := hub.Inject(base+tc.offset, tc.topic, []byte("x"), time.Now().Add(-tc.age)); err != tc.want {
			t.Errorf("%d: %v", tc.offset, err)
		}
	}
	if _, err := hub.Publish("a", []byte("y")); err != nil {
		t.Error(err)
	}
	c.Want("1 a x", "5 a x", "9 a x", "11 a x", "12 a y")
	r.WS(fmt.Sprint("topic=a&since=", base+1)).Want("5 a x", `{"missed":1}`, "11 a x", "12 a y")
	r.WS(fmt.Sprint("topic=a&since=", base+3)).Want("5 a x")
	r.WS(fmt.Sprint("topic=a&since=", base+10)).Want("11 a x", "12 a y")
}
