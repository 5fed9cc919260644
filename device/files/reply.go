package files

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device/internal/rest"
	"github.com/seed4930a636/mangusta/http"
)

// A failure is what a client is told. Its text has nothing of the machine in it.
type failure struct {
	status int
	code   string
	text   string
}

func (e failure) Error() string { return e.text }
func (e failure) Code() string  { return e.code }

var (
	errName    = failure{400, "file-name", "no file can be called so"}
	errMissing = failure{404, "no-file", "there is no such file or directory"}
	errParent  = failure{409, "no-folder", "there is no such directory to put it in"}
	errThere   = failure{409, "file-exists", "there is one of that name"}
	errDir     = failure{409, "folder-exists", "a directory has that name"}
	errHolds   = failure{409, "not-empty", "the directory is not empty"}
	errCleared = failure{409, "cleared", "all files were deleted meanwhile"}
	errInto    = failure{409, "into-itself", "a directory cannot be put into itself"}
	errExists  = failure{412, "file-exists", "there is one of that name"}
	errLarge   = failure{413, "file-too-large", "the file is too large"}
	errQuota   = failure{507, "quota", "there is no room left: the files take all that they may"}
	errMany    = failure{507, "full", "there are too many files"}
	errDisk    = failure{507, "disk-full", "the disk is full"}
)

// failureOf returns what a client is told of err.
func (f *Files) failureOf(err error) failure {
	if known, ok := errors.AsType[failure](err); ok {
		return known
	}
	errno, _ := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, fs.ErrNotExist), errno == syscall.ENOTDIR, errno == syscall.ELOOP:
		return errMissing
	case errors.Is(err, fs.ErrPermission):
		return failure{403, "program", "the program itself may not do that"}
	case errno == syscall.ENOTEMPTY, errno == syscall.EEXIST:
		return errHolds
	case errno == syscall.ENAMETOOLONG:
		return errName
	case errno == syscall.ENOSPC, errno == syscall.EDQUOT:
		return errDisk
	case errno == syscall.EMFILE, errno == syscall.ENFILE:
		return errBusy
	case errno == 0: // os.Root has no value for a path that leads out
		return errMissing
	}
	f.opts.Log.Error("files: the disk fails", "why", err)
	return failure{500, "disk", "the disk fails"}
}

// fail replies with an error.
func (f *Files) fail(c *conn.Conn, err error) {
	e := f.failureOf(err)
	if e.status == 503 {
		http.SetHeader(c, "Retry-After", "1")
	}
	rest.Fail(c, e.status, e)
}
