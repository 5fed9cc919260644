//go:build !linux

package serial

import (
	"errors"
	"fmt"
	"runtime"
)

var errSystem = fmt.Errorf("serial: not on %s: %w", runtime.GOOS, errors.ErrUnsupported)

type kernel struct {
	queued   func(fd int) (int, error)
	dup      func(fd int) (int, error)
	close    func(fd int) error
	setBreak func(fd int, on bool) error
}

var sys = kernel{
	queued:   func(int) (int, error) { return 0, errSystem },
	dup:      func(int) (int, error) { return -1, errSystem },
	close:    func(int) error { return errSystem },
	setBreak: func(int, bool) error { return errSystem },
}

func openLine(string) (int, error)    { return -1, errSystem }
func flushLine(int, bool, bool) error { return errSystem }
func readMode(int) (Mode, error)      { return Mode{}, errSystem }
func (p *Port) claim(*Options) error  { return errSystem }
func (p *Port) releaseFD(int)         {}
func (p *Port) setMode(Mode) error    { return errSystem }

// Lines asks for the control lines.
func (p *Port) Lines() (Lines, error) { return Lines{}, errSystem }

// SetRTS raises or drops RTS.
func (p *Port) SetRTS(bool) error { return errSystem }

// SetDTR raises or drops DTR.
func (p *Port) SetDTR(bool) error { return errSystem }

// Queued returns how many bytes the kernel has taken and the line has not sent yet.
func (p *Port) Queued() (int, error) { return 0, errSystem }

// Flush drops what the kernel holds.
func (p *Port) Flush(input, output bool) error { return errSystem }

// SetRS485 has the driver switch the direction of a two-wire line.
func (p *Port) SetRS485(RS485) error { return errSystem }
