package metrics_test

import (
	"fmt"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/metrics"
	"github.com/seed4930a636/mangusta/mgr"
)

// A program's own figures.
func ExampleWriter() {
	var w metrics.Writer
	for _, oven := range []string{"left", "right"} {
		w.Gauge("plant_temperature_celsius", "Temperature of an oven.", 180.5, "oven", oven)
	}
	fmt.Print(string(w.Bytes()))
	// Output:
	// # HELP plant_temperature_celsius Temperature of an oven.
	// # TYPE plant_temperature_celsius gauge
	// plant_temperature_celsius{oven="left"} 180.5
	// plant_temperature_celsius{oven="right"} 180.5
}

// A page with the figures of a program, of its loop and of the process.
func ExampleHandler() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	orders := 7
	own := func(w *metrics.Writer) { w.Counter("shop_orders_total", "Orders taken.", float64(orders)) }
	x := http.NewMux()
	x.MustHandle("GET /metrics", metrics.Handler(own, metrics.Manager(m), metrics.Process))
	server := http.NewServer(http.Options{})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { http.Attach(c, server) }})
	d.Send("GET /metrics HTTP/1.1\r\nHost: device\r\n\r\n")
	for line := range strings.SplitSeq(d.Sent(), "\n") {
		if strings.HasPrefix(line, "shop_") || strings.HasPrefix(line, "mangusta_connections ") {
			fmt.Println(line)
		}
	}
	// Output:
	// shop_orders_total 7
	// mangusta_connections 0
}

// Requests counts what the handler of a listener gets, and what package http refuses.
func ExampleRequests() {
	requests := metrics.NewRequests()
	x := http.NewMux()
	x.MustHandle("GET /{$}", func(c *conn.Conn, m *http.Message) { http.Reply(c, 200, "text/plain", "hello") })
	server := http.NewServer(http.Options{})
	d := conntest.New(nil, requests.Count(x.Serve), conntest.Options{Setup: func(c *conn.Conn) { http.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\n\r\n", "GET /none HTTP/1.1\r\nHost: device\r\n\r\n", "nonsense\r\n\r\n")
	var w metrics.Writer
	requests.Write(&w) // Handler would
	for line := range strings.SplitSeq(string(w.Bytes()), "\n") {
		if strings.HasPrefix(line, "mangusta_http_requests_total") || strings.HasPrefix(line, "mangusta_http_bad") {
			fmt.Println(line)
		}
	}
	// Output:
	// mangusta_http_requests_total{status="1xx"} 0
	// mangusta_http_requests_total{status="2xx"} 1
	// mangusta_http_requests_total{status="3xx"} 0
	// mangusta_http_requests_total{status="4xx"} 1
	// mangusta_http_requests_total{status="5xx"} 0
	// mangusta_http_bad_requests_total 1
}

// A load balancer asks whether new connections are welcome.
func ExampleHealth() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	x := http.NewMux()
	x.MustHandle("GET /healthz", metrics.Health(m))
	server := http.NewServer(http.Options{})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { http.Attach(c, server) }})
	for range 2 {
		d.Send("GET /healthz HTTP/1.1\r\nHost: device\r\n\r\n")
		status, _, _ := strings.Cut(d.Sent(), "\r\n")
		fmt.Println(status)
		m.BeginDrain()
	}
	// Output:
	// HTTP/1.1 200 OK
	// HTTP/1.1 503 Service Unavailable
}
