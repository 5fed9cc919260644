package http

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// maxListed bounds the entries of a listing, for the loop waits while they are read, and maxListing its bytes.
const (
	maxListed  = 10_000
	maxListing = 2 << 20
)

// list answers with the entries of a directory: only those that are served.
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
	entries = slices.DeleteFunc(entries[:min(len(entries), maxListed)], func(e fs.DirEntry) bool {
		return e.Name()[0] == '.' && !s.opts.Dotfiles || strings.Contains(e.Name(), `\`) ||
			!e.IsDir() && !e.Type().IsRegular() && e.Type() != fs.ModeSymlink
	})
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	if cc := s.opts.CacheControl; cc != "" && !hasField(s.x.extra, "Cache-Control") {
		s.x.extra = appendField(s.x.extra, "Cache-Control", cc)
	}
	return ReplyBytes(s.c, 200, "text/html"+utf8, appendListing(nil, string(s.m.Path), dir == ".", entries, more))
}

// appendListing appends the page for the entries of the directory at path. Names are bytes, of any kind: each stands
// escaped for HTML as text, and percent-encoded in its link.
func appendListing(b []byte, path string, top bool, entries []fs.DirEntry, more bool) []byte {
	b = append(b, "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\">"+
		"<meta name=\"viewport\" content=\"width=device-width\"><title>"...)
	b = append(appendHTML(b, path), "</title></head>\n<body><h1>"...)
	b = append(appendHTML(b, path), "</h1>\n<ul>\n"...)
	if !top {
		b = append(b, "<li><a href=\"../\">../</a></li>\n"...)
	}
	for _, e := range entries {
		if more = more || len(b) > maxListing; len(b) > maxListing {
			break
		}
		slash := ""
		if e.IsDir() {
			slash = "/"
		}
		// "./" keeps a name with a colon from being taken for a URL with a scheme (RFC 3986 4.2).
		b = append(appendPercent(append(b, "<li><a href=\"./"...), e.Name()), slash...)
		b = append(appendHTML(append(b, "\">"...), e.Name()), slash...)
		b = append(b, "</a></li>\n"...)
	}
	b = append(b, "</ul>\n"...)
	if more {
		b = append(b, "<p>There are more.</p>\n"...)
	}
	return append(b, "</body></html>\n"...)
}

// appendHTML appends s escaped for text and quoted attributes, with U+FFFD for what is no UTF-8 and for control
// characters.
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
		case 'a' <= x && x <= 'z', 'A' <= x && x <= 'Z', isDigit(x), x == '-', x == '.', x == '_', x == '~':
			b = append(b, x)
		default:
			b = append(b, '%', hexDigits[x>>4], hexDigits[x&15])
		}
	}
	return b
}
