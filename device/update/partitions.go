package update

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/seed4930a636/mangusta/device/internal/disk"
)

// Partitions are slots that are partitions, each for the image of a file system, or of a program.
// An image is written straight into the slot that does not run, so there has to be room for two
// images, and not for three. The other slot is started by a boot loader: Options.Reboot has to be
// set.
//
//	u, err := update.Boot(update.Options{Keys: keys, Board: "box-2", Dir: "/data/box", Reboot: reboot,
//		Slots: &update.Partitions{A: "/dev/mmcblk0p2", B: "/dev/mmcblk0p3", Booted: slot, Dir: "/data/box",
//			Boot: &update.BootFile{Path: "/data/boot"}}})
//
// A partition may be larger than its image. A file system that runs must not be changed, not even
// by being mounted for writing: its signature is checked at each start.
//
// The directory has
//
//	a.json  b.json    of the image in a slot: {"size": 7340032, "minisig": "untrusted comment: …"}
//	incoming.json     the same of the image that is being received; its slot has no file then
//	incoming.sums     the CRC-32C of each 256 KiB that were written, in four bytes, big endian
//
// A transfer goes on after the last 256 KiB whose checksum is that of the partition, after a power
// cut too. The factory writes the file of the image that it installs; without it the version that
// runs is not known, and any update counts as newer.
//
// A boot loader with an environment, such as U-Boot or GRUB, needs a BootLoader of three methods:
// one that reads a variable, and two that set some at once, with fw_setenv(8) or grub-editenv(1). Its
// script counts a try down before it starts the slot.
type Partitions struct {
	A, B   string // devices, or files of the size of a partition
	Booted string // the slot that the boot loader has started, "a" or "b", such as /proc/cmdline says
	Dir    string // of the state, outside of both; it may be that of Options
	Boot   BootLoader

	// These are replaced by tests.
	disk  disk.FS
	chunk int // bytes that have a checksum
}

// A record is the content of a.json, b.json and incoming.json.
type record struct {
	Slot    string `json:"slot,omitempty"` // of incoming.json
	Size    int64  `json:"size"`
	Minisig string `json:"minisig"`
}

var _ Slots = (*Partitions)(nil)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (p *Partitions) file(name string) string { return filepath.Join(p.Dir, name) }

func (p *Partitions) chunkSize() int {
	if p.chunk == 0 {
		return 256 << 10
	}
	return p.chunk
}

// Running implements Slots.
func (p *Partitions) Running() (string, error) {
	if p.Booted != "a" && p.Booted != "b" {
		return "", fmt.Errorf("Partitions.Booted is %q, and not a or b", p.Booted)
	}
	return p.Booted, nil
}

// Current implements BootLoader.
func (p *Partitions) Current() (string, error) { return p.Boot.Current() }

// SetCurrent implements BootLoader.
func (p *Partitions) SetCurrent(slot string) error { return p.Boot.SetCurrent(slot) }

// Try implements BootLoader.
func (p *Partitions) Try(slot string) error { return p.Boot.Try(slot) }

// Path implements Slots.
func (p *Partitions) Path(slot string) string {
	if slot == "a" {
		return p.A
	}
	return p.B
}

// Open implements Slots.
func (p *Partitions) Open(slot string) (sig []byte, program io.ReadCloser, err error) {
	r, err := p.read(slot + ".json")
	if err != nil {
		return nil, nil, err
	}
	d, err := diskOr(p.disk).Device(p.Path(slot), false)
	if err != nil {
		return nil, nil, err
	}
	return []byte(r.Minisig), struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(d, 0, r.Size), d}, nil
}

func (p *Partitions) read(name string) (record, error) {
	var r record
	text, err := disk.Read(diskOr(p.disk), p.file(name), 2*maxSignature)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}

// Receive implements Slots.
func (p *Partitions) Receive(slot string, sig []byte, size int64, seen io.Writer) (Part, int64, error) {
	// The slot that is started must not be overwritten, whatever is noted; the other one runs.
	err := p.Boot.Try("")
	if err != nil {
		return nil, 0, err
	}
	if current, err := p.Boot.Current(); err != nil {
		return nil, 0, err
	} else if current == slot {
		if err := p.Boot.SetCurrent(other(slot)); err != nil {
			return nil, 0, err
		}
	}
	part := &partitionPart{p: p, slot: slot}
	if part.device, err = diskOr(p.disk).Device(p.Path(slot), true); err != nil {
		return nil, 0, err
	}
	has, err := part.device.Size()
	switch r := (record{Slot: slot, Size: size, Minisig: string(sig)}); {
	case err != nil:
	case has < size:
		err = fmt.Errorf("%w: %d bytes, of the %d of %s", ErrSize, size, has, p.Path(slot))
	case seen == nil:
		err = part.restart(r)
	default:
		err = part.resume(r, seen)
	}
	if err != nil {
		part.Close()
		return nil, 0, err
	}
	return part, part.at, nil
}

// Drop implements Slots.
func (p *Partitions) Drop() (was bool, err error) {
	err = p.remove("incoming.json")
	was = err == nil
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if e := p.remove("incoming.sums"); !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return was, err
}

func (p *Partitions) remove(name string) error { return diskOr(p.disk).Remove(p.file(name)) }

// A partitionPart is the beginning of an image in its slot.
type partitionPart struct {
	p      *Partitions
	slot   string
	device disk.Device
	at     int64
	sums   disk.File
	sum    uint32 // of the chunk that is not complete
	filled int    // bytes that it has
}

// restart makes the slot one without an image, durably, before its bytes are overwritten.
func (p *partitionPart) restart(r record) error {
	d := diskOr(p.p.disk)
	for _, name := range []string{p.slot + ".json", "incoming.json"} {
		if err := p.p.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	err := d.SyncDir(p.p.Dir)
	if err != nil {
		return err
	}
	// Checksums of another update must not come back beside this one's record.
	if p.sums, err = d.Create(p.p.file("incoming.sums"), 0o644); err != nil {
		return err
	}
	if err := p.sums.Sync(); err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return disk.Replace(d, p.p.file("incoming.json"), text, 0o644)
}

// resume reads the chunks that are as they were written.
func (p *partitionPart) resume(r record, seen io.Writer) error {
	d := diskOr(p.p.disk)
	if was, err := p.p.read("incoming.json"); err != nil {
		return err
	} else if was != r {
		return errors.New("another update")
	}
	chunk := make([]byte, p.p.chunkSize())
	sums, err := disk.Read(d, p.p.file("incoming.sums"), r.Size/int64(len(chunk))*4)
	if err != nil {
		return err
	}
	good := 0
	for ; len(sums[good:]) >= 4; good += 4 {
		if _, err := p.device.ReadAt(chunk, p.at); err != nil {
			return err
		}
		if crc32.Checksum(chunk, castagnoli) != binary.BigEndian.Uint32(sums[good:]) {
			break
		}
		if _, err := seen.Write(chunk); err != nil {
			return err
		}
		p.at += int64(len(chunk))
	}
	if p.sums, _, err = d.Append(p.p.file("incoming.sums")); err != nil {
		return err
	}
	return p.sums.Truncate(int64(good))
}

func (p *partitionPart) Write(b []byte) (int, error) {
	n, err := p.device.WriteAt(b, p.at)
	p.at += int64(n)
	for b = b[:n]; len(b) > 0; {
		part := b[:min(len(b), p.p.chunkSize()-p.filled)]
		b = b[len(part):]
		p.sum = crc32.Update(p.sum, castagnoli, part)
		if p.filled += len(part); p.filled < p.p.chunkSize() {
			continue
		}
		var sum [4]byte
		binary.BigEndian.PutUint32(sum[:], p.sum)
		if _, e := p.sums.Write(sum[:]); e != nil {
			return n, errors.Join(err, e)
		}
		p.sum, p.filled = 0, 0
	}
	return n, err
}

// Install has one rename give the slot its signature and its length.
func (p *partitionPart) Install() error {
	d := diskOr(p.p.disk)
	if err := p.device.Sync(); err != nil {
		// The next one may succeed without the bytes that were lost: they are sent again.
		_, e := p.p.Drop()
		return errors.Join(err, e)
	}
	if err := d.Rename(p.p.file("incoming.json"), p.p.file(p.slot+".json")); err != nil {
		return err
	}
	if err := p.p.remove("incoming.sums"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.SyncDir(p.p.Dir)
}

func (p *partitionPart) Close() error {
	if p.sums != nil {
		p.sums.Close()
	}
	return p.device.Close()
}
