package http

import (
	"strings"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// contentType returns the media type of the file: the one that the handler has set, else that of
// the extension, which kept knows if it is not nil.
func (s *fileReply) contentType(name string, kept *cachedFile) string {
	if kept != nil && s.x.usual() && s.opts.Types == nil {
		return kept.ctype
	}
	if start, end, found := findField(s.x.extra, "Content-Type"); found {
		return string(wire.Trim(s.x.extra[start+len("Content-Type:") : end-2]))
	}
	if t, ok := s.opts.Types[extension(name)]; ok && validValue(t) {
		return t
	}
	return contentType(name)
}

// extension returns the part of a file name after the last dot, in lower case.
func extension(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return ""
	}
	return strings.ToLower(name[i+1:])
}

// contentType returns the media type for the extension of a file name. The table is built in:
// firmware has no mime.types.
func contentType(name string) string {
	if t, ok := mediaTypes[extension(name)]; ok {
		return t
	}
	return "application/octet-stream"
}

const utf8 = "; charset=utf-8"

// mediaTypes are those that IANA has registered, as far as it has. Texts get a charset: without
// one, browsers guess.
var mediaTypes = map[string]string{
	"html": "text/html" + utf8, "htm": "text/html" + utf8, "xhtml": "application/xhtml+xml", "css": "text/css" + utf8,
	"js": "text/javascript" + utf8, "mjs": "text/javascript" + utf8, "json": "application/json", "map": "application/json",
	"wasm": "application/wasm", "webmanifest": "application/manifest+json", "jsonld": "application/ld+json",
	"geojson": "application/geo+json",

	"txt": textPlain, "log": textPlain, "conf": textPlain, "cfg": textPlain, "ini": textPlain, "text": textPlain,
	"md": "text/markdown" + utf8, "csv": "text/csv" + utf8, "tsv": "text/tab-separated-values" + utf8,
	"ics": "text/calendar" + utf8, "vtt": "text/vtt" + utf8, "xml": "text/xml" + utf8, "yaml": "application/yaml",
	"yml": "application/yaml", "toml": "application/toml", "rss": "application/rss+xml", "atom": "application/atom+xml",
	"pdf": "application/pdf", "rtf": "application/rtf", "epub": "application/epub+zip",

	"svg": "image/svg+xml", "png": "image/png", "apng": "image/apng", "jpg": "image/jpeg", "jpeg": "image/jpeg",
	"gif": "image/gif", "webp": "image/webp", "avif": "image/avif", "jxl": "image/jxl", "heic": "image/heic",
	"ico": "image/vnd.microsoft.icon", "bmp": "image/bmp", "tif": "image/tiff", "tiff": "image/tiff",

	"mp3": "audio/mpeg", "ogg": "audio/ogg", "oga": "audio/ogg", "opus": "audio/ogg", "wav": "audio/wav",
	"flac": "audio/flac", "m4a": "audio/mp4", "aac": "audio/aac", "mid": "audio/midi", "weba": "audio/webm",
	"mp4": "video/mp4", "m4v": "video/mp4", "webm": "video/webm", "ogv": "video/ogg", "mov": "video/quicktime",
	"mkv": "video/matroska", "mpg": "video/mpeg", "mpeg": "video/mpeg", "avi": "video/vnd.avi", "ts": "video/mp2t",
	"m3u8": "application/vnd.apple.mpegurl", "mpd": "application/dash+xml",

	"woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf", "ttc": "font/collection",
	"glb": "model/gltf-binary", "gltf": "model/gltf+json",

	"zip": "application/zip", "gz": "application/gzip", "tgz": "application/gzip", "tar": "application/x-tar",
	"zst": "application/zstd", "bz2": "application/x-bzip2", "xz": "application/x-xz", "7z": "application/x-7z-compressed",
	"rar": "application/vnd.rar", "jar": "application/java-archive", "apk": "application/vnd.android.package-archive",
	"bin": "application/octet-stream",
}
