package http

import (
	"io/fs"
	"syscall"
	"time"
)

// sameFile reports whether a file has not changed between two Stats.
func sameFile(a, b fs.FileInfo) bool {
	x, ok := a.Sys().(*syscall.Stat_t)
	y, ok2 := b.Sys().(*syscall.Stat_t)
	return ok && ok2 && x.Dev == y.Dev && x.Ino == y.Ino && x.Size == y.Size && x.Mtim == y.Mtim && x.Ctim == y.Ctim
}

// quietSince reports whether a file is as it was at t. Of its two times, that of the last change of
// anything cannot be set by programs.
func quietSince(info fs.FileInfo, t time.Time) bool {
	return changed(info).Before(t) && info.ModTime().Before(t)
}

// changed returns when anything of a file last changed; the end of time when that is not known.
func changed(info fs.FileInfo) time.Time {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Unix(1<<40, 0)
	}
	return time.Unix(st.Ctim.Unix())
}
