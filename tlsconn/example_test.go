package tlsconn_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"os"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// A device makes its certificate, and a client that trusts it says hello.
func ExampleSelfSigned() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server, err := tlsconn.SelfSigned(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	client, err := tlsconn.NewClient(tlsconn.ClientConfig{RootFiles: []string{dir + "/cert.pem"}})
	if err != nil {
		log.Fatal(err)
	}
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	ctx, stop := context.WithCancel(context.Background())
	l, err := m.Listen("tls://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Accept); ok {
			c.WriteString("hello")
			c.Drain()
		}
	}, mgr.ListenOptions{TLS: server})
	if err != nil {
		log.Fatal(err)
	}
	_, err = m.Connect(fmt.Sprintf("tls://localhost:%d", l.LocalAddr().Port()), func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *tlsconn.Handshake:
			fmt.Println(tls.VersionName(ev.State.Version))
		case *conn.EOF:
			fmt.Printf("%s, truncated: %v\n", c.Recv.Bytes(), tlsconn.Truncated(c))
		case *conn.Error:
			fmt.Println(ev.Err)
		case *conn.Close:
			stop()
		}
	}, mgr.ConnectOptions{TLS: client})
	if err != nil {
		log.Fatal(err)
	}
	m.Run(ctx)
	// Output:
	// TLS 1.3
	// hello, truncated: false
}
