package http

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// maxListed bounds the entries of a listing, since the loop waits while they are read; maxListing
// bounds its bytes.
const (
	maxListed  = 10_000
	maxListing = 2 << 20
)

// A listEntry is a file or a directory of a listing, after any link.
type listEntry struct {
	name string
	info fs.FileInfo
}

// list replies with the entries of a directory that are served.
func (s *fileReply) list(dir string) error {
	f, info, err := s.open(dir)
	if err != nil {
		return s.failFor(dir, fileStatus(err), err)
	}
	defer f.Close()
	d, ok := f.(fs.ReadDirFile)
	if !ok || !info.IsDir() {
		return s.fail(404)
	}
	entries, err := d.ReadDir(maxListed + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return s.failFor(dir, fileStatus(err), err)
	}
	more := len(entries) > maxListed
	var served []listEntry
	for _, e := range entries[:min(len(entries), maxListed)] {
		if e.Name()[0] == '.' && !s.opts.Dotfiles || strings.Contains(e.Name(), `\`) ||
			!e.IsDir() && !e.Type().IsRegular() && e.Type() != fs.ModeSymlink {
			continue
		}
		// A link may lead out of the root, to nothing, or to a file that is not served; and any
		// file may be gone by now.
		name := strings.TrimPrefix(dir+"/"+e.Name(), "./")
		info, err := s.stat(name)
		switch status := fileStatus(err); {
		case err == nil && (info.IsDir() || info.Mode().IsRegular()):
			served = append(served, listEntry{e.Name(), info})
		case status == 503, errors.Is(err, syscall.ENOMEM): // it says nothing of this entry: the next would fail, too
			return s.failFor(name, status, err)
		case err != nil && status >= 500:
			s.logFailure(name, err)
		}
	}
	slices.SortFunc(served, func(a, b listEntry) int { return strings.Compare(a.name, b.name) })
	if cc := s.opts.CacheControl; cc != "" && !hasField(s.x.extra, "Cache-Control") {
		s.x.extra = appendField(s.x.extra, "Cache-Control", cc)
	}
	return ReplyBytes(s.c, 200, "text/html"+utf8, appendListing(nil, string(s.m.Path), dir == ".", served, more))
}

// appendListing appends the page for the entries of the directory at path. Names may have any
// bytes: they are escaped for HTML in the text, and percent-encoded in the links.
func appendListing(b []byte, path string, top bool, entries []listEntry, more bool) []byte {
	b = append(b, "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\">"+
		"<meta name=\"viewport\" content=\"width=device-width\"><title>"...)
	b = append(appendHTML(b, path), "</title></head>\n<body><h1>"...)
	b = append(appendHTML(b, path), "</h1>\n<table>\n<tr><th align=\"left\">Name<th align=\"right\">Bytes<th align=\"left\">Changed (UTC)</tr>\n"...)
	if !top {
		b = append(b, "<tr><td><a href=\"../\">../</a><td><td></tr>\n"...)
	}
	for _, e := range entries {
		if more = more || len(b) > maxListing; len(b) > maxListing {
			break
		}
		slash := ""
		if e.info.IsDir() {
			slash = "/"
		}
		// "./" keeps a name with a colon from being taken for a URL with a scheme (RFC 3986 4.2).
		b = append(appendPercent(append(b, "<tr><td><a href=\"./"...), e.name), slash...)
		b = append(appendHTML(append(b, "\">"...), e.name), slash...)
		b = append(b, "</a><td align=\"right\">"...)
		if !e.info.IsDir() {
			b = strconv.AppendInt(b, e.info.Size(), 10)
		}
		b = append(b, "<td>"...)
		if mod := e.info.ModTime(); mod.After(clockless) { // else it was not set by a clock
			b = mod.UTC().AppendFormat(b, "2006-01-02 15:04:05")
		}
		b = append(b, "</tr>\n"...)
	}
	b = append(b, "</table>\n"...)
	if more {
		b = append(b, "<p>There are more.</p>\n"...)
	}
	return append(b, "</body></html>\n"...)
}

// appendHTML appends s escaped for text and quoted attributes. Bytes that are no UTF-8, and control
// characters, become U+FFFD.
func appendHTML(b []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '"':
			b = append(b, "&#34;"...)
		case r == '\'':
			b = append(b, "&#39;"...)
		case r < ' ' || r == 0x7f:
			b = append(b, "\ufffd"...)
		default:
			b = append(b, string(r)...)
		}
	}
	return b
}

const hexDigits = "0123456789ABCDEF"

// appendPercent appends s with all but the unreserved characters of RFC 3986 2.3 percent-encoded.
func appendPercent(b []byte, s string) []byte {
	for i := range len(s) {
		x := s[i]
		switch {
		case 'a' <= x && x <= 'z', 'A' <= x && x <= 'Z', wire.IsDigit(x), x == '-', x == '.', x == '_', x == '~':
			b = append(b, x)
		default:
			b = append(b, '%', hexDigits[x>>4], hexDigits[x&15])
		}
	}
	return b
}
