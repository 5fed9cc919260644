package interop

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"
)

// A library makes clients, and handlers for servers.
type library struct {
	name   string
	modes  []mode
	dial   func(t *testing.T, url string, m mode) socket
	accept func(w http.ResponseWriter, r *http.Request, m mode) (socket, error)
}

func libraries() []library {
	return []library{
		{"gorilla", []mode{plain, alone}, dialGorilla, acceptGorilla},
		{"coder", []mode{plain, alone, takeover}, dialCoder, acceptCoder},
		{"gws", []mode{plain, alone, takeover}, dialGWS, acceptGWS},
	}
}

const most = 32 << 20 // bytes of a message

// start runs a server of the library, whose conversations must end well, and returns its URL.
func (l library) start(t *testing.T, m mode) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := l.accept(w, r, m)
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		if err := serve(s); err != nil {
			t.Errorf("the server's conversation: %v", err)
		}
	}))
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

type gorillaSocket struct {
	mailbox
	c *gorilla.Conn
}

func dialGorilla(t *testing.T, url string, m mode) socket {
	d := gorilla.Dialer{EnableCompression: m != plain}
	c, reply, err := d.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantAgreed(t, reply.Header, m)
	t.Cleanup(func() { c.Close() })
	return newGorilla(c)
}

func acceptGorilla(w http.ResponseWriter, r *http.Request, m mode) (socket, error) {
	u := gorilla.Upgrader{EnableCompression: m != plain}
	c, err := u.Upgrade(w, r, nil)
	if err != nil {
		return nil, err
	}
	return newGorilla(c), nil
}

func newGorilla(c *gorilla.Conn) *gorillaSocket {
	s := &gorillaSocket{newMailbox(), c}
	c.SetPongHandler(func(string) error { s.pong <- true; return nil })
	go func() {
		for {
			kind, p, err := c.ReadMessage()
			if e, ok := errors.AsType[*gorilla.CloseError](err); ok {
				err = ended{e.Code, e.Text}
			}
			s.in <- mail{kind == gorilla.BinaryMessage, string(p), err}
			if err != nil {
				return
			}
		}
	}()
	return s
}

func (s *gorillaSocket) send(binary bool, parts ...string) error {
	kind := gorilla.TextMessage
	if binary {
		kind = gorilla.BinaryMessage
	}
	if len(parts) == 1 {
		return s.c.WriteMessage(kind, []byte(parts[0]))
	}
	w, err := s.c.NextWriter(kind) // a fragment for each 4 KiB
	for _, p := range parts {
		if err == nil {
			_, err = w.Write([]byte(p))
		}
	}
	if err == nil {
		err = w.Close()
	}
	return err
}

func (s *gorillaSocket) ping() error {
	if err := s.c.WriteControl(gorilla.PingMessage, []byte("p"), time.Now().Add(patience)); err != nil {
		return err
	}
	return s.waitPong()
}

func (s *gorillaSocket) end(code int, reason string) error {
	return s.c.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(code, reason), time.Now().Add(patience))
}

type coderSocket struct {
	mailbox
	c *coder.Conn
}

func coderMode(m mode) coder.CompressionMode {
	switch m {
	case alone:
		return coder.CompressionNoContextTakeover
	case takeover:
		return coder.CompressionContextTakeover
	}
	return coder.CompressionDisabled
}

func dialCoder(t *testing.T, url string, m mode) socket {
	c, reply, err := coder.Dial(context.Background(), url, &coder.DialOptions{CompressionMode: coderMode(m)})
	if err != nil {
		t.Fatal(err)
	}
	wantAgreed(t, reply.Header, m)
	t.Cleanup(func() { c.CloseNow() })
	return newCoder(c)
}

func acceptCoder(w http.ResponseWriter, r *http.Request, m mode) (socket, error) {
	c, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: coderMode(m)})
	if err != nil {
		return nil, err
	}
	return newCoder(c), nil
}

func newCoder(c *coder.Conn) *coderSocket {
	s := &coderSocket{newMailbox(), c}
	c.SetReadLimit(most)
	go func() {
		for {
			kind, p, err := c.Read(context.Background())
			if e, ok := errors.AsType[coder.CloseError](err); ok {
				err = ended{int(e.Code), e.Reason}
			}
			s.in <- mail{kind == coder.MessageBinary, string(p), err}
			if err != nil {
				return
			}
		}
	}()
	return s
}

func (s *coderSocket) send(binary bool, parts ...string) error {
	kind := coder.MessageText
	if binary {
		kind = coder.MessageBinary
	}
	ctx := context.Background()
	if len(parts) == 1 {
		return s.c.Write(ctx, kind, []byte(parts[0]))
	}
	w, err := s.c.Writer(ctx, kind) // a fragment for each Write
	for _, p := range parts {
		if err == nil {
			_, err = w.Write([]byte(p))
		}
	}
	if err == nil {
		err = w.Close()
	}
	return err
}

func (s *coderSocket) ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.c.Ping(ctx)
}

func (s *coderSocket) end(code int, reason string) error {
	return s.c.Close(coder.StatusCode(code), reason)
}

// gwsSocket is a gws.Event, too. A gws.Conn gives its compression windows back when its ReadLoop ends, without its own
// lock, while a frame that the peer has read already may still be copied to them: mu keeps the two apart.
type gwsSocket struct {
	mailbox
	c     *gws.Conn
	mu    sync.Mutex
	ended bool
}

// write calls f unless the connection has ended.
func (s *gwsSocket) write(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return gws.ErrConnClosed
	}
	return f()
}

func gwsDeflate(m mode) gws.PermessageDeflate {
	return gws.PermessageDeflate{Enabled: m != plain, ServerContextTakeover: m == takeover, ClientContextTakeover: m == takeover}
}

func dialGWS(t *testing.T, url string, m mode) socket {
	s := &gwsSocket{mailbox: newMailbox()}
	c, reply, err := gws.NewClient(s, &gws.ClientOption{Addr: url, ReadMaxPayloadSize: most, WriteMaxPayloadSize: most,
		CheckUtf8Enabled: true, PermessageDeflate: gwsDeflate(m)})
	if err != nil {
		t.Fatal(err)
	}
	wantAgreed(t, reply.Header, m)
	s.c = c
	t.Cleanup(func() { c.NetConn().Close() })
	go c.ReadLoop()
	return s
}

func acceptGWS(w http.ResponseWriter, r *http.Request, m mode) (socket, error) {
	s := &gwsSocket{mailbox: newMailbox()}
	c, err := gws.NewUpgrader(s, &gws.ServerOption{ReadMaxPayloadSize: most, WriteMaxPayloadSize: most,
		CheckUtf8Enabled: true, PermessageDeflate: gwsDeflate(m)}).Upgrade(w, r)
	if err != nil {
		return nil, err
	}
	s.c = c
	go c.ReadLoop()
	return s, nil
}

func (s *gwsSocket) OnOpen(*gws.Conn)                   {}
func (s *gwsSocket) OnPing(c *gws.Conn, payload []byte) { c.WritePong(payload) }
func (s *gwsSocket) OnPong(*gws.Conn, []byte)           { s.pong <- true }

func (s *gwsSocket) OnClose(_ *gws.Conn, err error) {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	if e, ok := errors.AsType[*gws.CloseError](err); ok {
		err = ended{int(e.Code), string(e.Reason)}
	}
	s.in <- mail{err: err}
}

func (s *gwsSocket) OnMessage(_ *gws.Conn, m *gws.Message) {
	s.in <- mail{m.Opcode == gws.OpcodeBinary, m.Data.String(), nil}
	m.Close()
}

func (s *gwsSocket) send(binary bool, parts ...string) error {
	op := gws.OpcodeText
	if binary {
		op = gws.OpcodeBinary
	}
	if len(parts) == 1 {
		return s.write(func() error { return s.c.WriteMessage(op, []byte(parts[0])) })
	}
	all := strings.NewReader(strings.Join(parts, ""))
	return s.write(func() error { return s.c.WriteFile(op, all) }) // a fragment for each 128 KiB
}

func (s *gwsSocket) ping() error {
	if err := s.write(func() error { return s.c.WritePing([]byte("p")) }); err != nil {
		return err
	}
	return s.waitPong()
}

func (s *gwsSocket) end(code int, reason string) error {
	return s.write(func() error { return s.c.WriteClose(uint16(code), []byte(reason)) })
}
