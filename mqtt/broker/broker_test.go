package broker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// packet makes an MQTT 3.1.1 packet that is shorter than 128 bytes.
func packet(kind byte, body ...byte) []byte { return append([]byte{kind, byte(len(body))}, body...) }

func text(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

// A peer is a client that says what a test has it say.
type peer struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, b *Broker, name string) *peer {
	t.Helper()
	c, err := b.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	p := &peer{t, c, bufio.NewReader(c)}
	p.Write(packet(0x10, append(append(text("MQTT"), 4, 2, 0, 0), text(name)...)...)) // CONNECT, clean session
	p.want(0x20)
	return p
}

// A client of version 5 gets all its messages, though it says that it takes one at a time: see
// unlimited.
func TestReceiveMaximumIsNoLimit(t *testing.T) {
	b, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	c, err := b.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	idle, publisher := &peer{t, c, bufio.NewReader(c)}, dial(t, b, "publisher")
	idle.Write(packet(0x10, append(append(text("MQTT"), 5, 2, 0, 0, 3, 0x21, 0, 1), text("idle")...)...)) // CONNECT, Receive Maximum 1
	idle.want(0x20)
	idle.Write(packet(0x82, append([]byte{0, 1, 0}, append(text("a"), 1)...)...)) // SUBSCRIBE
	idle.want(0x90)
	for i := range byte(9) {
		publisher.Write(packet(0x32, append(text("a"), 0, i+1, 'x')...)) // PUBLISH
		publisher.want(0x40)
		idle.want(0x32)
	}
}

// Messages for a client that reads nothing are counted when its queue is full.
func TestMessagesOverTheQueueAreCounted(t *testing.T) {
	b, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	deaf, publisher := dial(t, b, "deaf"), dial(t, b, "publisher")
	deaf.Write(packet(0x82, append([]byte{0, 1}, append(text("a"), 0)...)...)) // SUBSCRIBE, of quality 0
	deaf.want(0x90)
	message := packet(0x30, append(text("a"), make([]byte, 100)...)...) // PUBLISH
	for range 100 {
		publisher.Write(bytes.Repeat(message, 2000))
		publisher.Write(packet(0xc0)) // PINGREQ
		publisher.want(0xd0)
		if b.Stats().Dropped > 0 {
			return
		}
	}
	t.Errorf("200,000 messages wait: %+v", b.Stats())
}

// want reads one packet, and compares its kind.
func (p *peer) want(kind byte) {
	p.t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(p.r, head); err != nil || head[0] != kind {
		p.t.Fatalf("%x, %v instead of %x", head, err, kind)
	}
	if _, err := io.CopyN(io.Discard, p.r, int64(head[1])); err != nil {
		p.t.Fatal(err)
	}
}

// A client that acknowledges nothing gets 8,192 messages. Later ones are counted, and their
// publisher does not notice.
func TestMessagesOverTheQuotaAreCounted(t *testing.T) {
	b, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	idle, publisher := dial(t, b, "idle"), dial(t, b, "publisher")
	idle.Write(packet(0x82, append([]byte{0, 1}, append(text("a"), 1)...)...)) // SUBSCRIBE
	idle.want(0x90)
	const quota, more = 8192, 5
	done := make(chan bool)
	go func() {
		defer close(done)
		for range quota {
			idle.want(0x32)
		}
	}()
	for i := range quota + more {
		publisher.Write(packet(0x32, append(append(text("a"), byte((i+1)>>8), byte(i+1)), 'x')...)) // PUBLISH
		publisher.want(0x40)
	}
	<-done
	if got, want := b.Stats(), (Stats{Clients: 2, Dropped: more}); got != want {
		t.Errorf("%+v instead of %+v", got, want)
	}
}
