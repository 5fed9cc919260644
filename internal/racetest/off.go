//go:build !race

// Package racetest tells tests whether the race detector watches them: it makes them some ten times
// slower, allocates, and has pools forget.
package racetest

// Enabled reports whether the program was built with -race.
const Enabled = false
