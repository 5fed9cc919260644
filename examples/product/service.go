package main

import (
	"os"
	"syscall"

	"github.com/seed4930a636/mangusta/handoff/systemd"
)

// A service is this program in the eyes of the service manager that has started it, if there is one:
// see packaging/systemd.
type service struct {
	sockets *systemd.Sockets  // on which it was told to listen
	tell    *systemd.Notifier // that it is ready, and alive
}

// newService comes after update.Boot, which may go on as another program: that one needs what is in the
// environment.
func newService() (s service, err error) {
	if s.sockets, err = systemd.Listeners(); err == nil {
		s.tell, err = systemd.NewNotifier()
	}
	return s, err
}

// serving says that the program serves, and that its loop turns, from now on.
func (p *product) serving() {
	p.service.tell.Watchdog(p.m)
	if err := p.service.tell.Ready(); err != nil {
		p.log.Error("the service manager does not hear that this service is ready", "why", err)
	}
	if left := p.service.sockets.Left(); left != nil {
		p.log.Warn("the service manager has opened sockets that no option names", "sockets", left)
	}
}

// restart starts the program anew, or has the service manager do it. It holds the sockets, and keeps
// count of the starts.
func (p *product) restart() error {
	if p.service.tell.Present() {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return p.exec(self)
}

// exec goes on as the program at path, with the same arguments.
func (p *product) exec(path string) error {
	args := os.Args
	if p.cfg.via != "" {
		args = append([]string{p.cfg.via, path}, os.Args[1:]...)
		path = p.cfg.via
	}
	return syscall.Exec(path, args, os.Environ())
}
