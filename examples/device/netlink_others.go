//go:build !linux

package main

import (
	"errors"

	"github.com/seed4930a636/mangusta/mgr"
)

// watchNetwork would read a routing socket here.
func watchNetwork(*mgr.Manager, func(...string)) error { return errors.ErrUnsupported }
