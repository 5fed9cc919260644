package conn_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// waiting makes a connection without a descriptor, as while a name is resolved.
func waiting(t *testing.T, s *conntest.Sealed) *conntest.Dialogue {
	d := conntest.New(t, echo, conntest.Options{Waiting: time.Second, Sealed: s})
	d.WantEvents("Open")
	if d.Conn.FD() != -1 {
		t.Errorf("descriptor %d, want -1", d.Conn.FD())
	}
	return d
}

func TestAttach(t *testing.T) {
	d := waiting(t, nil)
	id := d.Conn.ID()
	d.Conn.Write([]byte("early "))
	if got := d.Turn(); got != 0 {
		t.Errorf("watched for %d without a descriptor", got)
	}
	d.WantSent("")
	d.Attach(nil)
	d.WantEvents("Connect", "Write 6")
	d.Send("late")
	d.WantSent("early late")
	if d.Conn.ID() != id || d.Conn.FD() < 0 {
		t.Errorf("ID %d, was %d; descriptor %d", d.Conn.ID(), id, d.Conn.FD())
	}
	d.Sleep(time.Minute)
	d.WantOpen()
	d.Conn.Close()
	d.Turn()
	d.WantClosed(conn.Local)
}

func TestAttachSealed(t *testing.T) {
	s := &conntest.Sealed{Silent: true}
	d := waiting(t, s)
	d.Conn.Write([]byte("early"))
	d.Attach(nil)
	d.WantEvents()
	d.Wire.Arrive(conntest.Seal('h', nil), nil)
	d.Turn()
	d.WantEvents("conntest.Hello", "Connect", "Write 5")
	d.WantSent("early")
}

// It ends before there is a descriptor: nothing is closed, and everything is released.
func TestAttachNever(t *testing.T) {
	for name, tc := range map[string]struct {
		end    func(d *conntest.Dialogue)
		reason conn.Reason
		events []string
	}{
		"drained":  {func(d *conntest.Dialogue) { d.Conn.Drain() }, conn.Local, []string{"Close closed locally"}},
		"closed":   {func(d *conntest.Dialogue) { d.Conn.Close() }, conn.Local, []string{"Close closed locally"}},
		"failed":   {func(d *conntest.Dialogue) { d.Conn.Layer().Fail(conn.Unreachable, nil) }, conn.Unreachable, []string{"Error unreachable", "Close unreachable"}},
		"too late": {func(d *conntest.Dialogue) { d.Sleep(1100 * time.Millisecond) }, conn.TimedOut, []string{"Error timed out", "Close timed out"}},
		"drained and too late": {func(d *conntest.Dialogue) {
			d.Conn.Write([]byte("x"))
			d.Conn.Drain()
			d.Sleep(1100 * time.Millisecond)
		}, conn.TimedOut, []string{"Error timed out", "Close timed out"}},
	} {
		for _, s := range []*conntest.Sealed{nil, {}} {
			d := waiting(t, s)
			tc.end(d)
			d.Turn()
			d.WantEvents(tc.events...)
			if !d.Closed() || d.Wire.Closed != 0 || d.Conn.Reason() != tc.reason {
				t.Errorf("%s: closed %v, %d descriptors closed, %v", name, d.Closed(), d.Wire.Closed, d.Conn.Reason())
			}
			if s != nil && s.Closed != 1 {
				t.Errorf("%s: the transport was released %d times", name, s.Closed)
			}
		}
	}
}

func TestAttachRefused(t *testing.T) {
	d := waiting(t, nil)
	d.Attach(unix.ECONNREFUSED)
	d.WantEvents("Error unreachable", "Close unreachable")
	if d.Wire.Closed != 1 {
		t.Errorf("%d descriptors closed, want 1", d.Wire.Closed)
	}
}

// A call that needs a descriptor before there is one returns an error or does nothing. It never
// reaches another descriptor.
func TestAttachNotYet(t *testing.T) {
	d := waiting(t, nil)
	if a := d.Conn.LocalAddr(); a.IsValid() {
		t.Errorf("LocalAddr %v", a)
	}
	if err := d.Conn.Kernel().SetNoDelay(true); err == nil {
		t.Error("SetNoDelay: no error")
	}
	d.Conn.Pause()
	d.Conn.Resume()
	d.Conn.CloseWrite()
	d.Turn()
	d.WantEvents()
	d.Attach(nil)
	d.WantEvents("Connect")
	if !d.Wire.Shut {
		t.Error("CloseWrite was forgotten")
	}
}
