package main

import (
	"debug/elf"
	"os/exec"
	"path/filepath"
	"testing"
)

// A program whose WebSockets do not compress is linked without what compresses and inflates: see websocket.Compression. The
// testee compresses; that it has these functions shows that they are called so.
func TestCarriesNoCompression(t *testing.T) {
	hello, testee := functions(t, "."), functions(t, "../testee")
	for _, name := range []string{
		"github.com/klauspost/compress/flate.(*Writer).Write",
		"github.com/klauspost/compress/flate.StatelessDeflate",
		"github.com/seed4930a636/mangusta/websocket/internal/flate.(*Inflater).Inflate",
		"github.com/seed4930a636/mangusta/websocket/internal/flate.makeTables",
		"github.com/seed4930a636/mangusta/websocket.(*Deflate).compress",
	} {
		if hello[name] {
			t.Errorf("hello is linked with %s", name)
		}
		if !testee[name] {
			t.Errorf("testee has no %s", name)
		}
	}
}

// functions returns the symbols of the program in dir.
func functions(t *testing.T, dir string) map[string]bool {
	t.Helper()
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
	return names
}
