package tlsconn_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	nethttp "net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// An HTTPS server with a certificate in files, such as one of Let's Encrypt; here SelfSigned makes
// them. The client is net/http's.
func ExampleFiles() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if _, err := tlsconn.SelfSigned(dir, nil); err != nil {
		log.Fatal(err)
	}

	server, err := tlsconn.Files(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		log.Fatal(err)
	}
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	l, err := http.Listen(m, "https://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*http.Message); ok {
			http.Reply(c, 200, "text/plain", "secure: %v", c.Secure())
		}
	}, http.Options{TLS: server})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	url := "https://" + l.LocalAddr().String()

	go func() {
		defer stop()
		roots := x509.NewCertPool()
		cert, _ := os.ReadFile(filepath.Join(dir, "cert.pem"))
		roots.AppendCertsFromPEM(cert)
		client := &nethttp.Client{Transport: &nethttp.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
		r, err := client.Get(url)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		fmt.Printf("%s, %s\n", r.Status, body)
	}()
	m.Run(ctx)
	// Output:
	// 200 OK, secure: true
}

// A server that lets in one client, known by the key of its certificate. With ClientAuth
// tls.RequireAndVerifyClientCert, and ClientCAs, it lets in all to whom an authority has issued one.
func ExampleConfig_clientCertificates() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	mine := filepath.Join(dir, "client")
	if _, err := tlsconn.SelfSigned(mine, nil); err != nil {
		log.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(mine, "cert.pem"), filepath.Join(mine, "key.pem"))
	if err != nil {
		log.Fatal(err)
	}
	known := tlsconn.Pin(cert.Leaf)

	server, err := tlsconn.SelfSigned(dir, nil, tlsconn.Config{
		ClientAuth: tls.RequireAnyClientCert,
		VerifyConnection: func(state tls.ConnectionState) error {
			if tlsconn.Pin(state.PeerCertificates[0]) != known {
				return errors.New("an unknown client")
			}
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := tlsconn.NewClient(tlsconn.ClientConfig{
		RootFiles:    []string{filepath.Join(dir, "cert.pem")},
		Certificates: []tls.Certificate{cert},
	})
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
		switch ev := ev.(type) {
		case *tlsconn.Handshake:
			fmt.Println("the known client:", tlsconn.Pin(ev.State.PeerCertificates[0]) == known)
		case *conn.Accept:
			stop()
		}
	}, mgr.ListenOptions{TLS: server})
	if err != nil {
		log.Fatal(err)
	}
	_, err = m.Connect(fmt.Sprintf("tls://localhost:%d", l.LocalAddr().Port()), nil, mgr.ConnectOptions{TLS: client})
	if err != nil {
		log.Fatal(err)
	}
	m.Run(ctx)
	// Output:
	// the known client: true
}

// A client that knows the key of its server, and trusts no authority: that is enough for a device
// with a certificate of its own making. Another key ends the connection.
func ExampleClientConfig_pins() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server, err := tlsconn.SelfSigned(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		log.Fatal(err)
	}
	m, err := mgr.New(mgr.Options{Log: mgr.Silent})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	l, err := m.Listen("tls://127.0.0.1:0", nil, mgr.ListenOptions{TLS: server})
	if err != nil {
		log.Fatal(err)
	}
	for _, pin := range []string{tlsconn.Pin(cert.Leaf), "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="} {
		client, err := tlsconn.NewClient(tlsconn.ClientConfig{Insecure: true, Pins: []string{pin}})
		if err != nil {
			log.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		_, err = m.Connect("tls://"+l.LocalAddr().String(), func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Connect:
				fmt.Println("connected")
				c.Close()
			case *conn.Error:
				fmt.Println("another server:", errors.Is(ev.Err, tlsconn.ErrPin))
			case *conn.Close:
				stop()
			}
		}, mgr.ConnectOptions{TLS: client})
		if err != nil {
			log.Fatal(err)
		}
		for ctx.Err() == nil {
			if err := m.Poll(-1); err != nil {
				log.Fatal(err)
			}
		}
	}
	// Output:
	// connected
	// another server: true
}

// SIGHUP has a server read its certificates again. New connections get the new ones; open ones go
// on. Without a signal it looks at the files itself, once a minute (Config.Poll).
func ExampleServer_Reload() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server, err := tlsconn.SelfSigned(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	hangUps, reloaded := make(chan os.Signal, 1), make(chan error)
	signal.Notify(hangUps, syscall.SIGHUP)
	defer signal.Stop(hangUps)
	go func() {
		for range hangUps {
			reloaded <- server.Reload() // an error is worth a line in the log: the old ones stay
		}
	}()

	// The program goes on to listen; somebody renews the certificate, and sends the signal.
	before := server.Fingerprint()
	other, err := tlsconn.SelfSigned(filepath.Join(dir, "new"), nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"key.pem", "cert.pem"} {
		if err := os.Rename(filepath.Join(dir, "new", name), filepath.Join(dir, name)); err != nil {
			log.Fatal(err)
		}
	}
	syscall.Kill(os.Getpid(), syscall.SIGHUP)
	fmt.Println("error:", <-reloaded)
	fmt.Println("another certificate:", server.Fingerprint() != before && server.Fingerprint() == other.Fingerprint())
	// Output:
	// error: <nil>
	// another certificate: true
}
