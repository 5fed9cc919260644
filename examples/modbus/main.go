// Command modbus shows the registers of a heat pump, or of whatever the tags in settings.go say, as
// the settings of a device: readings that follow the registers, and settings that are written to
// them. REST, JSON-RPC, the schema and the gauges come from package device.
//
//	go run ./examples/modbus -serial /dev/ttyUSB0 [-mode "19200 8E1"] [-echo]
//	go run ./examples/modbus -tcp 192.0.2.1:502
//
//	curl http://127.0.0.1:8080/api/settings
//	curl -X PATCH -H 'Content-Type: application/merge-patch+json' -d '{"target":45.5}' http://127.0.0.1:8080/api/settings
//
// Only callers on this machine are let in: examples/product shows how a device knows its owner.
package main

import (
	"errors"
	"flag"
	"log/slog"
	"os"
	"time"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/examples/internal/program"
	"github.com/seed4930a636/mangusta/examples/modbus/modbus"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/metrics"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/serial"
)

func main() { program.Check(run()) }

func run() error {
	flags := program.Register("127.0.0.1:8080")
	var web program.Web
	web.RegisterHosts(flag.CommandLine)
	path := flag.String("serial", "", "`path` of the serial line")
	mode := flag.String("mode", "19200 8E1", "speed, bits, parity and stop bits of the line")
	echo := flag.Bool("echo", false, "the line echoes what is sent, as some RS-485 adapters do")
	tcp := flag.String("tcp", "", "`address` and port of a device that speaks Modbus/TCP, in place of -serial")
	unit := flag.Int("unit", 1, "`number` of the unit")
	every := flag.Duration("every", time.Second, "`time` between two rounds of reading")
	flag.Parse()
	if (*path == "") == (*tcp == "") {
		return errors.New("either -serial or -tcp is needed")
	}
	if *unit < 1 || *unit > 247 {
		return errors.New("-unit: want 1 to 247")
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	m, err := flags.Manager(mgr.Options{Log: log})
	if err != nil {
		return err
	}
	defer m.Close()

	var x *modbus.Master
	if *tcp != "" {
		x = modbus.TCP(m, "tcp://"+*tcp)
	} else {
		line, err := serial.ParseMode(*mode)
		if err != nil {
			return err
		}
		x = modbus.RTU(m, *path, serial.Options{Mode: line}, modbus.Options{Echo: *echo})
	}
	dev, err := device.New(m, defaults(), device.Options{Log: log, Audit: func(e device.Entry) {
		log.Info("changed", "by", e.Who, "what", e.What, "from", e.From, "to", e.To)
	}})
	if err != nil {
		return err
	}
	last := ""
	if _, err = modbus.Bind(m, x, dev, modbus.BindOptions[Settings]{
		Unit: byte(*unit), Every: *every,
		OnError: func(err error) { log.Warn("modbus", "error", err) },
		After: func(s *Settings, err error) {
			s.Unit.Online, s.Unit.Error = err == nil, ""
			if err != nil {
				s.Unit.Error = err.Error()
			}
			if s.Unit.Error != last { // one that lasts is told once
				last = s.Unit.Error
				log.Warn("modbus", "online", s.Unit.Online, "error", last)
			}
		},
	}); err != nil {
		return err
	}

	mux := http.NewMux()
	dev.Mount(mux, "/api")
	mux.MustHandle("GET /metrics", metrics.Handler(metrics.Of(m), dev.Metrics))
	l, err := http.Listen(m, flags.URL(), mux.Serve, http.Options{Hosts: web.Hosts})
	if err != nil {
		return err
	}
	return program.Run(m, l)
}
