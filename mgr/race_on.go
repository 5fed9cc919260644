//go:build race

package mgr

const raceEnabled = true
