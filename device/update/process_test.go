package update

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/internal/racetest"
	"github.com/seed4930a636/mangusta/mgr"
)

// The programs of these tests are this test binary, with a line at its end that says what it is:
// "program version=2.0 mode=crash". A copy in a slot is started as a process of its own.

const imageSize = 4096 // of the end of the file in which the line is looked for

var marker = regexp.MustCompile(`\nprogram version=(\S+) mode=(\S+)\n`)

func TestMain(m *testing.M) {
	if self, err := os.Executable(); err == nil && (filepath.Base(self) == "a" || filepath.Base(self) == "b") {
		if err := program(self); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program is the main of a program in a slot. It says what it does, one line each.
func program(self string) error {
	text, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	if text, err = imageIn(self, text); err != nil {
		return err
	}
	found := marker.FindSubmatch(text[len(text)-imageSize:])
	if found == nil {
		return errors.New("no marker")
	}
	version, mode := string(found[1]), string(found[2])
	o := Options{Dir: filepath.Dir(self), Keys: []string{os.Getenv("KEY")}, Board: "box", Confirm: 200 * time.Millisecond,
		Log: slog.New(slog.DiscardHandler), disk: &killer{FS: disk.OS}}
	partitioned(&o, self)
	u, err := Boot(o)
	if err != nil {
		return err
	}
	fmt.Println("runs", version, u.Status().State)
	if u.Status().State == OnTrial {
		switch mode {
		case "crash":
			os.Exit(1)
		case "hang":
			select {}
		}
		if err := u.Confirm(); err != nil {
			return err
		}
		fmt.Println("confirmed", version)
		return nil
	}
	if next := os.Getenv("NEXT"); next != "" {
		return receive(u, next)
	}
	if url := os.Getenv("PULL"); url != "" {
		return pull(u, url)
	}
	return nil
}

// pull fetches what a server has.
func pull(u *Updater, url string) error {
	m, err := mgr.New(mgr.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer m.Close()
	ctx, end := context.WithCancel(context.Background())
	p, err := u.Pull(m, PullOptions{URL: url, Every: -1, Ready: func(Image) { end() }})
	if err != nil {
		return err
	}
	if err := p.Ask(); err != nil {
		return err
	}
	m.Run(ctx)
	fmt.Println("ready")
	return nil
}

func receive(u *Updater, file string) error {
	image, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	sig, err := os.ReadFile(file + ".minisig")
	if err != nil {
		return err
	}
	offset, err := u.Begin(sig, int64(len(image)), false)
	if err != nil {
		return err
	}
	for rest := image[offset:]; len(rest) > 0; {
		n := min(len(rest), 4<<20)
		if _, err := u.Write(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	if _, err = u.Finish(); err != nil {
		return err
	}
	fmt.Println("ready")
	return nil
}

// A killer is a disk on which the process ends with SIGKILL right after operation KILL_AT; the
// operations are those that change something.
type killer struct {
	disk.FS
	n int
}

func (k *killer) op(err error) error {
	k.n++
	slot := os.Getenv("KILL_SLOT")
	if at, _ := strconv.Atoi(os.Getenv("KILL_AT")); at == k.n && (slot == "" || slot == filepath.Base(os.Args[0])) {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return err
}

func (k *killer) Create(name string, perm fs.FileMode) (disk.File, error) {
	f, err := k.FS.Create(name, perm)
	return killerFile{f, k}, k.op(err)
}

func (k *killer) Append(name string) (disk.File, int64, error) {
	f, n, err := k.FS.Append(name)
	return killerFile{f, k}, n, err
}

func (k *killer) Rename(from, to string) error           { return k.op(k.FS.Rename(from, to)) }
func (k *killer) Remove(name string) error               { return k.op(k.FS.Remove(name)) }
func (k *killer) Symlink(target, name string) error      { return k.op(k.FS.Symlink(target, name)) }
func (k *killer) SyncDir(name string) error              { return k.op(k.FS.SyncDir(name)) }
func (k *killer) Mkdir(name string, _ fs.FileMode) error { return k.op(errors.New("unused")) }

func (k *killer) Device(name string, write bool) (disk.Device, error) {
	d, err := k.FS.Device(name, write)
	if err != nil {
		return nil, err
	}
	return killerDevice{d, k}, nil
}

type killerDevice struct {
	disk.Device
	k *killer
}

func (d killerDevice) WriteAt(p []byte, at int64) (int, error) {
	n, err := d.Device.WriteAt(p, at)
	return n, d.k.op(err)
}

func (d killerDevice) Sync() error { return d.k.op(d.Device.Sync()) }

type killerFile struct {
	disk.File
	k *killer
}

func (f killerFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.k.op(err)
}

func (f killerFile) Sync() error { return f.k.op(f.File.Sync()) }

// A box is a directory with slots, and what starts its programs.
type box struct {
	t       *testing.T
	dir     string
	key     *signer
	binary  []byte
	updates string // a directory
}

func newBox(t *testing.T) *box {
	t.Helper()
	if racetest.Enabled {
		t.Skip("the processes have one goroutine, and take minutes to compute digests with the race detector")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &box{t: t, dir: t.TempDir(), key: newSigner(t), updates: t.TempDir()}
	if b.binary, err = os.ReadFile(self); err != nil {
		t.Fatal(err)
	}
	b.put(filepath.Join(b.dir, "a"), "1.0", "good")
	if err := os.Symlink("a", filepath.Join(b.dir, "current")); err != nil {
		t.Fatal(err)
	}
	return b
}

// put writes a program and its signature.
func (b *box) put(file, version, mode string) {
	b.t.Helper()
	line := fmt.Sprintf("\nprogram version=%s mode=%s\n", version, mode)
	image := append(bytes.Clone(b.binary), bytes.Repeat([]byte("\n"), imageSize)...)
	image = append(image[:len(image)-len(line)], line...)
	if mode == "none" {
		image = []byte("this cannot be executed\n")
	}
	for _, err := range []error{
		os.WriteFile(file, image, 0o755),
		os.WriteFile(file+".minisig", b.key.version(image, version), 0o644),
	} {
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// start starts what current names, as init would, and returns what it says until its end.
func (b *box) start(env ...string) string {
	b.t.Helper()
	cmd := exec.Command(filepath.Join(b.dir, "current"))
	cmd.Env = append(env, "KEY="+b.key.public)
	out, err := cmd.Output()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		b.t.Fatal(err)
	}
	return strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", "; ")
}

func (b *box) want(says string, env ...string) {
	b.t.Helper()
	if got := b.start(env...); got != says {
		b.t.Errorf("it says %q, want %q", got, says)
	}
}

func TestProcessesUpdateAndRollBack(t *testing.T) {
	b := newBox(t)
	b.want("runs 1.0 settled")
	next := func(version, mode string) string {
		file := filepath.Join(b.updates, version)
		b.put(file, version, mode)
		return "NEXT=" + file
	}
	b.want("runs 1.0 settled; ready", next("2.0", "good"))
	b.want("runs 2.0 on trial; confirmed 2.0")
	b.want("runs 2.0 settled")
	b.want("runs 2.0 settled; ready", next("3.0", "crash"))
	b.want("runs 3.0 on trial")
	b.want("runs 2.0 rolled back")
	b.want("runs 2.0 settled; ready", next("3.1", "hang"))
	b.want("runs 3.1 on trial") // and its deadline passes
	b.want("runs 2.0 rolled back; ready", next("3.2", "none"))
	b.want("runs 2.0 rolled back") // ENOEXEC
	b.want("runs 2.0 settled; ready", next("3.3", "good"))
	b.want("runs 3.3 on trial; confirmed 3.3")
}

// kill -9 after each call that changes the disk: what is started next is whole and signed, and the
// update arrives when it is sent again.
func TestKilledAfterEachOperation(t *testing.T) {
	for phase, first := range []string{"receive", "trial"} {
		t.Run(first, func(t *testing.T) {
			for at := 1; ; at++ {
				b := newBox(t)
				file := filepath.Join(b.updates, "2.0")
				b.put(file, "2.0", "good")
				if phase == 1 {
					b.want("runs 1.0 settled; ready", "NEXT="+file)
				}
				said := b.start("NEXT="+file, "KILL_AT="+strconv.Itoa(at))
				whole := said == "runs 1.0 settled; ready" || said == "runs 2.0 on trial; confirmed 2.0"
				d := &dir{fs: disk.OS, path: b.dir}
				u := &Updater{opts: Options{Keys: []string{b.key.public}, Board: "box"}}
				if err := u.fill(); err != nil {
					t.Fatal(err)
				}
				d.keys = u.dir.keys
				slot, err := d.current()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := d.check(slot); err != nil {
					t.Fatalf("killed after operation %d: %v", at, err)
				}
				for range 6 {
					said = b.start("NEXT=" + file)
					if strings.HasSuffix(said, "confirmed 2.0") || strings.HasPrefix(said, "runs 2.0") {
						break
					}
				}
				b.want("runs 2.0 settled")
				if whole {
					if at < 3 {
						t.Errorf("only %d operations", at)
					}
					return
				}
			}
		})
	}
}

// kill -9 in the middle of a transfer: the next process goes on where it was, with what is on the
// disk.
func TestKilledWhilePulling(t *testing.T) {
	b := newBox(t)
	d := newDepot(t, b.key)
	b.put(filepath.Join(b.updates, "2.0"), "2.0", "good")
	image, err := os.ReadFile(filepath.Join(b.updates, "2.0"))
	if err != nil {
		t.Fatal(err)
	}
	d.offer("2.0", image, nil, nil)
	env := "PULL=" + d.URL + "/manifest.json"
	for _, at := range []string{"2", "40", "40"} {
		b.want("runs 1.0 settled", env, "KILL_AT="+at)
	}
	b.want("runs 1.0 settled; ready", env)
	b.want("runs 2.0 on trial; confirmed 2.0")
	if got := d.requests(); strings.Count(got, "/box-2.0 bytes=") != 2 {
		t.Errorf("the requests were %s", got)
	}
}
