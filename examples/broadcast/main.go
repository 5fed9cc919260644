// Command broadcast is a broadcast API server: what is posted to a topic reaches all WebSockets and
// streams of server-sent events that have subscribed to it. http://127.0.0.1:8000/ shows what is
// going on.
//
//	go run ./examples/broadcast [-token-file FILE] [-history N] [-limit BYTES] [-policy skip|oldest|latest|close] [-rate N]
//		[-loops N] [-host NAME] [-origin ORIGIN] [-trusted-proxy NETWORK] [-tls-cert FILE -tls-key FILE]
//
//	POST /publish/{topic}    the body, text of up to 1 MiB, is the message
//	                         200 {"topic": "a/b", "offset": 12, "subscribers": 3}
//	GET /ws?topic=PATTERN    WebSocket of text messages {"topic": "a/b", "offset": 12, "data": …}; data is a string if it is not JSON
//	GET /events?topic=PATTERN
//	                         server-sent events of the type "message" with the same data; the id is the offset
//	                         those of the type "live" say that everything up to an offset has come, and that the link lives
//	GET /hub                 the two of them for mangusta.js, which GET /mangusta.js has: see docs/browser.md
//	GET /stats               the figures as JSON
//	GET /metrics             the figures for Prometheus
//	GET /healthz             200, or 503 when the server is about to end (-drain); it takes no token
//	GET /                    a page that shows them live, and publishes
//	POST /login              204 with a cookie, for browsers
//
// With a token, of -token-file, of BROADCAST_TOKEN in the environment or of -token, all of this but
// the page itself takes it: Authorization: Bearer TOKEN, the cookie of /login, or
// access_token=TOKEN in the query, which may show up in the logs of proxies.
//
// A topic has levels, as in "sensors/kitchen/temperature". In a pattern "+" stands for any one
// level and "#" at the end for any number: in a URL they are %2B and %23. There may be 32 topic
// parameters; a message that more than one matches comes once.
//
// With since=OFFSET, and with Last-Event-ID, which EventSource sends by itself, a subscriber gets
// what it missed after that offset, as far as -history keeps it, and then what is new; since=0 asks
// for all that is kept. What it cannot get, because history has it no longer or because the
// subscriber is too slow for -limit and -policy, it is told of in the place where it is missing:
// {"missed": 3}, an event of type "missed". With "reset": true the offset is none of this run of
// the program, and what history has is all that there is.
//
// A Last-Event-ID that is no offset is like one of another run: an EventSource that got an error
// would never come back.
//
// Errors are JSON, {"error": "…"}: 400 for a bad topic, pattern or since, 401, 403 for a page of
// another origin than this server's and those of -origin, 413, 415 for a body that is not UTF-8,
// and 429 with Retry-After for an address that publishes more than -rate messages a second and when
// the hub's queue is full.
package main

import (
	"flag"

	"github.com/seed4930a636/mangusta/examples/broadcast/server"
	"github.com/seed4930a636/mangusta/examples/internal/program"
)

func main() {
	flags := server.Register("127.0.0.1:8000")
	flag.Parse()
	program.Check(flags.Run(server.Options{}))
}
