package handoff_test

import (
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// wantCodes waits until n WebSockets have been closed, all with code.
func (w *sockets) wantCodes(n int, code websocket.Code) {
	w.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		done := false
		w.on(func() { done = len(w.codes) >= n })
		if done {
			break
		}
	}
	w.on(func() {
		if len(w.codes) != n {
			w.t.Errorf("%d WebSockets closed, want %d", len(w.codes), n)
		}
		for _, c := range w.codes {
			if c != code {
				w.t.Errorf("closed with %d, want %d", c, code)
			}
		}
	})
}

func TestConnectionsThatDoNotMoveAreFinished(t *testing.T) {
	underBoth(t, func(t *testing.T, p mgr.Poller) {
		s := newServers(t, p)
		old := s.start()
		old.wantReady(t)
		pid := strconv.Itoa(old.Process.Pid)
		w, r := s.echo(10, 10*time.Millisecond), s.load(4)
		idle := s.dial()
		defer idle.Close()
		if got, last, err := idle.get("/pid"); got != pid || last || err != nil {
			t.Errorf("%q, %v, %v", got, last, err)
		}
		next := s.start()
		next.wantReady(t)
		w.wantCodes(10, websocket.CloseRestart)
		s.wantPID(next)
		// A connection that rests is not closed under a request: it serves one more after it was told.
		for last := false; !last; {
			var got string
			var err error
			if got, last, err = idle.get("/pid"); got != pid || err != nil {
				t.Fatalf("%q, %v; want %s", got, err, pid)
			}
		}
		idle.Close()
		old.wantEnd(t, true)
		r.wantAll(t)
	})
}

func TestDeadlineCutsWhatIsLeft(t *testing.T) {
	s := newServers(t, mgr.Epoll, "HANDOFF_DEADLINE=50ms")
	old := s.start()
	old.wantReady(t)
	idle := s.dial()
	defer idle.Close()
	idle.get("/pid")
	s.start().wantReady(t)
	old.wantEnd(t, true)
	if _, _, err := idle.get("/pid"); err == nil {
		t.Error("a reply from a process that has ended")
	}
}

// TLS is drained, and plain connections of the same process move.
func TestTLSNeverMoves(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure := ln.Addr().String()
	ln.Close()
	certs := t.TempDir()
	s := newServers(t, mgr.Epoll, "HANDOFF_MOVE=1", "HANDOFF_CERTS="+certs, "HANDOFF_DEADLINE=10s")
	s.env = append(s.env, "HANDOFF_LISTEN=tcp://"+s.addr+" tls://"+secure)
	old := s.start()
	old.wantReady(t)
	client, err := tlsconn.NewClient(tlsconn.ClientConfig{Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	plain := s.echo(5, 10*time.Millisecond)
	sealed := s.echoOver(5, 10*time.Millisecond, "wss://"+secure+"/ws", websocket.ClientOptions{TLS: client})
	next := s.start()
	next.wantReady(t)
	sealed.wantCodes(5, websocket.CloseRestart)
	old.wantEnd(t, true)
	plain.wantAll()
	s.wantPID(next)
}

func TestCompressionWithoutTakeoverMovesAndWithItDoesNot(t *testing.T) {
	for _, takeover := range []bool{false, true} {
		s := newServers(t, mgr.Epoll, "HANDOFF_MOVE=1", "HANDOFF_DEADLINE=10s")
		if takeover {
			s.env = append(s.env, "HANDOFF_TAKEOVER=1")
		}
		old := s.start()
		old.wantReady(t)
		o := websocket.ClientOptions{Options: websocket.Options{Protocols: []string{"b"}, Compress: deflate.New(deflate.Options{
			Threshold: -1, ServerTakeover: takeover, ClientTakeover: takeover, MaxWindowBits: 12})}}
		w := s.echoOver(5, 10*time.Millisecond, "ws://"+s.addr+"/ws", o)
		next := s.start()
		next.wantReady(t)
		if takeover {
			w.wantCodes(5, websocket.CloseRestart)
			old.wantEnd(t, true)
			continue
		}
		old.wantEnd(t, true)
		w.on(func() { w.echoed, w.sent = 0, w.sent-w.echoed }) // those of the new process alone count
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
			n := 0
			w.on(func() { n = w.echoed })
			if n >= 20 {
				break
			}
		}
		w.wantAll()
	}
}

// The number of loops may change from one process to the next, as may the way in which they accept.
func TestLoopsOfSeveralProcesses(t *testing.T) {
	underBoth(t, func(t *testing.T, p mgr.Poller) {
		s := newServers(t, p, "HANDOFF_MOVE=1")
		path := filepath.Join(t.TempDir(), "x")
		s.env = append(s.env, "HANDOFF_LISTEN=tcp://"+s.addr+" unix://"+path)
		old := s.start("HANDOFF_LOOPS=2")
		old.wantReady(t)
		w, r := s.echo(20, 20*time.Millisecond), s.load(4)
		u := s.echoOver(20, 20*time.Millisecond, "ws://x/ws", websocket.ClientOptions{Address: "unix://" + path})
		for _, loops := range []string{"3", "1", "2"} {
			next := s.start("HANDOFF_LOOPS=" + loops)
			next.wantReady(t)
			old.wantEnd(t, true)
			s.wantPID(next)
			old = next
		}
		r.wantAll(t)
		w.wantAll()
		u.wantAll()
	})
}
