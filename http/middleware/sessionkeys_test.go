package middleware

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// wantAlone wants nothing in the directory but these files.
func wantAlone(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the directory has %q, want %q", got, want)
	}
}

func TestSessionKeysAreMadeOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	first, err := SessionKeys(path)
	if err != nil || len(first) != 1 || len(first[0]) != 32 || bytes.Count(first[0], []byte{0}) > 8 {
		t.Fatal(first, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	again, err := SessionKeys(path)
	if err != nil || !bytes.Equal(first[0], again[0]) {
		t.Fatal(again, err)
	}
	wantAlone(t, dir, "keys")
	if other, err := SessionKeys(filepath.Join(t.TempDir(), "keys")); err != nil || bytes.Equal(first[0], other[0]) {
		t.Fatal("two files with one key", err)
	}
}

func TestSessionKeysOfSeveralStartsAreOne(t *testing.T) {
	dir := t.TempDir()
	keys := make([]string, 16)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			k, err := SessionKeys(filepath.Join(dir, "keys"))
			if err != nil {
				t.Error(err)
				return
			}
			keys[i] = string(k[0])
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k != keys[0] {
			t.Fatal("two starts have different keys")
		}
	}
	wantAlone(t, dir, "keys")
}

func TestSessionKeysFile(t *testing.T) {
	line := func(b byte, n int) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, n)) }
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		keys       int
		want       string
	}{
		{"one", line(1, 32), 0o600, 1, ""},
		{"read-only", line(1, 32) + "\n", 0o400, 1, ""},
		{"new before old", "# new\n" + line(2, 48) + "\r\n\n# old\n  " + line(1, 32) + "\n", 0o600, 2, ""},
		{"readable by others", line(1, 32), 0o640, 0, "has mode 0640: others may read or write it"},
		{"writable by others", line(1, 32), 0o602, 0, "has mode 0602: others may read or write it"},
		{"empty", "", 0o600, 0, "holds no key"},
		{"comments only", "# x\n\n", 0o600, 0, "holds no key"},
		{"short", line(1, 31), 0o600, 0, "line 1 is not base64 of 32 bytes at least"},
		{"second is short", line(1, 32) + "\n" + line(1, 8), 0o600, 0, "line 2 is not base64 of 32 bytes at least"},
		{"not base64", strings.Repeat("!", 44), 0o600, 0, "line 1 is not base64 of 32 bytes at least"},
		{"cut", line(1, 32)[:43], 0o600, 0, "line 1 is not base64 of 32 bytes at least"},
		{"long", strings.Repeat("#\n", 40_000), 0o600, 0, "is longer than 65536 bytes"},
	} {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Chmod(path, tt.mode)
		keys, err := SessionKeys(path)
		if tt.want == "" && (err != nil || len(keys) != tt.keys) || tt.want != "" && (!errors.Is(err, ErrSession) || !strings.HasSuffix(err.Error(), tt.want)) {
			t.Errorf("%s: %d keys, %v", tt.name, len(keys), err)
		}
		if text, _ := os.ReadFile(path); string(text) != tt.text {
			t.Errorf("%s: the file was changed", tt.name)
		}
	}
}

func TestSessionKeysElsewhere(t *testing.T) {
	dir := t.TempDir()
	if _, err := SessionKeys(dir); !errors.Is(err, ErrSession) {
		t.Error("a directory:", err)
	}
	if _, err := SessionKeys(filepath.Join(dir, "none", "keys")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("no directory:", err)
	}
	path := filepath.Join(dir, "link")
	os.Symlink(filepath.Join(dir, "nowhere"), path)
	if _, err := SessionKeys(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a link to nowhere:", err)
	}
	wantAlone(t, dir, "link")
}
