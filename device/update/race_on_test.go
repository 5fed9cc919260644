//go:build race

package update

const race = true
