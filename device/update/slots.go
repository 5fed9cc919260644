package update

import (
	"fmt"
	"io"

	"aead.dev/minisign"
)

// Slots are the places of the two programs of a device. A slot is "a" or "b". The default are files
// in Options.Dir; Partitions are the other implementation. The Updater calls one method at a time,
// those of a Part included. But for Write of a Part, a change is durable when the method that makes
// it returns nil.
type Slots interface {
	BootLoader

	// Running returns the slot from which this process was started.
	Running() (string, error)

	// Path returns the name of the file, or of the device, that a slot is.
	Path(slot string) string

	// Open opens the program in a slot, and returns its signature. If there is no whole program in the
	// slot, because Receive had to give it up, it returns an error.
	Open(slot string) (sig []byte, program io.ReadCloser, err error)

	// Receive prepares a slot, which is not the one that runs, for the program that has this
	// signature and this size in bytes. Unless seen is nil, it goes on with the part of the same
	// program that is there: it writes that part to seen, and returns its length; or an error if
	// there is none. When seen is nil it begins anew.
	Receive(slot string, sig []byte, size int64, seen io.Writer) (p Part, offset int64, err error)

	// Drop removes the part that is there, and reports whether there was one.
	Drop() (was bool, err error)
}

// A BootLoader says which slot is started. A change is durable when the method returns nil.
type BootLoader interface {
	// Current returns the slot that is started.
	Current() (string, error)

	// SetCurrent makes slot the one that is started, and ends a try.
	SetCurrent(slot string) error

	// Try has slot started at the next start of the device, once: the boot loader forgets the try,
	// durably, before it starts the slot. "" takes a try back. Slots that are executed by the current
	// program need no try, and do nothing here.
	Try(slot string) error
}

// A Part is a program that is being received.
type Part interface {
	// Write takes the next bytes. It does not wait for the disk.
	io.Writer

	// Install makes the program, all of whose bytes were written, that of its slot.
	Install() error

	// Close ends the receiving; bytes that were received stay.
	Close() error
}

// other returns the slot that is not s.
func other(s string) string {
	if s == "a" {
		return "b"
	}
	return "a"
}

// check reads the program in a slot and compares it with its signature.
func check(s Slots, slot string, keys []minisign.PublicKey) (Image, error) {
	text, program, err := s.Open(slot)
	if err != nil {
		return Image{}, fmt.Errorf("update: slot %s: %w", slot, err)
	}
	defer program.Close()
	sig, err := readSignature(text, keys)
	if err != nil {
		return Image{}, fmt.Errorf("slot %s: %w", slot, err)
	}
	h := newHasher()
	if _, err := io.Copy(h, program); err != nil {
		return Image{}, fmt.Errorf("update: slot %s: %w", slot, err)
	}
	if !h.verify(sig) {
		return Image{}, fmt.Errorf("slot %s: %w", slot, ErrSignature)
	}
	return sig.Image, nil
}
