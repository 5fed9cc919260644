package tls_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/metrics"
	tlsmetrics "github.com/seed4930a636/mangusta/metrics/tls"
	"github.com/seed4930a636/mangusta/tlsconn"
)

type figures tlsconn.Stats

func (f figures) Stats() tlsconn.Stats { return tlsconn.Stats(f) }

func TestSource(t *testing.T) {
	var w metrics.Writer
	tlsmetrics.Source(figures{
		Handshakes: 7, TLS12: 3, TLS13: 4, Resumed: 2,
		Failed: 9, FailedTLS12: 1, FailedTLS13: 5, Busy: 8, Crowded: 6, MadeRoom: 21, PlainHTTP: 10, Unfinished: 20, InFlight: 11,
		Alerts:  []tlsconn.Alert{{Description: 70, Count: 12}, {Description: 42, Received: true, Count: 13}, {Description: 255, Received: true, Count: 14}},
		Records: 15, Floods: 16, Truncated: 17, Reloads: 18, BadReloads: 19,
	}, "server", "a")(&w)
	var got []string
	for line := range strings.Lines(string(w.Bytes())) {
		if !strings.HasPrefix(line, "#") {
			got = append(got, strings.TrimPrefix(line, "mangusta_tls_"))
		}
	}
	want := `handshakes_total{server="a",version="1.2"} 3
handshakes_total{server="a",version="1.3"} 4
resumed_total{server="a"} 2
failed_total{server="a",version="1.2"} 1
failed_total{server="a",version="1.3"} 5
failed_total{server="a",version="none"} 3
unfinished_total{server="a"} 20
alerts_total{server="a",alert="protocol_version_not_supported",from="us"} 12
alerts_total{server="a",alert="bad_certificate",from="peer"} 13
alerts_total{server="a",alert="unknown",from="peer"} 14
handshakes_in_flight{server="a"} 11
busy_total{server="a"} 8
busy_by_address_total{server="a"} 6
made_room_total{server="a"} 21
plain_http_total{server="a"} 10
bad_records_total{server="a"} 15
floods_total{server="a"} 16
truncated_total{server="a"} 17
reloads_total{server="a"} 18
bad_reloads_total{server="a"} 19
`
	if strings.Join(got, "") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, ""), want)
	}
}

// The figures of a server. A program gives the source to metrics.Handler.
func ExampleSource() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	server, err := tlsconn.SelfSigned(dir, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var w metrics.Writer
	tlsmetrics.Source(server)(&w)
	for line := range strings.Lines(string(w.Bytes())) {
		if strings.HasPrefix(line, "mangusta_tls_handshakes") {
			fmt.Print(line)
		}
	}
	// Output:
	// mangusta_tls_handshakes_total{version="1.2"} 0
	// mangusta_tls_handshakes_total{version="1.3"} 0
	// mangusta_tls_handshakes_in_flight 0
}
