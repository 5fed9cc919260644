package main

import (
	"debug/elf"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A program that does not import websocket/deflate is linked without what compresses and inflates.
// The testee imports it; that it has these functions shows that they are called so.
func TestCarriesNoCompression(t *testing.T) {
	hello, testee := functions(t, "."), functions(t, "../testee")
	for _, name := range []string{
		"github.com/klauspost/compress/flate.(*Writer).Write",
		"github.com/klauspost/compress/flate.StatelessDeflate",
		"github.com/seed4930a636/mangusta/internal/flate.(*Inflater).Inflate",
		"github.com/seed4930a636/mangusta/internal/flate.makeTables",
		"github.com/seed4930a636/mangusta/websocket/deflate.compress",
	} {
		if hello[name] {
			t.Errorf("hello is linked with %s", name)
		}
		if !testee[name] {
			t.Errorf("testee has no %s", name)
		}
	}
	for name := range hello {
		if strings.HasPrefix(name, "github.com/klauspost/compress") || strings.Contains(name, "/websocket/deflate") {
			t.Errorf("hello is linked with %s", name)
		}
	}
}

// A program that does not connect is linked without the client of package http.
func TestCarriesNoClient(t *testing.T) {
	for name := range functions(t, ".") {
		for _, part := range []string{"mangusta/http.(*Client", "mangusta/http.(*client", "mangusta/http.(*EventSource)", "mangusta/internal/weburl", "mangusta/internal/flate",
			"mangusta/websocket.(*dial)", "mangusta/websocket.Connect", "mangusta/websocket.(*Reconnector)"} {
			if strings.Contains(name, part) {
				t.Errorf("hello is linked with %s", name)
			}
		}
	}
}

// A server over HTTP has one loop, connects to nobody, and has no datagrams: it is linked without
// their code, although Manager.Listen takes udp:// too. The programs beside each show that the
// functions are called so.
func TestCarriesWhatItMentions(t *testing.T) {
	hello := functions(t, ".")
	for _, x := range []struct{ name, program string }{
		{"mgr.(*Loops).ListenStream", "../testee"},
		{"mgr.(*Loops).Close", "../testee"},
		{"mgr.(*listenerSet).takes", "../testee"},
		{"mgr.(*member).askRoom", "../testee"},
		{"mgr.(*race).step", "../testee"}, // it is a client too
		{"mgr.(*races).decided", "../testee"},
		{"mgr.(*Manager).Listen", "../tcpecho"},
		{"mgr.(*Manager).addDatagrams", "../tcpecho"},
		{"conn.NewDatagram", "../tcpecho"},
		{"conn.(*Conn).sendDatagram", "../tcpecho"},
		{"conn.(*Conn).flushDatagrams", "../tcpecho"},
		{"conn.(*Datagrams).Receive", "../tcpecho"},
		{"conn.(*Conn).sendFile", "../testee"},
		{"conn.(*Socket).SendFile", "../testee"},
	} {
		name := "github.com/seed4930a636/mangusta/" + x.name
		if hello[name] {
			t.Errorf("hello is linked with %s", name)
		}
		if !functions(t, x.program)[name] {
			t.Errorf("%s has no %s", x.program, name)
		}
	}
}

// functions returns the symbols of the program in dir.
func functions(t *testing.T, dir string) map[string]bool {
	t.Helper()
	if names := built[dir]; names != nil {
		return names
	}
	bin := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("go", "build", "-o", bin, dir).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	f, err := elf.Open(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range symbols {
		names[s.Name] = true
	}
	built[dir] = names
	return names
}

// built are the programs whose symbols have been read.
var built = map[string]map[string]bool{}
