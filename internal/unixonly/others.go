//go:build !unix

package unixonly

const _ int = "mangusta runs on Linux, and builds on macOS and the BSDs; it has no poll loop for this system"
