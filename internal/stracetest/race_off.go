//go:build !race

package stracetest

const race = false
