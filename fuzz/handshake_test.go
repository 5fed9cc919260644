package fuzz

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	nethttp "net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// handshakeRig is one side of an opening handshake.
func handshakeRig(handle func(r *wsRig, c *conn.Conn, ev conn.Event)) *wsRig {
	r := &wsRig{wire: conntest.NewWire(), loop: conntest.NewLoop()}
	limits := conn.Limits{}.WithDefaults()
	r.c = r.loop.Add(r.wire, &limits, func(c *conn.Conn, ev conn.Event) { handle(r, c, ev) })
	return r
}

// note is what both sides note.
func note(r *wsRig, ev conn.Event) {
	switch ev := ev.(type) {
	case *websocket.Open:
		r.events = append(r.events, "open "+ev.Protocol)
	case *websocket.Message, *websocket.Control, *conn.Close:
		r.handle(r.c, ev)
	case *conn.Error:
		text := "error " + ev.Reason.String()
		if e, ok := errors.AsType[*websocket.HandshakeError](ev.Err); ok {
			text += fmt.Sprintf(" %d %s %q %q", e.Status, e.Reason, e.Head, e.Body)
		}
		r.events = append(r.events, text)
	}
}

var (
	clientOpts = &websocket.ClientOptions{Options: *serverOpts}
	serverOpts = &websocket.Options{Protocols: []string{"a", "b"}, MaxMessage: wsMaxMessage, Origins: []string{"*.example"},
		Compress: deflate.New()}
	keyLine  = regexp.MustCompile(`Sec-WebSocket-Key: (.*)\r\n`)
	dateLine = regexp.MustCompile(`Date: .*\r\n`)
)

// answerTo stands in an input for the right Sec-WebSocket-Accept.
const answerTo = "$ACCEPT"

func acceptOf(key []byte) string {
	sum := sha1.Sum(append(bytes.Clone(key), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// runClient gives response, cut at the places of cuts, to a client, and returns what it saw, and
// the response with the right accept in it.
func runClient(t *testing.T, response []byte, cuts ...int) (events, whole string) {
	cryptotest.SetGlobalRandom(t, 1) // the same key each time: what is cut off in the middle of it is the same, too
	r := handshakeRig(func(r *wsRig, _ *conn.Conn, ev conn.Event) { note(r, ev) })
	if err := websocket.ConnectOver(r.c, "ws://h/", clientOpts); err != nil {
		panic(err)
	}
	r.receive(nil)
	accept := acceptOf(keyLine.FindSubmatch(r.wire.Sent)[1])
	in := bytes.ReplaceAll(response, []byte(answerTo), []byte(accept))
	feed(r, in, cuts)
	return strings.ReplaceAll(strings.Join(r.events, "\n"), accept, answerTo), string(in)
}

// runServer gives request to a server, and returns what was seen and sent.
func runServer(request []byte, cuts ...int) (events, sent string) {
	r := handshakeRig(func(r *wsRig, c *conn.Conn, ev conn.Event) {
		m, ok := ev.(*http.Message)
		if !ok {
			note(r, ev)
			return
		}
		if err := websocket.Upgrade(c, m, serverOpts); err != nil {
			r.events = append(r.events, err.Error())
		}
	})
	http.Attach(r.c, wsServer)
	feed(r, request, cuts)
	return strings.Join(r.events, "\n"), dateLine.ReplaceAllString(string(r.wire.Sent), "")
}

func feed(r *wsRig, in []byte, cuts []int) {
	at := 0
	for _, cut := range append(cuts, len(in)) {
		if cut = min(cut, len(in)); cut > at {
			r.receive(in[at:cut])
			at = cut
		}
	}
	r.hangUp()
}

// FuzzHandshake gives any bytes to a server as requests and to a client as a response. However they
// are cut, the outcome is the same; what is taken for a handshake is one by net/http's parser, too.
func FuzzHandshake(f *testing.F) {
	const head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + answerTo + "\r\n"
	for _, s := range []string{
		wsRequest, wsRequest + "\x81\x82\x00\x00\x00\x00hi", strings.Replace(wsRequest, "13", "12", 1) + wsRequest,
		strings.Replace(wsRequest, "\r\n\r\n", "\r\nSec-WebSocket-Protocol: c, b,a\r\nOrigin: http://x.example\r\n\r\n", 1),
		strings.Replace(wsRequest, "\r\n\r\n", "\r\nOrigin: http://evil\r\n\r\n", 1), strings.Replace(wsRequest, "GET", "POST", 1),
		strings.Replace(wsRequest, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n", 1),
		head + "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00",
		head + "\r\n", head + "Sec-WebSocket-Protocol: b\r\n\r\n\x81\x02hi\x88\x02\x03\xe8", head + "Sec-WebSocket-Protocol: c\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n" + head + "\r\n\x89\x00", head + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabcd", "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: http://h/\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nabc", "HTTP/1.1 204\r\n\r\n",
	} {
		f.Add([]byte(s), uint16(7), uint16(60))
	}
	f.Fuzz(func(t *testing.T, in []byte, one, two uint16) {
		if len(in) > 2000 {
			return // bounds are for tests
		}
		cuts := []int{min(int(one), int(two)), max(int(one), int(two))}
		each := make([]int, len(in)+100)
		for i := range each {
			each[i] = i
		}
		client, whole := runClient(t, in)
		server, sent := runServer(in)
		for _, cuts := range [][]int{cuts, each} {
			if got, _ := runClient(t, in, cuts...); got != client {
				t.Fatalf("client, cut at %v:\n%s\nwhole:\n%s", cuts, got, client)
			}
			if got, gotSent := runServer(in, cuts...); got != server || gotSent != sent {
				t.Fatalf("server, cut at %v:\n%s\n%q\nwhole:\n%s\n%q", cuts, got, gotSent, server, sent)
			}
		}
		if strings.HasPrefix(client, "open ") {
			checkResponse(t, whole, strings.TrimPrefix(strings.SplitN(client, "\n", 2)[0], "open "))
		}
		if strings.HasPrefix(server, "open ") {
			checkRequest(t, in, sent)
		}
		for who, events := range map[string]string{"client": client, "server": server} {
			list := strings.Split(events, "\n")
			if opens := strings.Count("\n"+events, "\nopen "); opens > 1 || strings.Count("\n"+events, "\nend ") != opens ||
				list[len(list)-1] != "closed" {
				t.Fatalf("%s saw:\n%s", who, events)
			}
		}
	})
}

// checkResponse checks a response that was taken for a handshake's, after interim ones.
func checkResponse(t *testing.T, whole, protocol string) {
	for b := bufio.NewReader(strings.NewReader(whole)); ; {
		reply, err := nethttp.ReadResponse(b, &nethttp.Request{Method: "GET"})
		if err != nil {
			t.Fatalf("net/http: %v", err)
		}
		if reply.StatusCode != 101 {
			continue
		}
		h := reply.Header
		if !hasToken(h, "Upgrade", "websocket") || !hasToken(h, "Connection", "upgrade") || h.Get("Sec-Websocket-Protocol") != protocol ||
			len(h.Get("Sec-Websocket-Accept")) != 28 {
			t.Fatalf("opened with %v", h)
		}
		return
	}
}

// checkRequest checks a request that was upgraded.
func checkRequest(t *testing.T, in []byte, sent string) {
	if !strings.HasPrefix(sent, "HTTP/1.1 101") {
		return // others were answered before the one that was
	}
	req, err := nethttp.ReadRequest(bufio.NewReader(bytes.NewReader(in)))
	if err != nil {
		t.Fatalf("net/http: %v", err)
	}
	h := req.Header
	if req.Method != "GET" || !hasToken(h, "Upgrade", "websocket") || !hasToken(h, "Connection", "upgrade") ||
		h.Get("Sec-Websocket-Version") != "13" || !strings.Contains(sent, acceptOf([]byte(h.Get("Sec-Websocket-Key")))) {
		t.Fatalf("upgraded %v and sent %q", h, sent)
	}
}

func hasToken(h nethttp.Header, name, token string) bool {
	return slices.ContainsFunc(strings.Split(strings.Join(h[name], ","), ","), func(s string) bool {
		return strings.EqualFold(strings.Trim(s, " \t"), token)
	})
}
