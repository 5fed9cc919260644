package main

import (
	"context"
	"errors"
	"time"

	"github.com/seed4930a636/mangusta/device"
)

// actions declares the actions of the device.
func (p *product) actions() {
	p.dev.Action(device.Action{Name: "identify", Help: "Blink the LED for five seconds.", Role: device.User, Run: func(device.Who) error {
		if p.identified != nil {
			p.identified.Stop()
		}
		p.identified = p.m.AfterFunc(5*time.Second, func() { p.set(func(s *Settings) { s.Readings.Identifying = false }) })
		return p.set(func(s *Settings) { s.Readings.Identifying = true })
	}})
	p.dev.Action(device.Action{Name: "reboot", Help: "Restart the device. An update that is ready is tried then.",
		Confirm: "Restart the device now?", Run: func(device.Who) error {
			p.reboot = true
			p.m.AfterFunc(200*time.Millisecond, func() { p.end() }) // after the reply
			return nil
		}})
	p.dev.Action(device.Action{Name: "factory-reset", Help: "Forget all settings, users and files.",
		Confirm: "Forget all settings, users and files? This cannot be undone.", Run: p.factoryReset})
}

// factoryReset makes the device new, for another owner: of what its users have done, nothing stays.
func (p *product) factoryReset(device.Who) error {
	err := p.set(func(s *Settings) {
		readings := s.Readings
		*s = defaults()
		s.Readings = readings
	})
	p.forgetting.Go(func() { // it waits for the disk
		// The files go first: a power cut must not leave them to the next owner. Then again: until
		// Reset there may be uploads.
		err := errors.Join(p.clearFiles(), p.forgetCertificate(), p.dev.ForgetOld(context.Background()), p.owner.Reset(), p.clearFiles())
		p.logs.Clear()
		p.dev.ClearAudit()
		_, gone := p.hub.Delete(topicLogs)
		if err = errors.Join(err, gone); err != nil {
			p.log.Error("not all could be forgotten", "why", err)
		}
	})
	return err
}

// clearFiles deletes all files, if the device keeps any.
func (p *product) clearFiles() error {
	if p.files == nil {
		return nil
	}
	return p.files.Clear()
}
