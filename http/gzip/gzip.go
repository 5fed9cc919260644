// Package gzip makes replies of package http smaller:
//
//	http.Listen(m, url, h, http.Options{Compress: gzip.New()})
//
// It is a package of its own so that programs that do not compress do not link compress/gzip. It
// shadows that package's name.
//
// A reply that contains both a secret and text of an attacker's choice should not be compressed:
// its length reveals the secret (BREACH). Cache-Control: no-transform, set by the handler, keeps a
// reply as it is.
package gzip

import (
	"compress/gzip"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed4930a636/mangusta/http"
)

// Options are the settings of a Compressor. Zero fields mean the defaults.
type Options struct {
	Level      int                           // of compress/gzip, 1 to 9 and -2; default 1, the fastest
	MinSize    int                           // bytes of a body that are worth it; default 1024
	MaxStreams int                           // bodies being compressed at a time, about 1 MB each; default 16
	Types      func(contentType string) bool // which types are compressed; default Compressible
}

// A Compressor is a http.Compressor for the content coding gzip. It is safe for concurrent use, so
// all loops of a program may share one.
type Compressor struct {
	opts Options
	pool sync.Pool // of *encoder
	open atomic.Int64
}

// New makes a Compressor. It panics if Options.Level is not valid.
func New(opts ...Options) *Compressor {
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.Level == 0 {
		o.Level = gzip.BestSpeed
	}
	if o.MinSize == 0 {
		o.MinSize = 1024
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = 16
	}
	if o.Types == nil {
		o.Types = Compressible
	}
	if _, err := gzip.NewWriterLevel(nil, o.Level); err != nil {
		panic("gzip: " + err.Error())
	}
	return &Compressor{opts: o}
}

var _ http.Compressor = (*Compressor)(nil)

// Coding returns "gzip".
func (c *Compressor) Coding() string { return "gzip" }

// Wants reports whether bodies of that type and size are to be compressed.
func (c *Compressor) Wants(contentType string, size int) bool {
	return (size < 0 || size >= c.opts.MinSize) && c.opts.Types(contentType)
}

// Begin begins a body. It returns nil if MaxStreams are under way.
func (c *Compressor) Begin() http.Encoder {
	if c.open.Add(1) > int64(c.opts.MaxStreams) {
		c.open.Add(-1)
		return nil
	}
	e, _ := c.pool.Get().(*encoder)
	if e == nil {
		e = &encoder{from: c}
		e.w, _ = gzip.NewWriterLevel(&e.out, c.opts.Level) // New has tried the level
	} else {
		e.w.Reset(&e.out)
	}
	return e
}

// An encoder codes one body after the other.
type encoder struct {
	from *Compressor
	w    *gzip.Writer
	out  output
}

// output is an io.Writer that appends and never fails.
type output []byte

func (o *output) Write(p []byte) (int, error) {
	*o = append(*o, p...)
	return len(p), nil
}

func (e *encoder) Append(dst, p []byte, last bool) []byte {
	e.out = dst
	e.w.Write(p)
	if last {
		e.w.Close()
	} else {
		e.w.Flush()
	}
	dst, e.out = e.out, nil
	if last {
		e.Drop()
	}
	return dst
}

// Most allows for a head, a tail, and the bytes that flate adds to a block that it cannot make
// smaller.
func (e *encoder) Most(n int) int { return n + n/256 + 128 }

func (e *encoder) Drop() {
	e.from.open.Add(-1)
	e.from.pool.Put(e)
}

// Compressible reports whether bodies of the type usually become much smaller: text, JSON, XML,
// JavaScript, SVG, WebAssembly and uncompressed fonts. Streams of events are not: each event would
// have to be flushed, which costs more than it saves.
func Compressible(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	switch t {
	case "application/json", "application/javascript", "application/xml", "application/wasm", "application/x-ndjson",
		"image/svg+xml", "image/bmp", "image/x-icon", "image/vnd.microsoft.icon", "font/ttf", "font/otf",
		"application/vnd.ms-fontobject":
		return true
	case "text/event-stream":
		return false
	}
	return strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml")
}
