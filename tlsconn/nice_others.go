//go:build !linux

package tlsconn

// setNice does nothing: priorities are those of whole processes.
func setNice(int) {}
