package server

import (
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

func TestMetricsAreWhatPrometheusReads(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		s := p.dial("topic=%23")
		for range 5 {
			p.publish("a", "12345678")
			s.next()
		}
		resp, text := p.ask("GET", "/metrics", "", "Authorization", "Bearer "+p.token)
		if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
			t.Errorf("Content-Type %q", kind)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]float64{"mangusta_hub_published_total": 5, "mangusta_hub_delivered_total": 5,
			"mangusta_hub_delivered_bytes_total": 40, "mangusta_hub_subscriptions": 1, "mangusta_hub_topics": 1, "mangusta_hub_history_messages": 5} {
			f := families[name]
			if f == nil || len(f.Metric) != 1 || f.Metric[0].GetCounter().GetValue()+f.Metric[0].GetGauge().GetValue() != want || f.GetHelp() == "" {
				t.Errorf("%s is %v, want %v", name, f, want)
			}
		}
		if f := families["broadcast_connections"]; f == nil || len(f.Metric) != 2 || f.Metric[0].GetGauge().GetValue() != 1 {
			t.Errorf("broadcast_connections is %v", f)
		}
		for _, name := range []string{"mangusta_loop_turns_total", "mangusta_http_request_seconds", "go_goroutines", "process_resident_memory_bytes"} {
			if families[name] == nil {
				t.Errorf("there is no %s", name)
			}
		}
	})
}
