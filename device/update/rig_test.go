package update

import (
	"bytes"
	"io"
	"log/slog"
	"path/filepath"
	"testing"

	"aead.dev/minisign"

	"github.com/seed4930a636/mangusta/device/internal/disk"
)

// A signer makes signed programs.
type signer struct {
	public string
	key    minisign.PrivateKey
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	public, key, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{public.String(), key}
}

// sign returns a signature as minisign -S makes it.
func (s *signer) sign(program []byte, comment string) []byte {
	r := minisign.NewReader(bytes.NewReader(program))
	if _, err := io.Copy(io.Discard, r); err != nil {
		panic(err)
	}
	return r.SignWithComments(s.key, comment, "of a test")
}

func (s *signer) version(program []byte, version string) []byte {
	return s.sign(program, "version="+version+" board=box")
}

// A machine is a device whose disk is of the test, and whose processes are calls of Boot.
type machine struct {
	t     *testing.T
	fs    disk.FS
	dir   string
	key   *signer
	execs int // since the last power-on
}

const versionOne = "1.0"

// newMachine has version 1.0 in slot a, and in slot b what came before it.
func newMachine(t *testing.T, fs disk.FS, dir string, key *signer) *machine {
	t.Helper()
	m := &machine{t: t, fs: fs, dir: dir, key: key}
	program := []byte("the program of version 1.0")
	if fs != disk.OS {
		if err := fs.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		disk.Replace(fs, filepath.Join(dir, "a"), program, 0o755),
		disk.Replace(fs, filepath.Join(dir, "a.minisig"), key.version(program, versionOne), 0o644),
		disk.Replace(fs, filepath.Join(dir, "b"), []byte("an old one"), 0o755),
		disk.Replace(fs, filepath.Join(dir, "b.minisig"), key.version([]byte("an old one"), "0.5"), 0o644),
		fs.Symlink("a", filepath.Join(dir, "current")),
		fs.SyncDir(dir),
		fs.SyncDir(filepath.Dir(dir)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// boot is Boot in a process whose program is in slot. next is the slot that it executes instead, if
// it does.
func (m *machine) boot(slot string, change ...func(*Options)) (u *Updater, next string, err error) {
	o := m.options(slot)
	for _, f := range change {
		f(&o)
	}
	// An exec that succeeds does not return.
	defer func() {
		switch r := recover().(type) {
		case nil:
		case execed:
			u, next = nil, string(r)
		default:
			panic(r)
		}
	}()
	u, err = Boot(o)
	if u != nil && u.deadline != nil {
		m.t.Cleanup(func() { u.deadline.Stop() })
	}
	return u, "", err
}

// execed is what the exec of the tests panics with.
type execed string

// options are those of a process in slot.
func (m *machine) options(slot string) Options {
	return Options{Dir: m.dir, Keys: []string{m.key.public}, Board: "box", Log: slog.New(slog.DiscardHandler),
		disk: m.fs,
		self: func() (string, error) { return filepath.Join(m.dir, slot), nil },
		Exec: func(path string) error { panic(execed(filepath.Base(path))) },
		exit: func(int) { m.t.Error("the deadline has passed") }}
}

// power starts what current names, and follows execs; it returns the program that runs in the end.
// The error is that of Boot.
func (m *machine) power() (*Updater, error) {
	m.t.Helper()
	slot, err := (&dir{fs: m.fs, path: m.dir}).current()
	if err != nil {
		m.t.Fatal(err)
	}
	m.execs = 0
	for {
		u, next, err := m.boot(slot)
		if next == "" {
			return u, err
		}
		slot = next
		if m.execs++; m.execs > 3 {
			m.t.Fatal("the slots start each other")
		}
	}
}

// on is power, without an error.
func (m *machine) on() *Updater {
	m.t.Helper()
	u, err := m.power()
	if err != nil {
		m.t.Fatal(err)
	}
	return u
}

// send has u receive a program.
func send(u *Updater, program, sig []byte) error {
	offset, err := u.Begin(sig, int64(len(program)), false)
	if err != nil {
		return err
	}
	for rest := program[offset:]; len(rest) > 0; {
		n := min(len(rest), 7)
		if _, err := u.Write(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	_, err = u.Finish()
	return err
}
