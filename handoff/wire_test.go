package handoff

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func someRecord() record {
	return record{id: 1 << 40, listener: "tcp://:80", kind: "websocket", state: []byte{1, 0}, user: []byte("user"),
		remote: "192.0.2.1:1234", input: []byte{0x81}}
}

func TestFramesComeWholeHoweverTheyAreSplit(t *testing.T) {
	r := someRecord()
	var all []byte
	all = appendFrame(all, kindHello, 0, hello())
	all = appendFrame(all, kindMove, 1, r.append(nil))
	all = appendFrame(all, kindGo, 0, nil)
	for cut := range len(all) + 1 {
		var l link
		var got []string
		l.frame = func(f frame, file int) error {
			got = append(got, fmt.Sprintf("%c%d %d", f.kind, file, len(f.payload)))
			return nil
		}
		l.files = []int{7}
		l.take(all[:cut])
		l.take(all[cut:])
		want := []string{"H-1 17", fmt.Sprintf("M7 %d", len(r.append(nil))), "G-1 0"}
		if !reflect.DeepEqual(got, want) || l.bad != nil || l.buf != nil || len(l.files) != 0 {
			t.Fatalf("cut at %d: %q, %v, %v", cut, got, l.bad, l.files)
		}
	}
}

func TestMalformedFrames(t *testing.T) {
	for _, b := range []string{
		"H\x01\x00\x00\x00\x00",        // a descriptor where none goes along
		"M\x00\x00\x00\x00\x00",        // none where one has to
		"M\x02\x00\x00\x00\x00",        // two
		"H\x00\xff\xff\xff\xff",        // too long
		"H\x00\x00\x10\x00\x01payload", // by a byte
	} {
		if _, _, err := parseFrame([]byte(b)); !errors.Is(err, errFrame) {
			t.Errorf("%q: %v", b, err)
		}
	}
	if err := checkHello(append([]byte{2}, magic...)); !errors.Is(err, errVersion) {
		t.Error(err)
	}
	if err := checkHello([]byte("GET / HTTP/1.1")); !errors.Is(err, errFrame) {
		t.Error(err)
	}
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	for _, r := range []record{someRecord(), {id: 1, state: []byte{}, user: []byte{}, input: []byte{}}} {
		b := r.append(nil)
		got, err := parseRecord(b)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(r) {
			t.Errorf("%+v, %v; want %+v", got, err, r)
		}
		for n := range b {
			if _, err := parseRecord(b[:n]); err == nil {
				t.Errorf("the first %d of %d bytes are a record", n, len(b))
			}
		}
		if _, err := parseRecord(append(b, 0)); err == nil {
			t.Error("a byte too many")
		}
		b[0]++ // the connection can be refused by its number although its record is of another version
		if got, err := parseRecord(b); !errors.Is(err, errVersion) || got.id != r.id {
			t.Errorf("another version: %v, %v", got.id, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	r := someRecord()
	f.Add(r.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		again, err := parseRecord(r.append(nil)) // numbers may have been written in more bytes than they need
		if err != nil || fmt.Sprint(again) != fmt.Sprint(r) {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}

// Whatever descriptors the other process sends, none stays.
func TestDescriptorsThatNoFrameWantsAreClosed(t *testing.T) {
	file := func() int {
		fd, err := unix.Dup(0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	open := func() (n int) {
		for fd := range pair[1] + 20 {
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
				n++
			}
		}
		return n
	}
	before := open()
	wantNone := func(what string) {
		t.Helper()
		if n := open(); n != before {
			t.Errorf("%s: %d descriptors are left", what, n-before)
			before = n
		}
	}

	if err := unix.Sendmsg(pair[1], appendFrame(nil, kindMove, 1, nil), unix.UnixRights(0, 0, 0), nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := read(pair[0], time.Now().Add(time.Minute)); err != errFrame {
		t.Errorf("three descriptors: %v", err)
	}
	wantNone("read")
	if err := new(giving).frame(frame{kind: kindMove}, file()); err != errFrame {
		t.Error(err)
	}
	wantNone("the old process")
	if err := new(receiving).frame(frame{kind: kindListener}, file()); err != errFrame {
		t.Error(err)
	}
	wantNone("the new process")
}

// A descriptor of a frame that is refused is closed once: its number is nobody's then, and is not
// given to the caller, who would close another file.
func TestARefusedDescriptorIsClosedOnce(t *testing.T) {
	for what, tc := range map[string]struct {
		frame []byte
		files int
	}{
		"a descriptor where none goes along": {appendFrame(nil, kindGo, 0, nil), 1},
		"two":                                {appendFrame(nil, kindListener, 1, []byte("tcp://:80")), 2},
		"one of a malformed frame":           {appendFrame(nil, kindGo, 1, nil), 1},
		"one of half a frame":                {appendFrame(nil, kindListener, 1, []byte("tcp://:80"))[:8], 1},
	} {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Sendmsg(pair[1], tc.frame, unix.UnixRights(make([]int, tc.files)...), nil, 0); err != nil {
			t.Fatal(err)
		}
		unix.Close(pair[1])
		if _, file, err := read(pair[0], time.Now().Add(time.Minute)); err == nil || file != -1 {
			t.Errorf("%s: descriptor %d, %v", what, file, err)
		}
		unix.Close(pair[0])
	}
}
