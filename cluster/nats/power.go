package nats

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	bootFile  = "mangusta-boot" // in Dir: the boot in which its server runs, or clean
	clean     = "clean"         // it has ended, and all is on the disk
	copyLimit = 5 * time.Minute // for a stream whose end may be lost
)

// mayLose reports whether a loss of power may take messages that were acknowledged, and no server
// is left that has them.
func (e *Engine) mayLose() bool {
	return e.opts.Dir != "" && e.opts.Sync >= 0 && e.opts.Cluster.Self == ""
}

// bootID names this boot of the machine; empty where nothing does.
func bootID() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}

// powerFailed reports whether the machine has ended under a server of Dir, and notes that one runs
// in this boot.
func (e *Engine) powerFailed() (bool, error) {
	if err := os.MkdirAll(e.opts.Dir, 0o700); err != nil {
		return false, err
	}
	was, err := os.ReadFile(filepath.Join(e.opts.Dir, bootFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	now := bootID()
	failed := err == nil && string(was) != clean && string(was) != now
	if failed {
		return true, nil // noted when the stream is renewed
	}
	return false, e.noteBoot(now)
}

// noteBoot writes what powerFailed reads.
func (e *Engine) noteBoot(text string) error {
	f, err := os.Create(filepath.Join(e.opts.Dir, bootFile))
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// noteEnd notes that the server has ended by itself.
func (e *Engine) noteEnd() error {
	syscall.Sync() // what it has written
	return e.noteBoot(clean)
}

// renewAlone renews the stream of Dir before others can reach the server: some of them may have
// been given what is lost.
func (e *Engine) renewAlone() error {
	x := &Engine{opts: e.opts, prefix: e.prefix, again: make(chan struct{}, 1)}
	x.opts.Listen, x.token = "", e.token
	x.ctx, x.cancel = context.WithTimeout(context.Background(), copyLimit)
	defer x.stop()
	if err := x.startServer(); err != nil {
		return err
	}
	if err := x.connect(); err != nil {
		return err
	}
	l, err := x.findStream(x.ctx)
	if errors.Is(err, errNoStream) {
		return e.noteBoot(bootID())
	}
	if err == nil {
		_, err = x.renew(x.ctx, l)
	}
	if err != nil {
		return err
	}
	return e.noteBoot(bootID())
}
