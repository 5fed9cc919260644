package metrics

import (
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// ContentType is the content type of the text that a Writer makes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// A Source writes metrics. It is called on the loop of the request that asks for them.
type Source = func(w *Writer)

// Handler replies with the metrics of all sources, in this order. It is for Mux.Handle.
func Handler(sources ...Source) func(c *conn.Conn, m *http.Message) {
	return func(c *conn.Conn, m *http.Message) {
		var w Writer
		for _, write := range sources {
			write(&w)
		}
		http.SetHeader(c, "Cache-Control", "no-store")
		http.ReplyBytes(c, 200, ContentType, w.Bytes())
	}
}

// Health replies with 200 while g, a *mgr.Manager or *mgr.Loops, takes new work, and with 503 from
// BeginDrain or Shutdown on. It is for Mux.Handle, and for the checks of a load balancer.
func Health(g mgr.Group) func(c *conn.Conn, _ *http.Message) {
	return func(c *conn.Conn, _ *http.Message) {
		http.SetHeader(c, "Cache-Control", "no-store")
		if g.Managers()[0].Draining() {
			http.Reply(c, 503, "text/plain; charset=utf-8", "draining\n")
			return
		}
		http.Reply(c, 200, "text/plain; charset=utf-8", "ok\n")
	}
}
