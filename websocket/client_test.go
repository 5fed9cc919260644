package websocket_test

import (
	"bufio"
	"bytes"
	"fmt"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/racetest"
	"github.com/seed4930a636/mangusta/websocket"
)

// newClientRig is a client that has sent its request, which is returned.
func newClientRig(t testing.TB, opts *websocket.ClientOptions) (*rig, *nethttp.Request) {
	t.Helper()
	r := bareRig(t, nil)
	r.client = true
	if err := websocket.ConnectOver(r.c, "ws://server.example:8080/chat?room=1", opts); err != nil {
		t.Fatal(err)
	}
	r.Turn()
	req, err := nethttp.ReadRequest(bufio.NewReader(bytes.NewReader(r.Wire.Sent)))
	if err != nil {
		t.Fatal(err)
	}
	r.Wire.Sent = nil
	return r, req
}

// switching is the response that req wants, with more lines.
func switching(req *nethttp.Request, more ...string) []byte {
	accept := websocket.AcceptKey([]byte(req.Header.Get("Sec-WebSocket-Key")))
	lines := append([]string{"HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Accept: " + string(accept[:])}, more...)
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n")
}

// openRig is a client whose handshake is done.
func openRig(t testing.TB, opts *websocket.ClientOptions) *rig {
	t.Helper()
	r, req := newClientRig(t, opts)
	r.receive(switching(req))
	r.want("events", r.events, opened)
	r.events = nil
	return r
}

// bare is a frame as servers send it.
func bare(first byte, payload string) []byte {
	return append(websocket.AppendHeader(nil, first, len(payload)), payload...)
}

// RFC 6455 §4.1: the requirements of the client's opening handshake.
func TestClientRequest(t *testing.T) {
	opts := &websocket.ClientOptions{Origin: "http://page.example", Options: websocket.Options{
		Protocols: []string{"chat", "superchat"}, Header: []websocket.Header{{"Authorization", "Basic eDp5"}, {"X-A", ""}}}}
	_, req := newClientRig(t, opts)
	if req.Method != "GET" || req.Proto != "HTTP/1.1" || req.RequestURI != "/chat?room=1" || req.Host != "server.example:8080" {
		t.Errorf("request %s %s %s to %s", req.Method, req.RequestURI, req.Proto, req.Host)
	}
	for name, want := range map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Origin": "http://page.example",
		"Sec-WebSocket-Protocol": "chat, superchat", "Authorization": "Basic eDp5", "Sec-WebSocket-Extensions": "",
	} {
		if got := req.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	seen := map[string]bool{}
	for range 100 { // item 7: a nonce of 16 bytes, selected at random for each connection
		_, req := newClientRig(t, nil)
		key := req.Header.Get("Sec-WebSocket-Key")
		if !websocket.ValidKey([]byte(key)) || seen[key] {
			t.Fatalf("key %q is not fresh", key)
		}
		seen[key] = true
		for _, name := range []string{"Origin", "Sec-WebSocket-Protocol"} {
			if _, ok := req.Header[name]; ok {
				t.Errorf("%s is sent without having been asked for", name)
			}
		}
	}
}

const acceptLine = "Sec-WebSocket-Accept: "

// §4.1, the list at its end, and RFC 9112 §4 and §5: what the response must be. Each case also runs
// byte by byte, and cut in two at every place.
func TestClientChecksTheResponse(t *testing.T) {
	const bad = "the response cannot be read: "
	const long = "the head of the response is too long: "
	const notHTTP = bad + "malformed status line"
	head := func(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }
	const first, upgrade, connection, accept = "HTTP/1.1 101 OK", "Upgrade: websocket", "Connection: Upgrade", "ACCEPT"
	with := func(lines ...string) string {
		return head(append([]string{first, upgrade, connection, accept}, lines...)...)
	}
	for _, tc := range []struct{ name, in, wrong string }{
		{"good", with(), ""},
		{"no reason phrase", head("HTTP/1.1 101 ", upgrade, connection, accept), ""},
		{"no space after the status", head("HTTP/1.1 101", upgrade, connection, accept), ""},
		{"names and tokens in any case", head(first, "UPGRADE: WebSocket", "connection: keep-alive, uPGRADE", accept), ""},
		{"tokens on several lines", head(first, upgrade, "Connection: keep-alive", connection, accept), ""},
		{"subprotocol", with("Sec-WebSocket-Protocol: two"), ""},
		{"after interim responses", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + with(), ""},
		{"no Upgrade", head(first, connection, accept), "Upgrade of the response is not websocket"},
		{"another Upgrade", head(first, "Upgrade: h2c", connection, accept), "Upgrade of the response is not websocket"},
		{"two Upgrades", head(first, "Upgrade: websocket, h2c", connection, accept), "Upgrade of the response is not websocket"},
		{"no Connection", head(first, upgrade, accept), "Connection of the response lacks the token Upgrade"},
		{"Connection: close", head(first, upgrade, "Connection: close", accept), "Connection of the response lacks the token Upgrade"},
		{"no Accept", head(first, upgrade, connection), "Sec-WebSocket-Accept of the response is wrong"},
		{"two Accepts", with(accept), "Sec-WebSocket-Accept of the response is wrong"},
		{"Accept of another key", head(first, upgrade, connection, acceptLine+"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "Sec-WebSocket-Accept of the response is wrong"},
		{"Accept in another case", head(first, upgrade, connection, "accept"), "Sec-WebSocket-Accept of the response is wrong"},
		{"unknown extension", with("Sec-WebSocket-Extensions: x-nothing"), "the server chose an extension that was not offered"},
		{"permessage-deflate that was not offered", with("Sec-WebSocket-Extensions: permessage-deflate"),
			"the server chose an extension that was not offered"},
		{"extension twice", with("Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Extensions: permessage-deflate"),
			"the server chose an extension that was not offered"},
		{"extensions malformed", with("Sec-WebSocket-Extensions: a b"), "Sec-WebSocket-Extensions of the response is malformed"},
		{"parameters invalid", with("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7"),
			"the server chose an extension that was not offered"},
		{"foreign subprotocol", with("Sec-WebSocket-Protocol: three"), "the server chose a subprotocol that was not offered"},
		{"subprotocol in another case", with("Sec-WebSocket-Protocol: TWO"), "the server chose a subprotocol that was not offered"},
		{"two subprotocols", with("Sec-WebSocket-Protocol: one, two"), "the server chose a subprotocol that was not offered"},
		{"two subprotocol lines", with("Sec-WebSocket-Protocol: one", "Sec-WebSocket-Protocol: one"), "the response has more than one Sec-WebSocket-Protocol"},
		{"empty subprotocol", with("Sec-WebSocket-Protocol:"), "the server chose a subprotocol that was not offered"},
		{"HTTP/1.0", head("HTTP/1.0 101 OK", upgrade, connection, accept), bad + "an interim response of HTTP/1.0"},
		{"HTTP/2", head("HTTP/2.0 101 OK"), bad + "neither HTTP/1.0 nor HTTP/1.1"},
		{"another protocol", "SSH-2.0-OpenSSH\r\n", notHTTP},
		{"status of two digits", head("HTTP/1.1 10 OK"), notHTTP},
		{"status of four digits", head("HTTP/1.1 1011 OK"), notHTTP},
		{"status 099", head("HTTP/1.1 099 OK"), bad + "status below 100"},
		{"NUL in the reason", head("HTTP/1.1 101 O\x00K"), bad + "control character in a reason phrase"},
		{"empty line first", "\r\n" + with(), notHTTP},
		{"bare LF", "HTTP/1.1 101 OK\nUpgrade: websocket\n\n", bad + "LF without CR"},
		{"no colon", with("nothing"), bad + "field name is not a token followed by a colon"},
		{"no name", with(": x"), bad + "empty field name"},
		{"space before the colon", with("X : y"), bad + "field name is not a token followed by a colon"},
		{"folded line", with(" y"), bad + "line begins with white space"},
		{"NUL in a value", with("X: \x00"), bad + "control character in a field value"},
		{"endless line", "HTTP/1.1 101 " + strings.Repeat("x", websocket.MaxHead), long + "head too long"},
		{"endless head", first + "\r\n" + strings.Repeat("X: "+strings.Repeat("y", 95)+"\r\n", websocket.MaxHead/100+1), long + "head too long"},
		{"endless fields", first + "\r\n" + strings.Repeat("X: y\r\n", websocket.MaxHead/6), long + "too many header fields"},
		{"endless interim responses", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", websocket.MaxHead/25+1), bad + "too many interim responses"},
		{"refusal", head("HTTP/1.1 404 Not Found", "Content-Length: 0"), "the server responded with 404 Not Found"},
		{"200", head("HTTP/1.1 200 OK", "Content-Length: 0"), "the server responded with 200 OK"},
		{"redirect", head("HTTP/1.1 302 Found", "Location: /x", "Content-Length: 0"),
			"the server responded with 302 Found, a redirect to /x, which is not followed"},
		{"redirect to nowhere", head("HTTP/1.1 302 Found", "Content-Length: 0"), "the server responded with 302 Found without a Location"},
		{"bad Content-Length", head("HTTP/1.1 404 Not Found", "Content-Length: -1"), bad + "malformed Content-Length"},
		{"two Content-Lengths", head("HTTP/1.1 404 No", "Content-Length: 1", "Content-Length: 2"), bad + "Content-Length with several values"},
		{"the same Content-Length twice (RFC 9112 §6.3 item 5)", head("HTTP/1.1 404 No", "Content-Length: 0", "Content-Length: 0"), "the server responded with 404 No"},
		{"unknown transfer coding", head("HTTP/1.1 404 No", "Transfer-Encoding: gzip, chunked"), bad + "unknown transfer coding"},
	} {
		want := []string{"error protocol error: " + tc.wrong, "closed"}
		if tc.wrong == "" {
			protocol := ""
			if strings.Contains(tc.in, ": two") {
				protocol = "two"
			}
			want = []string{fmt.Sprintf("open %q", protocol), `text "hi"`, "end 1006 \"\" clean=false", "closed"}
		}
		run := func(pieces func(in []byte) [][]byte) {
			r, req := newClientRig(t, &websocket.ClientOptions{Options: websocket.Options{Protocols: []string{"one", "two"}}})
			key := websocket.AcceptKey([]byte(req.Header.Get("Sec-WebSocket-Key")))
			in := strings.ReplaceAll(tc.in, "ACCEPT", acceptLine+string(key[:]))
			in = strings.ReplaceAll(in, "\naccept", "\n"+acceptLine+strings.ToLower(string(key[:])))
			if tc.wrong == "" {
				in += string(bare(0x81, "hi"))
			}
			for _, p := range pieces([]byte(in)) {
				r.receive(p)
			}
			if tc.wrong == "" {
				r.SendEOF()
			}
			r.want(tc.name, r.events, want...)
		}
		run(func(in []byte) [][]byte { return [][]byte{in} })
		run(func(in []byte) (list [][]byte) {
			for i := range in {
				list = append(list, in[i:i+1])
			}
			return list
		})
		if len(tc.in) < 1000 {
			for cut := range len(tc.in) {
				run(func(in []byte) [][]byte { return [][]byte{in[:cut], in[cut:]} })
			}
		}
		if t.Failed() {
			return
		}
	}
}

// The head of a response that is no 101, and a piece of its body, are in the error.
func TestRefusalIsReadable(t *testing.T) {
	const head = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n"
	big := strings.Repeat("b", 3*websocket.MaxRefusal)
	for _, tc := range []struct {
		name, fields, body string
		end                func(r *rig)
		want               string
	}{
		{"with a length", "Content-Length: 5\r\n", "who? and more", nil, "who? "},
		{"of no length", "Content-Length: 0\r\n", "", nil, ""},
		{"chunked", "Transfer-Encoding: chunked\r\n", "3\r\nwho\r\n2;x=y\r\n r\r\n0\r\n\r\n", nil, "who r"},
		{"until the end", "", "who?", (*rig).hangUp, "who?"},
		{"cut off", "Content-Length: 50\r\n", "who?", (*rig).hangUp, "who?"},
		{"late", "Content-Length: 50\r\n", "who?", func(r *rig) { r.pass(websocket.DefaultHandshakeTimeout + 1) }, "who?"},
		{"chunked and cut off", "Transfer-Encoding: chunked\r\n", "9\r\nwho", (*rig).hangUp, "who"},
		{"chunked badly", "Transfer-Encoding: chunked\r\n", "2\r\nwh\r\nxx\r\n", nil, "wh"},
		{"too long", "", big, nil, big[:websocket.MaxRefusal]},
		{"chunks of one byte", "Transfer-Encoding: chunked\r\n", strings.Repeat("1\r\nb\r\n", websocket.MaxRefusal), nil, strings.Repeat("b", websocket.MaxRefusal)},
	} {
		for _, step := range []int{1, 7, 1 << 20} {
			r, _ := newClientRig(t, nil)
			for in := []byte(head + tc.fields + "\r\n" + tc.body); len(in) > 0 && !r.Closed(); in = in[min(step, len(in)):] {
				r.receive(in[:min(step, len(in))])
			}
			if tc.end != nil {
				tc.end(r)
			}
			reason := "protocol error"
			switch {
			case tc.name == "late":
				reason = "deadline passed"
			case strings.Contains(tc.name, "cut off"):
				reason = "closed by the peer"
			}
			r.want(tc.name, r.events, "error "+reason+": the server responded with 401 Unauthorized", "closed")
			if e := r.refusal; e != nil && (e.Status != 401 || e.Head != head+tc.fields+"\r\n" ||
				string(e.Body) != tc.want) {
				t.Errorf("%s in steps of %d: %d %q, body %s, want %s", tc.name, step, e.Status, e.Head,
					short(e.Body), short([]byte(tc.want)))
			}
		}
	}
}

// A response has to come in time, and whole.
func TestHandshakeThatDoesNotEnd(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(r *rig)
		want string
	}{
		{"silence", func(r *rig) { r.pass(time.Second + 1) }, "error deadline passed: the request took too long"},
		{"half a head", func(r *rig) { r.receive([]byte("HTTP/1.1 101 OK\r\nUp")); r.pass(time.Second + 1) },
			"error deadline passed: the request took too long"},
		{"end of the stream", (*rig).hangUp, "error closed by the peer: the connection ended without a response"},
		{"shutdown", func(r *rig) { r.Shutdown() }, "error shutting down: this side is shutting down"},
	} {
		r, _ := newClientRig(t, &websocket.ClientOptions{HandshakeTimeout: time.Second})
		r.pass(time.Second - 1)
		r.want(tc.name, r.events)
		tc.do(r)
		r.want(tc.name, r.events, tc.want, "closed")
	}
}

func TestNothingIsSentBeforeTheResponse(t *testing.T) {
	r, _ := newClientRig(t, nil)
	if err := websocket.Send(r.c, websocket.Text, nil); err != websocket.ErrNotWebSocket || websocket.Is(r.c) {
		t.Errorf("Send = %v", err)
	}
}

func TestConnectOverNeedsABareConnection(t *testing.T) {
	r := newRig(t, nil)
	if err := websocket.ConnectOver(r.c, "ws://h/", nil); err == nil || !strings.Contains(err.Error(), "a protocol layer sits") {
		t.Errorf("%v", err)
	}
}

// RFC 6455 §5.3: each frame has a fresh key, and the bytes that the program gave stay as they were.
func TestClientMasksEachFrame(t *testing.T) {
	r := openRig(t, nil)
	seen := map[string]bool{}
	for _, n := range []int{0, 1, 3, 125, 126, 127, 2040, 2048, 4096, 65535, 65536, 300_000} {
		p := bytes.Repeat([]byte("0123456789abcde"), n/15+1)[:n]
		before := bytes.Clone(p)
		for i, send := range []func() error{
			func() error { return websocket.Send(r.c, websocket.Binary, p) },
			func() error { return websocket.SendPrepared(r.c, websocket.Prepare(websocket.Binary, p)) },
		} {
			if err := send(); err != nil {
				t.Fatal(err)
			}
			r.Turn()
			r.want(fmt.Sprintf("%d bytes, way %d", n, i), r.frames(), "binary "+short(before))
			if !bytes.Equal(p, before) {
				t.Fatalf("%d bytes: the program's bytes were changed", n)
			}
			head := 2
			switch {
			case n >= 65536:
				head = 10
			case n >= 126:
				head = 4
			}
			if key := string(r.Wire.Sent[head : head+4]); seen[key] {
				t.Errorf("key %x again", key)
			} else {
				seen[key] = true
			}
			r.Wire.Sent = nil
		}
	}
	w := websocket.Writer(r.c, websocket.Text)
	w.Write([]byte("a "))
	w.Write([]byte("b"))
	w.Close()
	r.receive(bare(0x89, "p"))
	websocket.CloseWith(r.c, websocket.CloseNormal, "x")
	r.Turn()
	r.want("sent", r.frames(), `text- "a "`, `continuation- "b"`, `continuation ""`, `pong "p"`, `close 1000 "x"`)
}

// A client that refuses what is too much queues nothing of it: half a frame would break the stream.
func TestClientRefusesWholeFrames(t *testing.T) {
	r := openRig(t, nil)
	r.c.SetLimits(&conn.Limits{Send: 1000, OnFull: conn.RefuseOnFull})
	r.Wire.Room = 0
	const first = 990 + 8 // with its header and key
	if err := websocket.Send(r.c, websocket.Binary, make([]byte, 990)); err != nil || r.c.Pending() != first {
		t.Errorf("%v, and %d bytes are queued", err, r.c.Pending())
	}
	if err := websocket.Send(r.c, websocket.Binary, make([]byte, 50_000)); err != nil {
		t.Error("below the limit:", err) // one message may go past it
	}
	if err := websocket.Send(r.c, websocket.Binary, nil); err != conn.ErrSendLimit || r.c.Pending() != first+50_008 {
		t.Errorf("%v, and %d bytes are queued", err, r.c.Pending())
	}
}

// §5.1: a client must close the connection when it detects a masked frame. All else is as for a
// server.
func TestClientFailsWhatServersMustNotSend(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   []byte
		code int
		why  string
	}{
		{"masked frame", masked(0x81, "x"), 1002, "a server's frame must not be masked"},
		{"masked close", masked(0x88, ""), 1002, "a server's frame must not be masked"},
		{"reserved bit", bare(0xc1, "x"), 1002, whyRSV},
		{"long ping", []byte{0x89, 126, 0, 126}, 1002, whyLong},
		{"length not shortest", []byte{0x82, 126, 0, 125}, 1002, whyLen},
		{"length not shortest, of 8 bytes", []byte{0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 1002, whyLen},
		{"not UTF-8", bare(0x81, "\xff"), 1007, whyText},
		{"too big", []byte{0x82, 127, 0, 0, 0, 0, 1, 0, 0, 0}, 1009, whyBig},
	} {
		for _, step := range []int{1, 1 << 20} {
			r := openRig(t, nil)
			for in := tc.in; len(in) > 0; in = in[min(step, len(in)):] {
				r.receive(in[:min(step, len(in))])
			}
			r.want(tc.name, r.events, fmt.Sprintf("end %d %q clean=false", tc.code, tc.why))
			r.want(tc.name, r.frames(), fmt.Sprintf("close %d %q", tc.code, tc.why))
		}
	}
}

// Frames of every length class, at once and byte by byte.
func TestClientReceives(t *testing.T) {
	x200, x70000 := strings.Repeat("x", 200), strings.Repeat("y", 70000)
	in := cat(bare(0x81, ""), bare(0x81, "κόσμε"), bare(0x01, "a"), bare(0x89, "p"), bare(0x80, "b"),
		bare(0x82, x200), bare(0x82, x70000), bare(0x8a, "q"), bare(0x88, closing(1001, "bye")))
	for _, step := range []int{1, 3, 1 << 20} {
		r := openRig(t, nil)
		for in := in; len(in) > 0; in = in[min(step, len(in)):] {
			r.receive(in[:min(step, len(in))])
		}
		r.want("events", r.events, `text ""`, `text "κόσμε"`, `ping "p"`, `text "ab"`, "binary "+short([]byte(x200)),
			"binary "+short([]byte(x70000)), `pong "q"`, `end 1001 "bye" clean=true`)
		r.want("sent", r.frames(), `pong "p"`, `close 1001 ""`)
	}
}

// RFC 6455 §7.1.1: it is the server who closes TCP first; a client that has waited for long enough
// may.
func TestClientWaitsForTheServerToClose(t *testing.T) {
	clean := `end 1000 "" clean=true`
	end := func(r *rig) {
		websocket.CloseWith(r.c, websocket.CloseNormal, "")
		r.receive(cat(bare(0x81, "late"), bare(0x88, closing(1000, "")), []byte("junk")))
	}
	r := openRig(t, nil)
	end(r)
	r.receive([]byte("more junk"))
	r.want("events", r.events, clean)
	if r.Wire.Shut || r.Closed() || r.c.Recv.Len() > 0 {
		t.Errorf("TCP ended: %v, %v; %d bytes kept", r.Wire.Shut, r.Closed(), r.c.Recv.Len())
	}
	r.SendEOF()
	r.want("events", r.events, clean, "closed")
	if got := r.c.Reason(); got != conn.PeerClosed {
		t.Errorf("reason %s", got)
	}

	r = openRig(t, nil)
	end(r)
	r.pass(websocket.DefaultCloseTimeout - 1)
	r.want("events", r.events, clean)
	r.pass(2)
	r.want("events", r.events, clean, "closed")
}

func TestClientSendAllocatesNothing(t *testing.T) {
	if racetest.Enabled {
		t.Skip("the race detector allocates")
	}
	r := openRig(t, nil)
	r.hush()
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*websocket.Message); ok {
			websocket.Send(c, m.Op, m.Data)
		}
	}
	in := bare(0x82, strings.Repeat("x", 64))
	if n := testing.AllocsPerRun(1000, func() { r.receive(in) }); n > 0 {
		t.Errorf("%v allocations for an echo", n)
	}
}
