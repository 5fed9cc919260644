package fuzz

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/websocket"
)

// runClientFrames is runFrames for a client, with the response to its handshake before the first
// piece.
func runClientFrames(pieces ...[]byte) (events []string, sent []byte) {
	r := handshakeRig(func(r *wsRig, c *conn.Conn, ev conn.Event) { r.handle(c, ev) })
	opts := &websocket.ClientOptions{Options: websocket.Options{MaxMessage: wsMaxMessage}}
	if err := websocket.ConnectOver(r.c, "ws://h/", opts); err != nil {
		panic(err)
	}
	r.receive(nil)
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		acceptOf(keyLine.FindSubmatch(r.wire.Sent)[1]) + "\r\n\r\n"
	r.wire.Sent = nil
	for _, p := range slices.Concat([][]byte{[]byte(head)}, pieces) {
		r.receive(p)
	}
	r.hangUp()
	return r.events, r.wire.Sent
}

func serverFrame(first byte, payload string) []byte {
	b, _ := ws.CompileFrame(ws.Frame{Header: ws.Header{
		Fin: first&0x80 != 0, Rsv: first >> 4 & 7, OpCode: ws.OpCode(first & 15), Length: int64(len(payload)),
	}, Payload: []byte(payload)})
	return b
}

// FuzzClientFrames is FuzzFrames for a client.
func FuzzClientFrames(f *testing.F) {
	close1000 := serverFrame(0x88, "\x03\xe8")
	for _, seed := range [][]byte{
		slices.Concat(serverFrame(0x81, "hello"), serverFrame(0x82, "\xff"), close1000),
		slices.Concat(serverFrame(0x01, "κό"), serverFrame(0x89, "p"), serverFrame(0x80, "σμε"), close1000),
		slices.Concat(serverFrame(0x01, "\xce"), serverFrame(0x00, "\xba"), serverFrame(0x80, "\xed\xa0\x80")),
		slices.Concat(serverFrame(0x02, strings.Repeat("x", 200)), serverFrame(0x80, strings.Repeat("x", 101))),
		serverFrame(0x82, strings.Repeat("x", 300)), serverFrame(0xc1, "x"), serverFrame(0x83, "x"), serverFrame(0x80, "x"),
		serverFrame(0x09, "x"), serverFrame(0x88, ""), serverFrame(0x88, "\x03\xf4\xff"), serverFrame(0x88, "\x03\xed"),
		clientFrame(0x81, "masked"), []byte("\x81\x7e\x00\x05Hello"), []byte("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"),
		[]byte("\x82\x7f\x00\x00\x00\x00\x7f\xff\xff\xffx"), []byte("\x89\x7e"), []byte("\x81"),
	} {
		f.Add(seed, 3)
		f.Add(seed, 9)
	}
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		if len(stream) > 4096 {
			return
		}
		events, sent := oracle(stream, ws.StateClientSide)
		cut = int(uint(cut) % uint(len(stream)+1))
		for _, pieces := range [][][]byte{{stream}, {stream[:cut], stream[cut:]}, slices.Collect(slices.Chunk(stream, 1))} {
			gotEvents, gotSent := runClientFrames(pieces...)
			if words := sentWords(gotSent, ws.StateClientSide); !slices.Equal(gotEvents, events) || !bytes.Equal(words, sent) {
				t.Fatalf("% x in %s\n got  %q %s\n want %q %s", stream, fmt.Sprint(len(pieces), " pieces"), gotEvents, words, events, sent)
			}
		}
	})
}
