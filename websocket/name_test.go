package websocket

import (
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// namedTLS notes for which name TLS is asked.
type namedTLS struct{ host string }

func (d *namedTLS) DialTLS(_ *conn.Conn, host string) { d.host = host }

// A host name goes to the Resolver, and to TLS as the name that the certificate must be for.
func TestConnectByName(t *testing.T) {
	asked := ""
	m, err := mgr.New(mgr.Options{Resolver: mgr.ResolverFunc(func(_ *mgr.Manager, name string, _ func(mgr.Resolved)) func() {
		asked = name
		return func() {}
	})})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var tls namedTLS
	if _, err := Connect(m, "wss://server.test/path", nil, &ClientOptions{TLS: &tls}); err != nil {
		t.Fatal(err)
	}
	if asked != "server.test" || tls.host != "server.test" {
		t.Errorf("asked for %q, TLS for %q", asked, tls.host)
	}
}
