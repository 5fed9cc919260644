//go:build !linux

package network

import (
	"errors"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// Read returns errors.ErrUnsupported.
func Read() (Status, error) { return Status{}, errors.ErrUnsupported }

func announcements(_ *mgr.Manager, _, _ func()) (*conn.Conn, error) {
	return nil, errors.ErrUnsupported
}
