package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"aead.dev/minisign"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// exitReboot is the status of a program that restarts the device.
const exitReboot = 75

// partitioned changes the options of a program that is in a partition: there is a BootFile beside it.
func partitioned(o *Options, self string) {
	boot := filepath.Join(o.Dir, "boot")
	if _, err := os.Stat(boot); err != nil {
		return
	}
	o.Slots = &Partitions{A: filepath.Join(o.Dir, "a"), B: filepath.Join(o.Dir, "b"), Booted: filepath.Base(self),
		Dir: o.Dir, Boot: &BootFile{Path: boot, disk: o.disk}, disk: o.disk, chunk: 4 << 20}
	o.Reboot = func() error {
		fmt.Println("reboots")
		os.Exit(exitReboot)
		return nil
	}
}

// imageIn returns the image in a partition, without what the partition has after it.
func imageIn(self string, text []byte) ([]byte, error) {
	note, err := os.ReadFile(self + ".json")
	if err != nil {
		return text, nil // this is a slot of a directory
	}
	var r record
	if err := json.Unmarshal(note, &r); err != nil || r.Size > int64(len(text)) {
		return nil, fmt.Errorf("the record is %s", note)
	}
	return text[:r.Size], nil
}

// A device is a box with partitions, which are files, and a boot loader, which is a script.
type device struct {
	*box
	slot string // that was booted; "" when the device is to be started
}

func newDevice(t *testing.T) *device {
	t.Helper()
	b := newBox(t)
	d := &device{box: b}
	image, err := os.ReadFile(filepath.Join(b.dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	sig, err := os.ReadFile(filepath.Join(b.dir, "a.minisig"))
	if err != nil {
		t.Fatal(err)
	}
	note, err := json.Marshal(record{Size: int64(len(image)), Minisig: string(sig)})
	if err != nil {
		t.Fatal(err)
	}
	more := make([]byte, 10_000)
	for _, err := range []error{
		os.WriteFile(filepath.Join(b.dir, "a"), append(image, more...), 0o755),
		os.WriteFile(filepath.Join(b.dir, "b"), make([]byte, len(image)+len(more)), 0o755),
		os.WriteFile(filepath.Join(b.dir, "a.json"), note, 0o644),
		os.WriteFile(filepath.Join(b.dir, "boot"), []byte("current=a\ntry=\n"), 0o644),
		os.Remove(filepath.Join(b.dir, "a.minisig")),
		os.Remove(filepath.Join(b.dir, "current")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// start starts the program of the slot that was booted, as its supervisor would, and the device when
// the program restarts that; it returns what the programs say until one ends otherwise.
func (d *device) start(env ...string) string {
	d.t.Helper()
	said := ""
	for range 4 {
		if d.slot == "" {
			out, err := exec.Command("sh", "testdata/slot.sh", filepath.Join(d.dir, "boot")).Output()
			if err != nil {
				d.t.Fatal(err)
			}
			d.slot = strings.TrimSpace(string(out))
		}
		cmd := exec.Command(filepath.Join(d.dir, d.slot))
		cmd.Env = append(env, "KEY="+d.key.public)
		out, err := cmd.Output()
		var status *exec.ExitError
		if err != nil && !errors.As(err, &status) {
			d.t.Fatal(err)
		}
		said += string(out)
		if status == nil || status.ExitCode() != exitReboot {
			return strings.ReplaceAll(strings.TrimSpace(said), "\n", "; ")
		}
		d.slot = ""
	}
	d.t.Fatalf("it restarts for ever: %s", said)
	return ""
}

func (d *device) want(says string, env ...string) {
	d.t.Helper()
	if got := d.start(env...); got != says {
		d.t.Errorf("it says %q, want %q", got, says)
	}
}

// wantSigned wants all that may be started to be signed.
func (d *device) wantSigned() {
	d.t.Helper()
	o := Options{Dir: d.dir}
	partitioned(&o, "a")
	current, try, err := o.Slots.(*Partitions).Boot.(*BootFile).read()
	if err != nil {
		d.t.Fatal(err)
	}
	var k minisign.PublicKey
	if err := k.UnmarshalText([]byte(d.key.public)); err != nil {
		d.t.Fatal(err)
	}
	for _, slot := range []string{current, try} {
		if slot == "" {
			continue
		}
		if _, err := check(o.Slots, slot, []minisign.PublicKey{k}); err != nil {
			d.t.Fatalf("with current=%s try=%s: %v", current, try, err)
		}
	}
}

func TestDevicesUpdateAndRollBack(t *testing.T) {
	d := newDevice(t)
	d.want("runs 1.0 settled")
	next := func(version, mode string) string {
		file := filepath.Join(d.updates, version)
		d.put(file, version, mode)
		return "NEXT=" + file
	}
	d.want("runs 1.0 settled; ready", next("2.0", "good"))
	d.want("reboots; runs 2.0 on trial; confirmed 2.0")
	d.want("runs 2.0 settled")
	d.want("runs 2.0 settled; ready", next("3.0", "crash"))
	d.want("reboots; runs 3.0 on trial")
	d.want("reboots; runs 2.0 rolled back")
	d.want("runs 2.0 settled; ready", next("3.1", "hang"))
	d.want("reboots; runs 3.1 on trial; reboots; runs 2.0 rolled back") // at the deadline
	d.want("runs 2.0 settled; ready", next("3.2", "good"))
	d.slot = "" // the device is restarted by hand
	d.want("reboots; runs 3.2 on trial; confirmed 3.2")
	d.slot = ""
	d.want("runs 3.2 settled")
}

// kill -9 after each call that changes the disk. The supervisor starts the program again in the same
// slot, or the device is restarted, by turns. The short form does so after each third call.
func TestDevicesKilledAfterEachOperation(t *testing.T) {
	step := 3
	if exhaustive.On() {
		step = 1
	}
	for _, phase := range []struct{ name, slot, whole string }{
		{"receive", "a", "ready"},
		{"try", "a", "confirmed 2.0"},
		{"trial", "b", "confirmed 2.0"},
	} {
		t.Run(phase.name, func(t *testing.T) {
			t.Parallel()
			for at := 1; ; at += step {
				d := newDevice(t)
				file := filepath.Join(d.updates, "2.0")
				d.put(file, "2.0", "good")
				if phase.name != "receive" {
					d.want("runs 1.0 settled; ready", "NEXT="+file)
				}
				said := d.start("NEXT="+file, "KILL_SLOT="+phase.slot, "KILL_AT="+strconv.Itoa(at))
				d.wantSigned()
				if at%2 == 0 {
					d.slot = ""
				}
				whole := strings.HasSuffix(said, phase.whole)
				for range 6 {
					said = d.start("NEXT=" + file)
					if strings.HasSuffix(said, "confirmed 2.0") || strings.HasPrefix(said, "runs 2.0") {
						break
					}
				}
				d.slot = ""
				d.want("runs 2.0 settled")
				if whole {
					if at < 10 {
						t.Errorf("only %d operations", at)
					}
					return
				}
			}
		})
	}
}
