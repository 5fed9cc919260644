package middleware

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// keySize is the length of a new key, in bytes.
const keySize = 32

// maxKeyFile bounds the size of a key file, in bytes.
const maxKeyFile = 64 << 10

// SessionKeys returns the keys in the file at path, for SessionOptions.Keys. If there is no such
// file, it makes one with a new key, mode 0600. Even if power fails the file is complete or not
// there; if several processes start at once, one makes it and all use it. The directory must exist.
//
// Each line of the file is one key in base64. The first one signs, all verify: to change the key,
// put a new line before the old one ("openssl rand -base64 32" makes one), and delete the old line
// after MaxAge. Empty lines, and lines that begin with "#", do not count.
//
// A file that others than its owner may read or write is an error, since its keys may have been
// seen; so is a file without a good key. Errors wrap ErrSession, or are those of the file system.
func SessionKeys(path string) ([][]byte, error) {
	keys, err := readKeys(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeKeys(path); err == nil {
			keys, err = readKeys(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("middleware: session keys: %w", err)
	}
	return keys, nil
}

func readKeys(path string) ([][]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // opening a FIFO would wait for ever
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrSession, path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%w: %s has mode %#o: others may read or write it", ErrSession, path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("%w: %s is longer than %d bytes", ErrSession, path, maxKeyFile)
	}
	var keys [][]byte
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		key := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
		size, err := base64.StdEncoding.Strict().Decode(key, line)
		if err != nil || size < keySize {
			return nil, fmt.Errorf("%w: %s: line %d is not base64 of %d bytes at least", ErrSession, path, n, keySize)
		}
		keys = append(keys, key[:size])
	}
	if keys == nil {
		return nil, fmt.Errorf("%w: %s holds no key", ErrSession, path)
	}
	return keys, nil
}

// makeKeys makes the file, unless another process has made it meanwhile.
func makeKeys(path string) error {
	key := make([]byte, keySize)
	rand.Read(key) // never fails
	text := base64.StdEncoding.AppendEncode(nil, key)
	dir := filepath.Dir(path)
	f, err := os.OpenFile(filepath.Join(dir, ".session-keys-"+strconv.FormatInt(int64(os.Getpid()), 10)+"-"+rand.Text()+".part"),
		os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, does not replace the file of another process that was quicker. If
	// the file system has no links, the last process wins, and the sessions of the others end.
	switch err = os.Link(f.Name(), path); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		if err = os.Rename(f.Name(), path); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// syncDir makes sure that a new name in dir survives a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	d.Close()
	return err
}
