package device

import (
	"strings"

	"github.com/seed4930a636/mangusta/metrics"
)

// Metrics is a metrics.Source: a gauge for each setting or reading that is a number or a bool. The
// gauge of "wifi.power" is called "device_wifi_power". A time.Duration is in seconds, whatever its
// unit is elsewhere.
func (d *core) Metrics(w *metrics.Writer) {
	v := d.settings()
	for _, f := range d.fields {
		x, ok := f.number(v)
		if !ok {
			continue
		}
		name := "device_" + metricName(f.Path)
		if f.kind == kindDuration {
			name += "_seconds"
		}
		help := f.Help
		if help == "" {
			help = f.Path
		}
		w.Gauge(name, help, x)
	}
}

// metricName replaces what a name of Prometheus cannot have.
func metricName(path string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, path)
}
