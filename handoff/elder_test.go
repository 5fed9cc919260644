package handoff_test

import (
	"bufio"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/handoff"
	"github.com/seed4930a636/mangusta/mgr"
)

// An old process gives connections and then sends nonsense: the new one hangs up, and has not taken
// any. The old one may be alive, and owns them.
func TestConnectionsBeforeNonsenseStay(t *testing.T) {
	underBoth(t, func(t *testing.T, p mgr.Poller) {
		o := handoff.Options{Path: filepath.Join(t.TempDir(), "h"), Patience: patience, Move: true}
		control, err := net.Listen("unix", o.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer control.Close()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		url := "tcp://" + l.Addr().String()
		var peers, own []net.Conn
		for range 2 { // one for each loop
			peer, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			peer.SetDeadline(time.Now().Add(patience))
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			peers, own = append(peers, peer), append(own, c)
		}
		hungUp := make(chan error, 1)
		go func() {
			hungUp <- func() error {
				accepted, err := control.Accept()
				if err != nil {
					return err
				}
				defer accepted.Close()
				c := accepted.(*net.UnixConn)
				b := make([]byte, len(handoff.Hello()))
				if _, err := io.ReadFull(c, b); err != nil {
					return err
				}
				sendFiles(c, handoff.Frame('L', 1, []byte("unix://"+o.Path)), control)
				sendFiles(c, handoff.Frame('L', 1, []byte(url)), l)
				c.Write(handoff.Frame('O', 0, nil))
				if _, err := c.Read(b); err != nil { // Ready
					return err
				}
				c.Write(handoff.Frame('G', 0, nil))
				nonsense := handoff.Frame('Z', 0, nil)
				sendFiles(c, append(append(handoff.Moved(1, url), handoff.Moved(2, url)...), nonsense...), own[0], own[1])
				_, err = io.Copy(io.Discard, c)
				return err
			}()
		}()
		next := begin(t, "new", o, p, 2, url).serve()
		if err := <-hungUp; err != nil {
			t.Fatal(err)
		}
		for range 4 { // each loop has done what it was asked for
			done := make(chan bool, 2)
			next.loops.DoEach(func(*mgr.Manager) { done <- true })
			<-done
			<-done
		}
		for i, c := range own {
			c.Write([]byte("old\n"))
			if s, err := bufio.NewReader(peers[i]).ReadString('\n'); s != "old\n" {
				t.Errorf("connection %d: %q, %v: the new process has it, too", i, s, err)
			}
		}
	})
}

// sendFiles sends b with the descriptors of files, which stay open.
func sendFiles(c *net.UnixConn, b []byte, files ...any) {
	var fds []int
	for _, f := range files {
		raw, err := f.(syscall.Conn).SyscallConn()
		if err == nil {
			raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) })
		}
	}
	c.WriteMsgUnix(b, unix.UnixRights(fds...), nil)
}
