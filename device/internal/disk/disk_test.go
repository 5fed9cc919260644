package disk_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/device/internal/disk/disksim"
)

var writers = []struct {
	name  string
	write func(disk.FS, string, []byte, fs.FileMode) error
}{{"Replace", disk.Replace}, {"ReplaceKeeping", disk.ReplaceKeeping}, {"ReplaceBoth", disk.ReplaceBoth}}

// whole accepts the contents that the tests write, and nothing that a cut makes of them.
func whole(b []byte) error {
	if len(b) < 3 || b[0] != '{' || b[len(b)-1] != '}' {
		return errors.New("not whole")
	}
	return nil
}

// A power cut at any operation, with any subset of what was not synced, leaves one of the contents:
// the last that was told to be durable, or a later one.
func TestAPowerCutLeavesTheOldContentOrTheNew(t *testing.T) {
	for _, w := range writers {
		t.Run(w.name, func(t *testing.T) {
			contents := [][]byte{[]byte("{first}"), []byte("{second content}"), []byte("{3}")}
			dry := disksim.New()
			for _, c := range contents {
				if err := w.write(dry, "/state", c, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for cut := 1; cut <= dry.Ops(); cut++ {
				for seed := range uint64(50) {
					d := disksim.New()
					d.CutAt = cut
					durable := -1
					for i, c := range contents {
						if w.write(d, "/state", c, 0o600) == nil {
							durable = i
						}
					}
					got, err := disk.Load(d.Restart(rand.New(rand.NewPCG(seed, 0))), "/state", 100, whole)
					if durable < 0 && got == nil {
						continue
					}
					found := false
					for _, c := range contents[max(durable, 0):min(durable+2, len(contents))] {
						found = found || bytes.Equal(got, c)
					}
					if !found {
						t.Fatalf("cut at %d, seed %d: %q (%v), though %d was durable", cut, seed, got, err, durable)
					}
				}
			}
		})
	}
}

// A file that is durable needs directories that are.
func TestMakeDirs(t *testing.T) {
	for seed := range uint64(50) {
		d := disksim.New()
		for range 2 { // they may be there
			if err := disk.MakeDirs(d, "/a/b/c/", 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := disk.Replace(d, "/a/b/c/state", []byte("{x}"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := disk.Read(d.Restart(rand.New(rand.NewPCG(seed, 0))), "/a/b/c/state", 100); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	for at := 1; at <= 4; at++ {
		d := disksim.New()
		d.FailAt, d.Fail = at+1, syscall.ENOSPC // the first is that of /a/b, which is in nothing yet
		if err := disk.MakeDirs(d, "/a/b", 0o700); err != syscall.ENOSPC {
			t.Errorf("operation %d fails: %v", at+1, err)
		}
	}
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := disk.MakeDirs(disk.OS, filepath.Join(name, "a", "b"), 0o700); !errors.Is(err, syscall.ENOTDIR) {
		t.Error(err)
	}
}

// A write that fails leaves the old content for readers, and the next write works.
func TestAWriteThatFailsChangesNothing(t *testing.T) {
	for _, w := range writers {
		t.Run(w.name, func(t *testing.T) {
			for at := 1; ; at++ {
				d := disksim.New()
				if err := w.write(d, "/state", []byte("{old}"), 0o600); err != nil {
					t.Fatal(err)
				}
				d.FailAt, d.Fail = d.Ops()+at, syscall.EIO
				if w.write(d, "/state", []byte("{new}"), 0o600) == nil {
					return // past its last operation
				}
				got, err := disk.Load(d, "/state", 100, whole)
				if string(got) != "{old}" && string(got) != "{new}" || err != nil {
					t.Fatalf("operation %d failed: %q (%v)", at, got, err)
				}
				if err := w.write(d, "/state", []byte("{newest}"), 0o600); err != nil {
					t.Fatal(err)
				}
				if got, err := disk.Load(d, "/state", 100, whole); string(got) != "{newest}" || err != nil {
					t.Fatalf("after operation %d had failed: %q (%v)", at, got, err)
				}
			}
		})
	}
}

func TestASpoiltFileFallsBackOnTheLastGoodOneAndSaysSo(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state")
	for _, c := range []string{"{one}", "{two}"} {
		if err := disk.ReplaceKeeping(disk.OS, name, []byte(c), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(name, []byte("{tw"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := disk.Load(disk.OS, name, 100, whole)
	if string(got) != "{one}" || err == nil || err.Error() != name+": not whole" {
		t.Errorf("%q, %v", got, err)
	}
}

// After ReplaceBoth, neither file has the former content, not even while the next one is written.
func TestReplaceBothLeavesNoFormerContent(t *testing.T) {
	for cut := range 12 { // 0 is none; there are 9 operations
		for seed := range uint64(50) {
			d := disksim.New()
			for _, c := range []string{"{one}", "{two}"} {
				if err := disk.ReplaceBoth(d, "/state", []byte(c), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if cut > 0 {
				d.CutAt = d.Ops() + cut
				disk.ReplaceBoth(d, "/state", []byte("{three}"), 0o600)
			}
			for _, name := range []string{"/state", "/state.old"} {
				got, err := disk.Read(d.Restart(rand.New(rand.NewPCG(seed, 0))), name, 100)
				if s := string(got); s != "{two}" && (s != "{three}" || cut == 0) {
					t.Fatalf("cut at %d, seed %d: %s has %q (%v)", cut, seed, name, got, err)
				}
			}
		}
	}
}

// Two damaged files, or a damaged copy alone, are no new device: ErrNotExist would say so.
func TestADamagedCopyAloneIsNoMissingFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(name+".old", []byte("{tw"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := disk.Load(disk.OS, name, 100, whole)
	if got != nil || err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestNoFileAtAllIsErrNotExist(t *testing.T) {
	if _, err := disk.Load(disk.OS, filepath.Join(t.TempDir(), "state"), 100, whole); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestWhatIsNoFileOrTooLargeIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, 11), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fifo", ".", "large"} {
		if got, err := disk.Read(disk.OS, filepath.Join(dir, name), 10); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTheModeIsThatOfTheCall(t *testing.T) {
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name+".new", nil, 0o644); err != nil { // left by an earlier run
		t.Fatal(err)
	}
	if err := disk.Replace(disk.OS, name, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
}
