// Package logs keeps the last lines of a program's log, for a page that shows them.
//
//	log := logs.New(logs.Options{Next: slog.NewTextHandler(os.Stderr, nil)})
//	slog.SetDefault(slog.New(log.Handler()))
//	log.Mount(x, "/logs", o.Allow(device.Admin, "logs"))
//	log.Publish(m, hub, "logs")
//
// Each record is kept as a line of JSON, as slog.JSONHandler writes it, with a number in front:
//
//	{"n":4294967297,"time":"2026-11-29T14:03:05Z","level":"INFO","msg":"audit","who":"ann"}
//
// The numbers rise by one. Those of each run of the program begin elsewhere, so that a page which
// comes back with a number of an earlier run is recognized. A page reads the kept lines with GET,
// and follows the topic for those that come after; a gap in the numbers says that lines were left
// out. An attribute that is called n is kept as n_.
//
// Memory is bounded: the oldest lines make room, long lines are cut, and a flood of lines reaches
// the topic only at the speed of the loop. The log never waits for a page.
package logs
