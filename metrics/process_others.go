//go:build !linux

package metrics

func writeProcess(*Writer) {}
