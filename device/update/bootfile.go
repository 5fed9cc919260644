package update

import (
	"fmt"
	"strings"

	"github.com/seed4930a636/mangusta/device/internal/disk"
)

// A BootFile is a BootLoader that is a file, for a script that starts the slots: one in an initramfs,
// or an init that mounts the slot and goes on in it. The file is a shell script of two lines, and is
// replaced as a whole, so that a power cut leaves the old content or the new one:
//
//	current=a
//	try=b
//
// The script starts the slot try, if there is one, and current otherwise. Before it starts try it
// has to take it out of the file, durably:
//
//	. /data/boot
//	slot=$current
//	if [ -n "$try" ]; then
//		slot=$try
//		printf 'current=%s\ntry=\n' "$current" >/data/boot.tmp && sync /data/boot.tmp &&
//			mv /data/boot.tmp /data/boot && sync /data || slot=$current
//	fi
//
// The file has to be there before the first start, with the slot that the factory has filled.
type BootFile struct {
	Path string

	disk disk.FS // replaced by tests
}

// Current implements BootLoader.
func (f *BootFile) Current() (string, error) {
	current, _, err := f.read()
	return current, err
}

// SetCurrent implements BootLoader.
func (f *BootFile) SetCurrent(slot string) error { return f.write(slot, "") }

// Try implements BootLoader.
func (f *BootFile) Try(slot string) error {
	current, try, err := f.read()
	if err != nil || try == slot {
		return err
	}
	return f.write(current, slot)
}

func (f *BootFile) read() (current, try string, err error) {
	text, err := disk.Read(diskOr(f.disk), f.Path, 1<<10)
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(text)) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name {
		case "current":
			current = value
		case "try":
			try = value
		}
	}
	if current != "a" && current != "b" || try != "" && try != "a" && try != "b" {
		return "", "", fmt.Errorf("%s has current=%q and try=%q, and not a or b", f.Path, current, try)
	}
	return current, try, nil
}

func (f *BootFile) write(current, try string) error {
	text := fmt.Sprintf("current=%s\ntry=%s\n", current, try)
	return disk.Replace(diskOr(f.disk), f.Path, []byte(text), 0o644)
}

func diskOr(d disk.FS) disk.FS {
	if d == nil {
		return disk.OS
	}
	return d
}
