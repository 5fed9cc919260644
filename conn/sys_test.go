package conn

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// unixPair returns two connected non-blocking sockets, closed when the test ends.
func unixPair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatalf("socketpair: %v", err)
	}
	return nonBlocking(t, fds)
}

// tcpPair is unixPair over TCP.
func tcpPair(t *testing.T) (a, b int) {
	t.Helper()
	lfd := listenOn(t, "tcp://127.0.0.1:0", SocketOptions{})
	client := dialTo(t, loopback4(LocalAddr(lfd).Port()))
	if err := unix.SetNonblock(client, true); err != nil {
		t.Fatal(err)
	}
	fd, _ := acceptFrom(t, lfd)
	return fd, client
}

// pipe returns the ends of a non-blocking pipe, closed when the test ends.
func pipe(t *testing.T) (r, w int) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe(fds[:]); err != nil {
		t.Fatalf("pipe: %v", err)
	}
	return nonBlocking(t, fds)
}

func nonBlocking(t *testing.T, fds [2]int) (int, int) {
	t.Helper()
	for _, fd := range fds {
		t.Cleanup(func() { unix.Close(fd) })
		if err := unix.SetNonblock(fd, true); err != nil {
			t.Fatalf("fcntl: %v", err)
		}
	}
	return fds[0], fds[1]
}

// ways are the transports with a pair of descriptors for each: in reads what out writes.
var ways = []struct {
	name string
	tr   Transport
	pair func(t *testing.T) (in, out int)
}{
	{"unix socket", new(Socket), unixPair},
	{"tcp", new(Socket), tcpPair},
	{"pipe", File{}, pipe},
}

// readAll reads n bytes from fd.
func readAll(t *testing.T, tr Transport, fd, n int) []byte {
	t.Helper()
	all := make([]byte, 0, n)
	for len(all) < n {
		await(t, fd, unix.POLLIN)
		k, err := tr.Read(fd, all[len(all):n])
		if err != nil || k == 0 {
			t.Fatalf("Read after %d of %d bytes: %d, %v", len(all), n, k, err)
		}
		all = all[:len(all)+k]
	}
	return all
}

func TestTransportMovesBytes(t *testing.T) {
	for _, way := range ways {
		in, out := way.pair(t)
		if n, err := way.tr.Write(out, []byte("hello")); n != 5 || err != nil {
			t.Errorf("%s: Write: %d, %v", way.name, n, err)
		}
		if n, err := way.tr.Writev(out, [][]byte{[]byte(", "), nil, {}, []byte("wor"), []byte("ld")}); n != 7 || err != nil {
			t.Errorf("%s: Writev: %d, %v", way.name, n, err)
		}
		if got := readAll(t, way.tr, in, 12); string(got) != "hello, world" {
			t.Errorf("%s: got %q", way.name, got)
		}
	}
}

func TestWritevTakes64PiecesAtOnce(t *testing.T) {
	for _, way := range ways {
		in, out := way.pair(t)
		var pieces [][]byte
		for i := range 100 {
			pieces = append(pieces, []byte{byte(i), byte(i)})
		}
		if n, err := way.tr.Writev(out, pieces); n != 2*maxPieces || err != nil {
			t.Errorf("%s: Writev: %d, %v; want %d", way.name, n, err, 2*maxPieces)
		}
		if got := readAll(t, way.tr, in, 2*maxPieces); !bytes.Equal(got, slices.Concat(pieces[:maxPieces]...)) {
			t.Errorf("%s: got %v", way.name, got)
		}
		if n, err := way.tr.Writev(out, nil); n != 0 || err != nil {
			t.Errorf("%s: Writev of nothing: %d, %v", way.name, n, err)
		}
	}
}

func TestReadGivesEAGAINThenBytesThenTheEnd(t *testing.T) {
	buf := make([]byte, 10)
	for _, way := range ways {
		in, out := way.pair(t)
		if n, err := way.tr.Read(in, buf); n != 0 || err != unix.EAGAIN {
			t.Errorf("%s: Read with nothing there: %d, %v", way.name, n, err)
		}
		if n, err := way.tr.Write(out, []byte("x")); n != 1 || err != nil {
			t.Errorf("%s: Write: %d, %v", way.name, n, err)
		}
		readAll(t, way.tr, in, 1)
		if way.tr == (File{}) {
			continue // closing a pipe's end is tested below
		}
		if err := way.tr.CloseWrite(out); err != nil {
			t.Errorf("%s: CloseWrite: %v", way.name, err)
		}
		await(t, in, unix.POLLIN)
		if n, err := way.tr.Read(in, buf); n != 0 || err != nil {
			t.Errorf("%s: Read at the end of the stream: %d, %v", way.name, n, err)
		}
		// The other direction is still open.
		if n, err := way.tr.Write(in, []byte("back")); n != 4 || err != nil {
			t.Errorf("%s: Write back: %d, %v", way.name, n, err)
		}
		if got := readAll(t, way.tr, out, 4); string(got) != "back" {
			t.Errorf("%s: got %q back", way.name, got)
		}
	}
}

func TestWriteIsShortAndThenEAGAINWhenThePeerReadsNothing(t *testing.T) {
	big := make([]byte, 1<<20)
	for _, way := range ways {
		_, out := way.pair(t)
		short := false
		var err error
		for range 1000 {
			var n int
			if n, err = way.tr.Write(out, big); err != nil {
				break
			}
			short = short || n < len(big)
		}
		if !short || err != unix.EAGAIN {
			t.Errorf("%s: a short write: %v, then %v", way.name, short, err)
		}
		if n, err := way.tr.Writev(out, [][]byte{big, big}); n != 0 || err != unix.EAGAIN {
			t.Errorf("%s: Writev: %d, %v", way.name, n, err)
		}
	}
}

func TestWriteToABrokenStreamGivesEPIPE(t *testing.T) {
	for _, way := range ways {
		_, out := way.pair(t)
		if way.tr == (File{}) {
			out = brokenPipe(t)
		} else if err := way.tr.CloseWrite(out); err != nil {
			t.Fatal(err)
		}
		if n, err := way.tr.Write(out, []byte("x")); n != 0 || err != unix.EPIPE {
			t.Errorf("%s: Write: %d, %v", way.name, n, err)
		}
		if n, err := way.tr.Writev(out, [][]byte{{1}, {2}}); n != 0 || err != unix.EPIPE {
			t.Errorf("%s: Writev: %d, %v", way.name, n, err)
		}
	}
}

// brokenPipe returns the writing end of a pipe without a reader.
func brokenPipe(t *testing.T) int {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe(fds[:]); err != nil {
		t.Fatalf("pipe: %v", err)
	}
	unix.Close(fds[0])
	t.Cleanup(func() { unix.Close(fds[1]) })
	return fds[1]
}

func TestFileReadsTheEndOfAPipe(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe(fds[:]); err != nil {
		t.Fatalf("pipe: %v", err)
	}
	defer File{}.Close(fds[0])
	if err := (File{}).Close(fds[1]); err != nil {
		t.Errorf("Close: %v", err)
	}
	if n, err := (File{}).Read(fds[0], make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("Read: %d, %v", n, err)
	}
}

func TestFileHasNoCloseWrite(t *testing.T) {
	_, w := pipe(t)
	want := "conn: close write: the descriptor is not a socket"
	if err := (File{}).CloseWrite(w); err == nil || err.Error() != want {
		t.Errorf("CloseWrite: %v", err)
	}
}

func TestTransportErrorsAreBareErrnos(t *testing.T) {
	for _, tr := range []Transport{new(Socket), File{}} {
		if n, err := tr.Read(-1, make([]byte, 1)); n != 0 || err != unix.EBADF {
			t.Errorf("%T: Read: %d, %v", tr, n, err)
		}
		if n, err := tr.Write(-1, make([]byte, 1)); n != 0 || err != unix.EBADF {
			t.Errorf("%T: Write: %d, %v", tr, n, err)
		}
		if n, err := tr.Writev(-1, [][]byte{{1}, {2}}); n != 0 || err != unix.EBADF {
			t.Errorf("%T: Writev: %d, %v", tr, n, err)
		}
		if err := tr.Close(-1); err != unix.EBADF {
			t.Errorf("%T: Close: %v", tr, err)
		}
	}
	if err := new(Socket).CloseWrite(-1); err != unix.EBADF {
		t.Errorf("CloseWrite: %v", err)
	}
}

func TestIsSocket(t *testing.T) {
	s, _ := unixPair(t)
	p, _ := pipe(t)
	if ok, err := IsSocket(s); !ok || err != nil {
		t.Errorf("a socket: %v, %v", ok, err)
	}
	if ok, err := IsSocket(p); ok || err != nil {
		t.Errorf("a pipe: %v, %v", ok, err)
	}
	if ok, err := IsSocket(-1); ok || err == nil || err.Error() != "fstat: bad file descriptor" {
		t.Errorf("no descriptor: %v, %v", ok, err)
	}
}

// tempFile makes a file of n bytes that follow a pattern without a short period.
func tempFile(t testing.TB, n int) (*os.File, string) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i + i>>8*7 + i>>16*3)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return f, string(b)
}

func TestSocketSendFileErrors(t *testing.T) {
	tr, ok := Transport(new(Socket)).(fileSender)
	if !ok {
		t.Skip("no sendfile here")
	}
	f, _ := tempFile(t, 100)
	_, out := unixPair(t)
	if n, err := tr.SendFile(out, int(f.Fd()), 100, 10); n != 0 || err != nil {
		t.Errorf("at the end of the file: %d, %v", n, err)
	}
	if n, err := tr.SendFile(out, -1, 0, 10); n != 0 || err != unix.EBADF {
		t.Errorf("no file: %d, %v", n, err)
	}
	if err := new(Socket).CloseWrite(out); err != nil {
		t.Fatal(err)
	}
	if n, err := tr.SendFile(out, int(f.Fd()), 0, 10); n != 0 || err != unix.EPIPE {
		t.Errorf("a broken connection: %d, %v", n, err)
	}
	_, out = unixPair(t)
	big, _ := tempFile(t, 1<<20)
	short := false
	for range 100 {
		n, err := tr.SendFile(out, int(big.Fd()), 0, 1<<20)
		if err == unix.EAGAIN {
			if !short {
				t.Error("EAGAIN without a short call before")
			}
			return
		}
		short = short || n < 1<<20
	}
	t.Error("no EAGAIN")
}
