package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestStateSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "dir", "device.json")
	if st, err := loadState(path); err != nil || st != defaultState() {
		t.Fatalf("without a file: %v, %v", st, err)
	}
	if err := saveState(path, State{IntervalMS: 2500}); err != nil {
		t.Fatal(err)
	}
	if st, err := loadState(path); err != nil || st.IntervalMS != 2500 {
		t.Errorf("loaded %v, %v", st, err)
	}
	if text, _ := os.ReadFile(path); string(text) != "{\"interval_ms\":2500}\n" {
		t.Errorf("file is %q", text)
	}
}

func TestAnUnusableStateFileGivesTheDefaultAndAReason(t *testing.T) {
	tests := []struct{ name, text, why string }{
		{"empty", "", "unexpected end of JSON input"},
		{"cut short", `{"interval_ms": 25`, "unexpected end of JSON input"},
		{"no JSON", "\x00\x00\x00\x00", "invalid character"},
		{"wrong type", `{"interval_ms": "soon"}`, "cannot unmarshal"},
		{"too short", `{"interval_ms": 199}`, "must be 200 to 10000 ms, not 199"},
		{"too long", `{"interval_ms": 10001}`, "must be 200 to 10000 ms, not 10001"},
		{"huge", `{"interval_ms": 1` + strings.Repeat("0", maxStateFile) + `}`, "unexpected end of JSON input"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "device.json")
			if err := os.WriteFile(path, []byte(tt.text), 0o644); err != nil {
				t.Fatal(err)
			}
			st, err := loadState(path)
			if st != defaultState() {
				t.Errorf("state is %v", st)
			}
			if err == nil || !strings.Contains(err.Error(), tt.why) || !strings.HasPrefix(err.Error(), "device: load state: ") {
				t.Errorf("error is %v, want %q", err, tt.why)
			}
		})
	}
}

// A reader that opened the old file keeps the old state whole: the file was replaced, not written
// over.
func TestStateIsReplacedAtomically(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "device.json")
	if err := saveState(path, State{IntervalMS: 1000}); err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := saveState(path, State{IntervalMS: 300}); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 100)
	n, _ := old.Read(text)
	if string(text[:n]) != "{\"interval_ms\":1000}\n" {
		t.Errorf("the old file has become %q", text[:n])
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("the directory holds %v", entries)
	}
}

func TestAFailedSaveLeavesTheOldStateAndNoLitter(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "device.json")
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o755); err != nil { // rename(2) refuses to replace it
		t.Fatal(err)
	}
	if err := saveState(path, State{IntervalMS: 300}); err == nil {
		t.Error("no error")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("the directory holds %v", entries)
	}
	if err := saveState("/dev/null/x/device.json", State{}); err == nil || !strings.HasPrefix(err.Error(), "device: save state: ") {
		t.Errorf("error is %v", err)
	}
}

func TestAFileThatIsNoStateIsKeptAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	for _, text := range []string{"root:x:0:0\n", `{"interval_ms": 5}`} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time the file is ours
			if err := saveState(path, State{IntervalMS: 300}); err != nil {
				t.Fatal(err)
			}
		}
		if kept, err := os.ReadFile(path + ".bad"); string(kept) != text {
			t.Errorf("kept %q, %v; want %q", kept, err, text)
		}
		if st, err := loadState(path); err != nil || st.IntervalMS != 300 {
			t.Errorf("loaded %v, %v", st, err)
		}
	}
}

func TestOnlyARegularFileIsRead(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, "/dev/null", t.TempDir()} {
		if _, err := loadState(path); err == nil || err.Error() != "device: load state: "+path+" is no regular file" {
			t.Errorf("load %s: %v", path, err)
		}
		if err := setAside(path); err == nil { // not saveState: as root, one that is wrong would replace /dev/null
			t.Errorf("%s would be replaced", path)
		}
	}
}

func TestDefaultStatePath(t *testing.T) {
	tests := []struct{ xdg, home, want string }{
		{"/x/state", "/home/u", "/x/state/mangusta/device.json"},
		{"", "/home/u", "/home/u/.local/state/mangusta/device.json"},
		{"relative", "/home/u", "/home/u/.local/state/mangusta/device.json"}, // the specification: must be ignored
		{"", "", filepath.Join(os.TempDir(), "mangusta-device.json")},
	}
	for _, tt := range tests {
		t.Setenv("XDG_STATE_HOME", tt.xdg)
		t.Setenv("HOME", tt.home)
		if got := defaultStatePath(); got != tt.want {
			t.Errorf("XDG_STATE_HOME=%q HOME=%q: %s, want %s", tt.xdg, tt.home, got, tt.want)
		}
	}
}
