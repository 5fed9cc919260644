package main

import (
	"os"
	"path/filepath"
	"time"
)

const (
	own  = "-tags=nogobwas"
	lean = "-gcflags=crypto/tls=-l -gcflags=crypto/x509=-l -gcflags=crypto/internal/fips140/rsa=-l"
)

// sizeWorks are about mangusta's programs as they are built for the processors of small boxes.
func sizeWorks() []work {
	var ws []work
	for _, x := range []struct{ name, title, program, flags string }{
		{"size-http", "HTTP only", "httponly", ""},
		{"size-http-client", "HTTP with the client", "httpclient", ""},
		{"size-websocket", "HTTP and WebSocket", "hello", ""},
		{"size-websocket-own", "HTTP and WebSocket, without gobwas/ws", "hello", own},
		{"size-https", "HTTPS", "httpsonly", ""},
		{"size-https-lean", "HTTPS, parts of crypto not inlined", "httpsonly", lean},
		{"size-wss", "WebSocket over TLS", "wssonly", ""},
		{"size-wss-lean", "WebSocket over TLS, parts of crypto not inlined", "wssonly", lean},
		{"size-wss-own", "WebSocket over TLS, without gobwas/ws", "wssonly", own},
	} {
		w := work{name: x.name, title: "size of the stripped static binary, " + x.title + ", by processor", what: programSize, once: true,
			pick: onlyAll, run: measureSize}
		for _, arch := range []string{"amd64", "arm64", "arm", "mipsle", "riscv64"} {
			w.servers = append(w.servers, server{name: "mangusta " + arch, program: x.program, args: []string{arch, x.flags}})
		}
		ws = append(ws, w)
	}
	return ws
}

// measureSize builds the program for the processor that its first argument names, with the
// flags of the second.
func measureSize(b bench, s server, _ time.Duration) (result, error) {
	dir := filepath.Join(b.bin, s.args[0])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return result{}, err
	}
	if err := goBuild(dir, "", []string{s.program}, false, "GOARCH="+s.args[0], "GOFLAGS="+os.Getenv("GOFLAGS")+" "+s.args[1]); err != nil {
		return result{}, err
	}
	info, err := os.Stat(filepath.Join(dir, s.program))
	if err != nil {
		return result{}, err
	}
	return result{Ops: 1, Size: float64(info.Size())}, nil
}
