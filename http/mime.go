package http

import "strings"

// contentType returns the media type for the extension of a file name. The table is built in: firmware has no mime.types.
func contentType(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return "application/octet-stream"
	}
	if t, ok := mediaTypes[strings.ToLower(name[i+1:])]; ok {
		return t
	}
	return "application/octet-stream"
}

const utf8 = "; charset=utf-8"

var mediaTypes = map[string]string{
	"html": "text/html" + utf8, "htm": "text/html" + utf8, "css": "text/css" + utf8, "txt": textPlain,
	"md": "text/markdown" + utf8,
	"js": "text/javascript" + utf8, "mjs": "text/javascript" + utf8, "json": "application/json", "map": "application/json",
	"csv": "text/csv" + utf8, "log": textPlain, "xml": "text/xml" + utf8, "yaml": "application/yaml", "yml": "application/yaml",
	"webmanifest": "application/manifest+json", "wasm": "application/wasm", "pdf": "application/pdf",
	"svg": "image/svg+xml", "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif",
	"webp": "image/webp", "avif": "image/avif", "ico": "image/vnd.microsoft.icon", "bmp": "image/bmp",
	"mp3": "audio/mpeg", "ogg": "audio/ogg", "wav": "audio/wav", "flac": "audio/flac", "m4a": "audio/mp4",
	"mp4": "video/mp4", "webm": "video/webm", "m3u8": "application/vnd.apple.mpegurl", "ts": "video/mp2t",
	"woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf",
	"zip": "application/zip", "gz": "application/gzip", "tar": "application/x-tar", "bin": "application/octet-stream",
}
