package conn

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/internal/stracetest"
)

// DESIGN, invariant 13: each system call of Listen and Dial fails once, with errnos of its man
// page. The error must name the call and the errno, no descriptor and no socket file may be left,
// and the next try must do. mgr's TestFaults does the same for what a running loop calls;
// .ci/faults for a whole program.

// setupErrnos are the errnos that the man pages list for the calls that open sockets.
var setupErrnos = map[string][]unix.Errno{
	"socket": {unix.EACCES, unix.EAFNOSUPPORT, unix.EINVAL, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EPROTONOSUPPORT},
	"setsockopt": {unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOPROTOOPT, unix.ENOTSOCK, unix.EDOM, unix.ENOBUFS, unix.ENOMEM,
		unix.EPERM},
	"bind": {unix.EACCES, unix.EADDRINUSE, unix.EBADF, unix.EINVAL, unix.ENOTSOCK, unix.EADDRNOTAVAIL, unix.EFAULT, unix.ELOOP,
		unix.ENOENT, unix.ENOMEM, unix.ENOTDIR, unix.EROFS},
	"listen": {unix.EADDRINUSE, unix.EBADF, unix.ENOTSOCK, unix.EOPNOTSUPP},
	"connect": {unix.EACCES, unix.EPERM, unix.EADDRINUSE, unix.EADDRNOTAVAIL, unix.EAFNOSUPPORT, unix.EAGAIN, unix.EBADF,
		unix.ECONNREFUSED, unix.EFAULT, unix.EINPROGRESS, unix.EINTR, unix.EISCONN, unix.ENETUNREACH, unix.ENOTSOCK,
		unix.EPROTOTYPE, unix.ETIMEDOUT},
	"getsockopt":  {unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOPROTOOPT, unix.ENOTSOCK},
	"getsockname": {unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOBUFS, unix.ENOTSOCK},
	"fchmodat":    {unix.EACCES, unix.EIO, unix.ELOOP, unix.ENOENT, unix.ENOMEM, unix.EPERM, unix.EROFS},
	"lchown":      {unix.EACCES, unix.EIO, unix.ENOENT, unix.ENOMEM, unix.EPERM, unix.EROFS},
	"unlinkat":    {unix.EACCES, unix.EBUSY, unix.EIO, unix.ENOMEM, unix.EPERM, unix.EROFS},
}

var setupCalls = []uintptr{unix.SYS_SOCKET, unix.SYS_SETSOCKOPT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_CONNECT, unix.SYS_GETSOCKOPT,
	unix.SYS_GETSOCKNAME, unix.SYS_FCHMODAT, unix.SYS_LCHOWN, unix.SYS_UNLINKAT}

// setupSteps are what a program does before the loop knows of a descriptor.
var setupSteps = []string{"listen tcp", "address", "listen unix", "listen where a file is left", "dial tcp", "outcome", "dial unix", "remove"}

// TestHelperSetup is the program of TestEachCallThatOpensASocketFailsOnce. It takes each step
// twice: a fault hits one of the two.
func TestHelperSetup(t *testing.T) {
	stracetest.Report(t, setupCalls, func() any {
		dir, err := os.MkdirTemp("", "mangusta-setup-") // its removal may fail
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		var said []string
		for _, name := range setupSteps {
			for range 2 {
				before := openFDs(t)
				err := setupStep(dir, name)
				if n := openFDs(t); n != before {
					err = errors.Join(err, fmt.Errorf("LEAK: %d descriptors, %d before", n, before))
				}
				if left, _ := os.ReadDir(dir); len(left) > 0 {
					// Where RemoveUnix has told that it could not remove the file, it may be there.
					if err == nil || !strings.Contains(err.Error(), "remove") {
						err = errors.Join(err, errors.New("LEAK: file socket"))
					}
					away(filepath.Join(dir, left[0].Name()))
				}
				text := ""
				if err != nil {
					text = err.Error()
				}
				said = append(said, text)
			}
		}
		return said
	})
}

// away takes a file away without the calls that fail.
func away(path string) {
	os.Rename(path, filepath.Join(os.TempDir(), "mangusta-faults-"+strconv.Itoa(os.Getpid())))
}

func openFDs(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func setupStep(dir, name string) error {
	everything := SocketOptions{ReusePort: true, Backlog: 7, DeferAccept: time.Second, FastOpen: 5, RecvBuf: 8192, SendBuf: 8192, RecvLowat: 2,
		MaxSeg: 1000, Linger: Linger{On: true}, KeepAlive: KeepAlive{Idle: time.Minute, Interval: time.Second, Count: 3}}
	file := Addr{Network: "unix", Path: filepath.Join(dir, "socket")}
	owned := SocketOptions{Mode: 0o600, UID: os.Getuid(), GID: os.Getgid(), RecvBuf: 8192, Linger: Linger{On: true}}
	if owned.UID == 0 {
		owned.UID, owned.GID = 1, 1
	}
	anywhere, err := ParseAddr("tcp://:0")
	if err != nil {
		return err
	}
	listening := func(a Addr, o SocketOptions, f func(fd int) error) error {
		fd, err := Listen(a, o)
		if err != nil {
			return err
		}
		err = f(fd)
		unix.Close(fd)
		return errors.Join(err, RemoveUnix(a))
	}
	nothing := func(int) error { return nil }
	local := func(fd int) Addr { return Addr{Network: "tcp", AddrPort: LocalAddr(fd)} }
	switch name {
	case "listen tcp":
		return listening(anywhere, everything, func(fd int) error {
			d, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
			if err == nil && d != unix.AF_INET6 {
				return errors.New("IPV4ONLY") // silently
			}
			return os.NewSyscallError("getsockopt", err)
		})
	case "address":
		return listening(anywhere, SocketOptions{}, func(fd int) error {
			if LocalAddr(fd).IsValid() {
				return nil
			}
			return errors.New("NOADDRESS") // LocalAddr returns no error
		})
	case "listen unix":
		return listening(file, owned, nothing)
	case "listen where a file is left":
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrUnix{Name: file.Path})
			unix.Close(fd)
		}
		if err != nil {
			away(file.Path)
			return fmt.Errorf("socket bind of the test: %w", err)
		}
		err = listening(file, SocketOptions{}, nothing)
		if err != nil {
			away(file.Path) // it was there before
		}
		return err
	case "dial tcp", "outcome":
		return listening(Addr{Network: "tcp", AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}, SocketOptions{}, func(l int) error {
			at := local(l)
			if !at.AddrPort.IsValid() {
				return errors.New("NOADDRESS")
			}
			o := SocketOptions{RecvBuf: 8192, KeepAlive: everything.KeepAlive}
			if name == "outcome" {
				o = SocketOptions{Nagle: true}
			}
			fd, again, err := Dial(at, o)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if again {
				return errors.New("again, with TCP")
			}
			unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 100)
			return ConnectOutcome(new(Socket), fd, PeerOf(at.AddrPort))
		})
	case "dial unix":
		return listening(file, SocketOptions{}, func(int) error {
			fd, again, err := Dial(file, SocketOptions{SendBuf: 8192})
			for ; again && err == nil; again, err = Redial(fd, file) {
			}
			if fd >= 0 {
				unix.Close(fd)
			}
			return err
		})
	case "remove":
		if err := os.WriteFile(file.Path, nil, 0o600); err != nil {
			return err
		}
		err := RemoveUnix(file) // it is no socket
		away(file.Path)
		return err
	}
	panic(name)
}

func TestEachCallThatOpensASocketFailsOnce(t *testing.T) {
	t.Parallel()
	var calls []string
	for name := range setupErrnos {
		calls = append(calls, name)
	}
	var said []string
	made, _ := stracetest.Run(t, "TestHelperSetup", calls, stracetest.Fault{}, &said)
	for i, text := range said {
		if text != "" {
			t.Fatalf("without a fault: %s: %s", setupSteps[i/2], text)
		}
	}
	runs, outcomes := 0, 0
	for call, errnos := range setupErrnos {
		if made[call] <= 0 {
			t.Errorf("%s is never called", call)
		}
		for nth := 1; nth <= made[call]; nth++ {
			for i, errno := range errnos {
				if !exhaustive.On() && (i+nth)%len(errnos) != 0 || !exhaustive.On() && nth > 3 {
					continue // one errno for each of the first places: a run takes some 40 ms
				}
				runs++
				f := stracetest.Fault{Call: call, Nth: nth, Errno: errno}
				var said []string
				if _, hit := stracetest.Run(t, "TestHelperSetup", calls, f, &said); !hit {
					t.Errorf("%v: it was not reached", f)
				}
				if wantTold(t, f, said); call == "getsockopt" && strings.Contains(strings.Join(said, " "), "getsockopt") {
					outcomes++
				}
			}
		}
	}
	// x/sys asks for the protocol whenever it asks for an address; SO_ERROR is asked for by two
	// steps, twice each.
	if exhaustive.On() && outcomes < 4 {
		t.Errorf("the outcome of Dial could not be asked for, and only %d of 4 steps have told", outcomes)
	}
	t.Logf("%d runs with one fault each", runs)
}

// wantTold looks at what the steps have said: the one that was hit must tell of the call and the
// errno, the others nothing.
func wantTold(t *testing.T, f stracetest.Fault, said []string) {
	t.Helper()
	told := 0
	for i, text := range said {
		switch {
		case text == "":
		case text == "LEAK: file socket" && f.Call == "connect" && somebodys(f.Errno):
			told++ // removeStale has been told that it is not ours
		case strings.Contains(text, "LEAK") || strings.Contains(text, "IPV4ONLY") && !oneStack(f):
			t.Errorf("%v: %s: %s", f, setupSteps[i/2], text)
		case text == "NOADDRESS" && (f.Call == "getsockname" || f.Call == "getsockopt"), text == "IPV4ONLY":
			told++
		default:
			told++
			if f.Call == "connect" && strings.Contains(text, "bind: "+unix.EADDRINUSE.Error()) && somebodys(f.Errno) {
				continue // the file is taken for somebody's
			}
			if !strings.Contains(text, strings.TrimPrefix(strings.TrimSuffix(f.Call, "at"), "f")) || !strings.Contains(text, f.Errno.Error()) {
				t.Errorf("%v: %s says %q", f, setupSteps[i/2], text)
			}
		}
	}
	if told > 1 {
		t.Errorf("%v: one fault, and %d steps have failed: %q", f, told, said)
	}
	if told == 0 && !silent(f) {
		t.Errorf("%v: silence", f)
	}
}

// somebodys reports whether connect has said that the file of a unix socket is somebody's.
func somebodys(errno unix.Errno) bool {
	return errno == unix.EPROTOTYPE || errno == unix.EACCES || errno == unix.EPERM
}

// oneStack reports whether the fault says that the machine has no IPv6, or cannot do both on one
// socket.
func oneStack(f stracetest.Fault) bool {
	return f.Errno == unix.EAFNOSUPPORT || f.Errno == unix.EADDRNOTAVAIL ||
		f.Call == "setsockopt" && (f.Errno == unix.EINVAL || f.Errno == unix.ENOPROTOOPT)
}

// silent reports whether all may go well in spite of the fault.
func silent(f stracetest.Fault) bool {
	switch f.Call {
	case "connect": // the attempt goes on, or is made again; removeStale takes the file for somebody's
		return somebodys(f.Errno) || f.Errno == unix.EINPROGRESS || f.Errno == unix.EINTR || f.Errno == unix.EAGAIN || f.Errno == unix.ECONNREFUSED
	case "unlinkat": // of a test's directory
		return true
	case "getpeername", "getsockname", "getsockopt": // of toItself, which then takes the peer for another
		return true
	case "bind": // EADDRINUSE has a file looked at that may be stale
		return f.Errno == unix.EADDRINUSE || oneStack(f)
	}
	return oneStack(f)
}
