package tlsconn

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	ticketKeys = 7              // how many keys open tickets
	ticketsMax = 4096           // bytes of the file
	ticketLife = 24 * time.Hour // how long the newest key makes them

	lifeSeconds = int64(ticketLife / time.Second)

	// clockSet is the beginning of 2025 in seconds of Unix. A clock before that was never set: a
	// device begins in 1970.
	clockSet = 1735689600

	// lockTime is how long another process may keep the file; it needs some milliseconds.
	lockTime = 200 * time.Millisecond
)

// Tickets keep the keys of session tickets for one Server or several: see TicketFile. They are an
// interface, so that a program without them is linked without their code.
type Tickets interface {
	open() keeper
}

// A keeper are the Tickets of one Server.
type keeper interface {
	// renew replaces the newest key if it is due, and gives the keys to the Config then.
	renew(*tls.Config) error
}

// TicketFile keeps the keys of session tickets in a file, which is made with mode 0600. A program
// that reads it can read the TLS 1.2 sessions. A new key comes each day, and seven are kept;
// without a clock, after each day that the program has run. Several processes may share the file:
// each takes over the others' keys when it looks for a new one.
func TicketFile(name string) Tickets { return ticketFile(name) }

type ticketFile string

func (f ticketFile) open() keeper { return newTickets(string(f)) }

// tickets are the keys of session tickets in a file, which several processes may share. Each line
// has the time a key was made, in seconds of Unix, and the key in base64; the newest comes first.
//
// A key is replaced when it is a day old, by the clock if that is set, or by how long this process
// has used it. While the clock is not set, nothing is known of keys that seem to come from the
// future: they stay. If it is set, a key from more than a day ahead has a wrong time, and is
// replaced.
type tickets struct {
	file string
	now  func() (unix int64, up time.Duration) // the clock, and for how long the process has run

	// When the next key is to be made.
	dueUnix atomic.Int64
	dueUp   atomic.Int64 // 0 before the first renew

	mu   sync.Mutex
	keys []ticketKey
}

type ticketKey struct {
	made int64
	key  [32]byte
}

var started = time.Now()

func newTickets(file string) *tickets {
	return &tickets{file: file, now: func() (int64, time.Duration) { return time.Now().Unix(), time.Since(started) }}
}

// due reports whether the newest key has to be replaced.
func (t *tickets) due(unix int64, up time.Duration) bool {
	if int64(up) >= t.dueUp.Load() {
		return true
	}
	due := t.dueUnix.Load()
	return unix >= clockSet && (unix >= due || unix < due-2*lifeSeconds)
}

// renew replaces the newest key if it is due, and gives the keys to c. Keys of other processes in
// the file are taken over. When renew is called for the first time, an error says that the file
// cannot be used; later it says that the keys are in use, but not in the file.
func (t *tickets) renew(c *tls.Config) error {
	unix, up := t.now()
	if !t.due(unix, up) || !t.mu.TryLock() { // another handshake does it; this one uses the keys there are
		return nil
	}
	defer t.mu.Unlock()
	if unix, up = t.now(); !t.due(unix, up) {
		return nil
	}
	first := len(t.keys) == 0
	f, err := openLocked(t.file)
	var kept []ticketKey
	if err == nil {
		defer f.Close()
		kept, err = readTickets(f)
	}
	if err != nil && first {
		return fmt.Errorf("tlsconn: session ticket keys: %w", err)
	}
	keys := merge(kept, t.keys)
	used := !first && keys[0] == t.keys[0] // all the time since the last renew
	t.dueUp.Store(int64(up + ticketLife))
	if len(keys) > 0 {
		t.dueUnix.Store(keys[0].made + lifeSeconds)
	}
	if len(keys) == 0 || used || t.due(unix, up) {
		k := ticketKey{made: unix}
		rand.Read(k.key[:])
		keys = slices.Insert(keys, 0, k)
		t.dueUnix.Store(unix + lifeSeconds)
	}
	t.keys = keys[:min(len(keys), ticketKeys)]
	if err == nil && !slices.Equal(t.keys, kept) {
		err = writeTickets(t.file, t.keys)
	}
	raw := make([][32]byte, len(t.keys))
	for i, k := range t.keys {
		raw[i] = k.key
	}
	c.SetSessionTicketKeys(raw)
	if err != nil {
		return fmt.Errorf("tlsconn: session ticket keys: %w", err)
	}
	return nil
}

// merge returns the keys of the file, and then those of ours that are not among them.
func merge(kept, ours []ticketKey) []ticketKey {
	all := slices.Clone(kept)
	for _, k := range ours {
		if !slices.Contains(all, k) {
			all = append(all, k)
		}
	}
	return all
}

// openLocked opens the file, and makes an empty one if there is none. Closing it ends the lock. On
// a file system without locks, or if another process keeps the lock for long, there is none: merge
// loses a key only if two processes make one within the same moment.
func openLocked(name string) (*os.File, error) {
	for until := time.Now().Add(lockTime); ; {
		f, err := os.OpenFile(name, os.O_RDONLY|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		err = syscall.EWOULDBLOCK
		for err == syscall.EINTR || err == syscall.EWOULDBLOCK && time.Now().Before(until) {
			if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == syscall.EWOULDBLOCK {
				time.Sleep(time.Millisecond)
			}
		}
		// The one that had the lock may have replaced the file meanwhile.
		ours, err := f.Stat()
		named, err2 := os.Stat(name)
		if err != nil || err2 == nil && os.SameFile(ours, named) || time.Now().After(until) {
			return f, err
		}
		f.Close()
	}
}

// readTickets reads the keys. Others must not be able to read them.
func readTickets(f *os.File) (keys []ticketKey, err error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may read or write %s: it needs mode 0600", f.Name())
	}
	b := make([]byte, ticketsMax)
	n, err := io.ReadFull(f, b)
	if b = b[:n]; err != io.ErrUnexpectedEOF && err != io.EOF {
		if err == nil {
			err = fmt.Errorf("%s is damaged", f.Name())
		}
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		made, key, _ := strings.Cut(strings.TrimSpace(line), " ")
		var k ticketKey
		k.made, err = strconv.ParseInt(made, 10, 64)
		raw, err2 := base64.StdEncoding.DecodeString(key)
		if err != nil || err2 != nil || len(raw) != len(k.key) {
			return nil, fmt.Errorf("%s is damaged", f.Name())
		}
		copy(k.key[:], raw)
		keys = append(keys, k)
	}
	return keys, nil
}

func writeTickets(name string, keys []ticketKey) error {
	var b []byte
	for _, k := range keys {
		b = strconv.AppendInt(b, k.made, 10)
		b = base64.StdEncoding.AppendEncode(append(b, ' '), k.key[:])
		b = append(b, '\n')
	}
	return writeFile(name, b, 0o600)
}

// writeFile replaces a file as one, so that it is whole or as before after a loss of power.
func writeFile(name string, b []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	defer f.Close()
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if _, err = f.Write(b); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
