package files

import (
	"cmp"
	"encoding/json"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device/internal/rest"
	"github.com/seed4930a636/mangusta/http"
)

// A Listing is what GET tells of a directory.
type Listing struct {
	Path    string  `json:"path"`           // "" is the root
	Entries []Entry `json:"entries"`        // directories first, by name
	More    int     `json:"more,omitempty"` // besides the first 10,000

	Used     int64 `json:"used"` // bytes of all files, whatever the directory
	Quota    int64 `json:"quota"`
	Files    int   `json:"files"` // and directories, of all
	MaxFiles int   `json:"max_files"`
	MaxSize  int64 `json:"max_size"` // bytes of one file
}

const maxEntries = 10_000

func (f *Files) get(c *conn.Conn, m *http.Message) {
	path, ok := parsePath(string(m.PathValue("path")))
	if !ok {
		f.fail(c, errName)
		return
	}
	_, download := m.QueryVar("download")
	later := rest.LaterOf(c, m.Later())
	err := f.run(func() {
		file, info, err := f.openFile(path)
		switch {
		case err != nil:
			later.Complete(func(c *conn.Conn) { f.fail(c, err) }, nil)
		case info.IsDir():
			file.Close()
			f.list(later, path)
		default:
			later.Complete(func(c *conn.Conn) { send(c, later.Message(), file, path, download) }, func() { file.Close() })
		}
	})
	if err != nil {
		f.fail(c, err)
	}
}

func (f *Files) list(later rest.Later, path string) {
	f.disk.Lock()
	l, err := f.listing(path)
	f.disk.Unlock()
	var text []byte // it may be long: the loop does not encode it
	if err == nil {
		text, err = json.Marshal(l)
	}
	later.Complete(func(c *conn.Conn) {
		if err != nil {
			f.fail(c, err)
			return
		}
		http.SetHeader(c, "Cache-Control", "no-store")
		http.ReplyBytes(c, 200, "application/json", append(text, '\n'))
	}, nil)
}

// listing is called with disk held.
func (f *Files) listing(path string) (Listing, error) {
	if err := f.count(); err != nil {
		return Listing{}, err
	}
	f.mu.Lock()
	l := Listing{Entries: []Entry{}, Used: f.usage.bytes, Quota: f.opts.MaxBytes, Files: f.usage.files, MaxFiles: f.opts.MaxFiles, MaxSize: f.opts.MaxFileBytes}
	f.mu.Unlock()
	if path != "." {
		l.Path = path
	}
	err := f.each(path, func(name string, info fs.FileInfo) (bool, error) {
		switch _, ok := parsePath(below(path, name)); {
		case !ok || !info.IsDir() && !info.Mode().IsRegular():
		case len(l.Entries) >= maxEntries:
			l.More++
		default:
			l.Entries = append(l.Entries, entryOf(name, info))
		}
		return true, nil
	})
	slices.SortFunc(l.Entries, func(a, b Entry) int {
		if a.Dir != b.Dir {
			if a.Dir {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return l, err
}

// shown are the kinds of files that a browser may show, by extension. None of them can have a
// script that would run.
var shown = map[string]string{
	"txt": "text/plain; charset=utf-8", "log": "text/plain; charset=utf-8", "csv": "text/plain; charset=utf-8",
	"json": "text/plain; charset=utf-8", "jsonl": "text/plain; charset=utf-8", "conf": "text/plain; charset=utf-8",
	"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
}

// send replies with a file.
func send(c *conn.Conn, m *http.Message, file *os.File, path string, download bool) {
	name := path[strings.LastIndexByte(path, '/')+1:]
	ext := ""
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		ext = strings.ToLower(name[i+1:])
	}
	kind := shown[ext]
	if kind == "" || download {
		http.SetHeader(c, "Content-Disposition", disposition(name))
	}
	if kind == "" {
		kind = "application/octet-stream"
	}
	// Whatever a browser makes of it, it is no page, script or frame of the device.
	http.SetHeader(c, "Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
	http.SetHeader(c, "X-Content-Type-Options", "nosniff")
	http.SetHeader(c, "Cross-Origin-Resource-Policy", "same-origin")
	http.SetHeader(c, "Content-Type", kind)
	http.ServeOpenFile(c, m, file, name, http.FileOptions{CacheControl: "no-cache"})
}

// disposition has a browser save the file under its name (RFC 6266 §4.3, RFC 8187 §3.2).
func disposition(name string) string {
	const hex = "0123456789ABCDEF"
	plain, coded := []byte{}, []byte{}
	for i := range len(name) {
		switch b := name[i]; {
		case 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '.' || b == '-' || b == '_':
			plain, coded = append(plain, b), append(coded, b)
		default:
			plain, coded = append(plain, '_'), append(coded, '%', hex[b>>4], hex[b&15])
		}
	}
	return `attachment; filename="` + string(plain) + `"; filename*=UTF-8''` + string(coded)
}
