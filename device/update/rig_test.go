package update

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"testing"

	"aead.dev/minisign"

	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/device/internal/disk/disksim"
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
	execs int // since the last power-on, of the slot that is not current

	devices map[string]string // of partitions, by slot; nil with the files of a directory
	spoilt  string            // by the test
	first   string            // files in dir after an update was refused
}

const versionOne = "1.0"

// newMachine has version 1.0 in slot a, and in slot b what came before it.
func newMachine(t *testing.T, fs disk.FS, dir string, key *signer) *machine {
	t.Helper()
	m := &machine{t: t, fs: fs, dir: dir, key: key, first: "[a a.minisig b b.minisig current]"}
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
		case rebooted:
			u, next = nil, "reboot"
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

// The exec and the reboot of the tests panic with these.
type (
	execed   string
	rebooted struct{}
)

// options are those of a process in slot.
func (m *machine) options(slot string) Options {
	o := Options{Dir: m.dir, Keys: []string{m.key.public}, Board: "box", Log: slog.New(slog.DiscardHandler),
		disk: m.fs,
		self: func() (string, error) { return filepath.Join(m.dir, slot), nil },
		Exec: func(path string) error { panic(execed(filepath.Base(path))) },
		exit: func(int) { m.t.Error("the deadline has passed") }}
	if m.devices != nil {
		o.Slots = m.partitions(slot)
		o.Exec, o.Reboot = nil, func() error { panic(rebooted{}) }
	}
	return o
}

// power starts what is to be started, and follows execs and restarts; it returns the program that
// runs in the end. The error is that of Boot.
func (m *machine) power() (*Updater, error) {
	m.t.Helper()
	m.execs = 0
	slot, err := m.load()
	for err == nil {
		u, next, err := m.boot(slot)
		if next == "" {
			return u, err
		}
		if m.execs++; m.execs > 3 {
			m.t.Fatal("the slots start each other")
		}
		if slot = next; next == "reboot" {
			if slot, err = m.load(); err != nil {
				return nil, err
			}
		}
	}
	return nil, err
}

// load is the boot loader, or what starts the program in current. Whatever it may start has to be
// signed.
func (m *machine) load() (string, error) {
	m.t.Helper()
	if m.devices == nil {
		slot, err := (&dir{fs: m.fs, path: m.dir}).current()
		if err != nil {
			m.t.Fatal(err)
		}
		return slot, nil
	}
	f := m.bootFile()
	current, try, err := f.read()
	if errors.Is(err, disksim.ErrCut) {
		return "", err
	}
	if err != nil {
		m.t.Fatal(err)
	}
	for _, slot := range []string{"a", "b"} {
		err := m.check(slot)
		noted := !errors.Is(err, fs.ErrNotExist) // a signature is that of the image which is there
		if err != nil && (slot == current || slot == try || noted && slot != m.spoilt) {
			m.t.Fatalf("with current=%s try=%s: %v", current, try, err)
		}
	}
	if try == "" {
		return current, nil
	}
	switch err := f.write(current, ""); {
	case errors.Is(err, disksim.ErrCut):
		return "", err
	case err != nil:
		return current, nil
	}
	return try, nil
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
