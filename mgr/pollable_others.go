//go:build !linux

package mgr

// pollable reports whether fd can be polled. Only Linux tells.
func pollable(int) bool { return true }
