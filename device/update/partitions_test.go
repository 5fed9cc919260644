package update

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/device/internal/disk/disksim"
)

type newMachineFunc = func(t *testing.T, fs disk.FS, dir string, key *signer) *machine

// each runs a test with the slots in a directory and with partitions.
func each(t *testing.T, f func(*testing.T, newMachineFunc)) {
	t.Run("directory", func(t *testing.T) { f(t, newMachine) })
	t.Run("partitions", func(t *testing.T) { f(t, newPartitioned) })
}

// newPartitioned is newMachine with two partitions, which are files.
func newPartitioned(t *testing.T, fs disk.FS, dir string, key *signer) *machine {
	t.Helper()
	if fs != disk.OS {
		if err := fs.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	devices := map[string]string{}
	for _, slot := range []string{"a", "b"} {
		devices[slot] = filepath.Join(dir, "partition-"+slot)
		f, err := fs.Create(devices[slot], 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return newOn(t, fs, dir, key, devices)
}

// newOn is newMachine with these partitions.
func newOn(t *testing.T, fs disk.FS, dir string, key *signer, devices map[string]string) *machine {
	t.Helper()
	m := &machine{t: t, fs: fs, dir: dir, key: key, devices: devices, first: "[a.json boot partition-a partition-b]"}
	for slot, version := range map[string]string{"a": versionOne, "b": "0.5"} {
		program := []byte("the program of version " + version)
		m.overwrite(slot, program)
		text, err := json.Marshal(record{Size: int64(len(program)), Minisig: string(key.version(program, version))})
		if err != nil {
			t.Fatal(err)
		}
		if err := disk.Replace(fs, filepath.Join(dir, slot+".json"), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{m.bootFile().SetCurrent("a"), fs.SyncDir(filepath.Dir(dir))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *machine) bootFile() *BootFile {
	return &BootFile{Path: filepath.Join(m.dir, "boot"), disk: m.fs}
}

// partitions are those of a process in slot.
func (m *machine) partitions(slot string) *Partitions {
	return &Partitions{A: m.devices["a"], B: m.devices["b"], Booted: slot, Dir: m.dir, Boot: m.bootFile(), disk: m.fs, chunk: 4}
}

func (m *machine) path(slot string) string {
	if m.devices == nil {
		return filepath.Join(m.dir, slot)
	}
	return m.devices[slot]
}

func (m *machine) check(slot string) error {
	var k minisign.PublicKey
	if err := k.UnmarshalText([]byte(m.key.public)); err != nil {
		return err
	}
	_, err := check(m.partitions(slot), slot, []minisign.PublicKey{k})
	return err
}

func (m *machine) overwrite(slot string, data []byte) {
	m.t.Helper()
	d, err := m.fs.Device(m.devices[slot], true)
	if err != nil {
		m.t.Fatal(err)
	}
	_, err = d.WriteAt(data, 0)
	if err := errors.Join(err, d.Sync(), d.Close()); err != nil {
		m.t.Fatal(err)
	}
}

// spoil changes the program in a slot, and not its signature.
func (m *machine) spoil(slot string) {
	m.t.Helper()
	if m.devices != nil {
		m.overwrite(slot, []byte("spoilt"))
		m.spoilt = slot
	} else if err := disk.Replace(m.fs, m.path(slot), []byte("spoilt"), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

// onTrial returns a machine that has received version 2.0, and was started in it.
func onTrial(t *testing.T) (*machine, *Updater) {
	t.Helper()
	key := newSigner(t)
	m := newPartitioned(t, disk.OS, t.TempDir(), key)
	if err := send(m.on(), programTwo, key.version(programTwo, "2.0")); err != nil {
		t.Fatal(err)
	}
	u := m.on()
	m.want(u, OnTrial, "b", "2.0")
	return m, u
}

// A supervisor starts the program again that has crashed: the device stays in the slot.
func TestAProgramOnTrialThatIsStartedAgainRestartsTheDevice(t *testing.T) {
	m, _ := onTrial(t)
	if _, next, err := m.boot("b"); err != nil || next != "reboot" {
		t.Fatal(next, err)
	}
	m.want(m.on(), RolledBack, "a", "1.0")
}

// A boot loader that counts may have tries left.
func TestATryThatIsLeftIsTakenBackBeforeTheRestart(t *testing.T) {
	m, _ := onTrial(t)
	if err := m.bootFile().Try("b"); err != nil {
		t.Fatal(err)
	}
	if _, next, err := m.boot("b"); err != nil || next != "reboot" {
		t.Fatal(next, err)
	}
	if _, try, err := m.bootFile().read(); try != "" || err != nil {
		t.Errorf("the try of %s is left, %v", try, err)
	}
	m.want(m.on(), RolledBack, "a", "1.0")
}

func TestTheDeviceRestartsAtTheDeadline(t *testing.T) {
	key := newSigner(t)
	m := newPartitioned(t, disk.OS, t.TempDir(), key)
	if err := send(m.on(), programTwo, key.version(programTwo, "2.0")); err != nil {
		t.Fatal(err)
	}
	if _, next, err := m.boot("a"); err != nil || next != "reboot" {
		t.Fatal(next, err)
	}
	slot, err := m.load()
	if err != nil || slot != "b" {
		t.Fatal(slot, err)
	}
	restarted, exited := make(chan struct{}), make(chan int, 1)
	_, _, err = m.boot("b", func(o *Options) {
		o.Confirm, o.exit = time.Millisecond, func(code int) { exited <- code }
		o.Reboot = func() error { close(restarted); return syscall.EPERM }
	})
	if err != nil {
		t.Fatal(err)
	}
	<-restarted
	if code := <-exited; code != 3 { // for the restart has failed
		t.Error(code)
	}
	m.want(m.on(), RolledBack, "a", "1.0")
}

func TestARestartThatFailsIsRolledBackAtOnce(t *testing.T) {
	key := newSigner(t)
	m := newPartitioned(t, disk.OS, t.TempDir(), key)
	if err := send(m.on(), programTwo, key.version(programTwo, "2.0")); err != nil {
		t.Fatal(err)
	}
	for _, returned := range []error{syscall.EPERM, nil} {
		u, _, err := m.boot("a", func(o *Options) { o.Reboot = func() error { return returned } })
		if err != nil {
			t.Fatal(err)
		}
		m.want(u, RolledBack, "a", "1.0")
		m.want(m.on(), Settled, "a", "1.0")
		if err := send(u, programTwo, key.version(programTwo, "2.0")); err != nil {
			t.Fatal(err)
		}
	}
}

// A boot loader that cannot start current any more starts the other slot. That is used as it is, and
// becomes current before an update overwrites the broken one.
func TestTheBootLoaderMayFallBackOnTheOtherSlot(t *testing.T) {
	key := newSigner(t)
	m := newPartitioned(t, disk.OS, t.TempDir(), key)
	u, next, err := m.boot("b")
	if err != nil || next != "" {
		t.Fatal(next, err)
	}
	m.want(u, Settled, "b", "0.5")
	if current, _ := m.bootFile().Current(); current != "a" {
		t.Errorf("current is %s, and nothing was received", current)
	}
	if _, err := u.Begin(key.version(programTwo, "2.0"), int64(len(programTwo)), false); err != nil {
		t.Fatal(err)
	}
	m.want(m.on(), Settled, "b", "0.5")
	if err := send(u, programTwo, key.version(programTwo, "2.0")); err != nil {
		t.Fatal(err)
	}
	m.want(m.on(), OnTrial, "a", "2.0")
}

// A successor that was started is to be tried; another update takes its place.
func TestASlotIsNotOverwrittenWhileItIsToBeTried(t *testing.T) {
	key := newSigner(t)
	m := newPartitioned(t, disk.OS, t.TempDir(), key)
	u := m.on()
	if err := send(u, programTwo, key.version(programTwo, "2.0")); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Start(); err != nil {
		t.Fatal(err)
	}
	three := []byte("three")
	if _, err := u.Begin(key.version(three, "3.0"), int64(len(three)), false); err != nil {
		t.Fatal(err)
	}
	m.want(m.on(), Settled, "a", "1.0") // load checks what it could have started
}

// The trial cannot be noted: the old program, which is not on trial, has to be what runs.
func TestATrialThatCannotBeNotedIsNoTrial(t *testing.T) {
	key := newSigner(t)
	sim := disksim.New()
	m := newPartitioned(t, sim, "/box", key)
	if err := send(m.on(), programTwo, key.version(programTwo, "2.0")); err != nil {
		t.Fatal(err)
	}
	if _, next, err := m.boot("a"); err != nil || next != "reboot" {
		t.Fatal(next, err)
	}
	slot, err := m.load()
	if err != nil || slot != "b" {
		t.Fatal(slot, err)
	}
	sim.FailAt, sim.Fail = sim.Ops()+1, syscall.ENOSPC
	u, _, err := m.boot("b", func(o *Options) { o.Reboot = func() error { return syscall.EPERM } })
	if !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, syscall.EPERM) {
		t.Fatal(err)
	}
	// It cannot even restart. It must not overwrite the program to fall back on.
	if err := send(u, programTwo, key.version(programTwo, "3.0")); !errors.Is(err, ErrTrial) {
		t.Error(err)
	}
	if u.deadline != nil {
		t.Error("there is a deadline")
	}
	m.want(m.on(), RolledBack, "a", "1.0")
}

func TestAPartitionThatIsTooSmallStaysAsItIs(t *testing.T) {
	key := newSigner(t)
	m := newPartitioned(t, disk.OS, t.TempDir(), key)
	big := make([]byte, 4097)
	if err := send(m.on(), big, key.version(big, "2.0")); !errors.Is(err, ErrSize) {
		t.Error(err)
	}
	if err := m.check("b"); err != nil {
		t.Error(err)
	}
	whole := big[:4096]
	if err := send(m.on(), whole, key.version(whole, "2.0")); err != nil {
		t.Error(err)
	}
	m.want(m.on(), OnTrial, "b", "2.0")
}

// After a power cut a transfer goes on with bytes that are there, and with no others: the device has
// lost some writes, and their checksums are on the disk.
func TestAfterAPowerCutATransferGoesOnWithWhatIsThere(t *testing.T) {
	key := newSigner(t)
	sig := key.version(programTwo, "2.0")
	resumed := 0
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		sim := disksim.New()
		m := newPartitioned(t, sim, "/box", key)
		u := m.on()
		if _, err := u.Begin(sig, int64(len(programTwo)), false); err != nil {
			t.Fatal(err)
		}
		for at := 0; at < 40; at += 5 {
			if _, err := u.Write(programTwo[at : at+5]); err != nil {
				t.Fatal(err)
			}
		}
		m.fs = sim.Restart(rnd)
		u = m.on()
		offset, err := u.Begin(sig, int64(len(programTwo)), false)
		if err != nil {
			t.Fatal(err)
		}
		if offset > 0 {
			resumed++
		}
		if err := send(u, programTwo, sig); err != nil {
			t.Fatalf("seed %d, from %d on: %v", seed, offset, err)
		}
	}
	if resumed == 0 {
		t.Error("none went on")
	}
}

func TestPartitionsNeedARestart(t *testing.T) {
	key := newSigner(t)
	m := newPartitioned(t, disk.OS, t.TempDir(), key)
	if u, _, err := m.boot("a", func(o *Options) { o.Reboot = nil }); u != nil || err == nil {
		t.Error(err)
	}
	if u, _, err := m.boot("c"); u != nil || err == nil {
		t.Error(err)
	}
}

func TestABootFileThatIsMalformed(t *testing.T) {
	f := &BootFile{Path: filepath.Join(t.TempDir(), "boot")}
	for _, text := range []string{"", "current=c\n", "try=a\n", "current=a\ntry=x\n"} {
		if err := os.WriteFile(f.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if current, err := f.Current(); err == nil {
			t.Errorf("%q is %s", text, current)
		}
		if f.Try("b") == nil {
			t.Errorf("%q: a try was noted", text)
		}
	}
}

// loopDevice is a real block device of 64 KiB.
func loopDevice(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("losetup needs root")
	}
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "-f", "--show", file).Output()
	if err != nil {
		t.Skip("there are no loop devices:", err)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if err := exec.Command("losetup", "-d", device).Run(); err != nil {
			t.Error(err)
		}
	})
	return device
}

func TestBlockDevices(t *testing.T) {
	key := newSigner(t)
	m := newOn(t, disk.OS, t.TempDir(), key, map[string]string{"a": loopDevice(t), "b": loopDevice(t)})
	sig := key.version(programTwo, "2.0")
	u := m.on()
	m.want(u, Settled, "a", "1.0")
	if _, err := u.Begin(sig, int64(len(programTwo)), false); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(programTwo[:21]); err != nil {
		t.Fatal(err)
	}
	u.close()
	u = m.on()
	if offset, err := u.Begin(sig, int64(len(programTwo)), false); offset != 20 || err != nil {
		t.Fatal(offset, err)
	}
	if err := send(u, programTwo, sig); err != nil {
		t.Fatal(err)
	}
	u = m.on()
	m.want(u, OnTrial, "b", "2.0")
	if err := u.Confirm(); err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 64<<10+1)
	if err := send(u, big, key.version(big, "3.0")); !errors.Is(err, ErrSize) {
		t.Error(err)
	}
	if err := send(u, big[1:], key.version(big[1:], "3.0")); err != nil {
		t.Fatal(err)
	}
	m.want(m.on(), OnTrial, "a", "3.0") // and it crashes
	u = m.on()
	m.want(u, RolledBack, "b", "2.0")

	// A partition that is mounted, as one that runs, is not written to.
	used, err := disk.OS.Device(m.devices["a"], true)
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	if err := send(u, programTwo, key.version(programTwo, "4.0")); !errors.Is(err, syscall.EBUSY) {
		t.Error(err)
	}
}

// The power is cut in Begin, and again in the transfer that goes on: no signature of before is beside
// bytes of the update.
func TestAPowerCutInBeginAndOneInTheTransfer(t *testing.T) {
	key := newSigner(t)
	sig := key.version(programTwo, "2.0")
	for cut := 1; cut <= 12; cut++ {
		for seed := range uint64(50) {
			rnd := rand.New(rand.NewPCG(seed, uint64(cut)))
			sim := disksim.New()
			m := newPartitioned(t, sim, "/box", key)
			u := m.on()
			sim.CutAt = sim.Ops() + cut
			if _, err := u.Begin(sig, int64(len(programTwo)), false); err != nil && !errors.Is(err, disksim.ErrCut) {
				t.Fatal(err)
			}
			sim = sim.Restart(rnd)
			m.fs = sim
			u = m.on()
			offset, err := u.Begin(sig, int64(len(programTwo)), false)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := u.Write(programTwo[offset:30]); err != nil {
				t.Fatal(err)
			}
			m.fs = sim.Restart(rnd)
			m.want(m.on(), Settled, "a", "1.0") // load checks the signatures
		}
	}
}

// A try that could not be taken back when the trial failed is taken back before the slot is
// overwritten.
func TestATryThatRemainsIsTakenBackByTheNextUpdate(t *testing.T) {
	key := newSigner(t)
	sim := disksim.New()
	m := newPartitioned(t, sim, "/box", key)
	u := m.on()
	if err := send(u, programTwo, key.version(programTwo, "2.0")); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Start(); err != nil {
		t.Fatal(err)
	}
	const opsOfFailed = 5 // the file "failed" is replaced
	sim.FailAt, sim.Fail = sim.Ops()+opsOfFailed+1, syscall.EIO
	if err := u.Failed(errors.New("no restart")); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if _, try, _ := m.bootFile().read(); try != "b" {
		t.Fatal("the try was taken back")
	}
	three := []byte("three")
	if _, err := u.Begin(key.version(three, "3.0"), int64(len(three)), false); err != nil {
		t.Fatal(err)
	}
	m.want(m.on(), RolledBack, "a", "1.0") // load checks what it could have started
}

// The checksums of the update that was dropped were durable, and those bytes are in the slot.
func TestChecksumsOfAnotherUpdateDoNotComeBack(t *testing.T) {
	key := newSigner(t)
	sig, other := key.version(programTwo, "2.0"), key.version(bytes.ToUpper(programTwo), "2.1")
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		sim := disksim.New()
		m := newPartitioned(t, sim, "/box", key)
		u := m.on()
		if _, err := u.Begin(sig, int64(len(programTwo)), false); err != nil {
			t.Fatal(err)
		}
		if _, err := u.Write(programTwo[:30]); err != nil {
			t.Fatal(err)
		}
		for range 2 { // first the update, then the other one that takes its place
			sim = sim.Restart(rnd)
			m.fs = sim
			u = m.on()
			if offset, err := u.Begin(other, int64(len(programTwo)), false); offset != 0 || err != nil {
				t.Fatalf("seed %d: it goes on at %d, %v", seed, offset, err)
			}
		}
	}
}

// Bytes that fsync(2) could not write may be in the page cache for clean ones: a part that is read
// again, and synced with success, would not have them on the disk.
func TestAfterADeviceCouldNotBeSyncedAllIsSentAgain(t *testing.T) {
	key := newSigner(t)
	sim := disksim.New()
	m := newPartitioned(t, sim, "/box", key)
	sig, u := key.version(programTwo, "2.0"), m.on()
	if _, err := u.Begin(sig, int64(len(programTwo)), false); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(programTwo); err != nil {
		t.Fatal(err)
	}
	sim.FailAt, sim.Fail = sim.Ops()+1, syscall.EIO
	if _, err := u.Finish(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if offset, err := u.Begin(sig, int64(len(programTwo)), false); offset != 0 || err != nil {
		t.Errorf("it goes on at %d, %v", offset, err)
	}
}
