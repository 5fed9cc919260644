package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// program is one run of the example.
type program struct {
	t    *testing.T
	url  string
	stop func() // ends it in good order and waits for that
}

// start runs the program with these arguments, on a free port unless they name one.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"-listen", "127.0.0.1:0", "-state", filepath.Join(t.TempDir(), "device.json")}, args...), in, io.Discard)
		in.CloseWithError(fmt.Errorf("the program ended: %w", err))
		ended <- err
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	p := &program{t: t, url: strings.TrimPrefix(strings.TrimSpace(line), "device dashboard at ")}
	stopped := false
	p.stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the program ended with %v", err)
			}
		case <-time.After(patience):
			t.Error("the program did not end")
		}
	}
	t.Cleanup(p.stop)
	return p
}

// startFast is a program that samples five times a second.
func startFast(t *testing.T, args ...string) *program {
	t.Helper()
	file := filepath.Join(t.TempDir(), "device.json")
	if err := saveState(file, State{IntervalMS: minInterval.Milliseconds()}); err != nil {
		t.Fatal(err)
	}
	return start(t, append([]string{"-state", file}, args...)...)
}

func (p *program) get(path string) (*http.Response, string) {
	p.t.Helper()
	reply, err := http.Get(p.url + strings.TrimPrefix(path, "/"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return reply, string(body)
}

// page is a browser's side of the dialogue.
type page struct {
	t    *testing.T
	conn net.Conn
	in   io.ReadWriter
}

func (p *program) open() *page {
	p.t.Helper()
	c, early, _, err := ws.Dial(context.Background(), strings.Replace(p.url, "http", "ws", 1)+"hub")
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	pg := &page{t: p.t, conn: c, in: c}
	if early != nil { // frames that came together with the handshake
		pg.in = struct {
			io.Reader
			io.Writer
		}{early, c}
	}
	if err := wsutil.WriteClientText(c, []byte(`{"subscribe":{"hello":null,"sample":null,"state":null,"net":null,"log":null}}`)); err != nil {
		p.t.Fatal(err)
	}
	return pg
}

// set asks for an interval, as a page does, and returns the status and the error of the reply.
func (p *program) set(text string) (status int, why string) {
	p.t.Helper()
	reply, err := http.Post(p.url+"interval", "text/plain", strings.NewReader(text))
	if err != nil {
		p.t.Fatal(err)
	}
	defer reply.Body.Close()
	var doc struct{ Error string }
	if reply.StatusCode != 202 {
		if err := json.NewDecoder(reply.Body).Decode(&doc); err != nil {
			p.t.Fatalf("%s: %v", reply.Status, err)
		}
	}
	return reply.StatusCode, doc.Error
}

// mustSet is set for an interval that the device takes.
func (p *program) mustSet(text string) {
	p.t.Helper()
	if status, why := p.set(text); status != 202 {
		p.t.Fatalf("%s: %d, %s", text, status, why)
	}
}

// want reads on to the next document of that topic, which ok, when it is not nil, agrees with.
func (pg *page) want(topic string, ok func(doc map[string]any) bool) map[string]any {
	pg.t.Helper()
	for {
		if of, doc := pg.next(); of == topic && (ok == nil || ok(doc)) {
			return doc
		}
	}
}

// next returns the next document. The topic of what the Door itself says is "".
func (pg *page) next() (topic string, doc map[string]any) {
	pg.t.Helper()
	text, err := wsutil.ReadServerText(pg.in)
	if err != nil {
		pg.t.Fatalf("waiting for a document: %v", err)
	}
	var m struct {
		Topic string
		Data  map[string]any
	}
	if err := json.Unmarshal(text, &m); err != nil {
		pg.t.Fatalf("%v in %s", err, text)
	}
	return m.Topic, m.Data
}

// With -tls the device makes a certificate at its first start, which the page and its WebSocket
// use.
func TestOwnCertificate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	p := start(t, "-listen", "127.0.0.1:0", "-state", filepath.Join(t.TempDir(), "s"), "-tls", dir)
	if !strings.HasPrefix(p.url, "https://127.0.0.1:") {
		t.Fatalf("it is at %s", p.url)
	}
	pem, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	config := &tls.Config{RootCAs: roots}
	k := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: patience}
	defer k.CloseIdleConnections()
	reply, err := k.Get(p.url)
	if err != nil || reply.StatusCode != 200 {
		t.Fatal(reply, err)
	}
	reply.Body.Close()
	if reply, err = k.Get(p.url + "metrics"); err != nil {
		t.Fatal(err)
	}
	handshakes := regexp.MustCompile(`\nmangusta_tls_handshakes_total\{version="1.3"\} [1-9]`)
	figures, err := io.ReadAll(reply.Body)
	reply.Body.Close()
	if err != nil || !handshakes.Match(figures) {
		t.Errorf("the figures of TLS: %v\n%s", err, figures)
	}
	d := ws.Dialer{TLSConfig: config}
	c, _, _, err := d.Dial(context.Background(), strings.Replace(p.url, "http", "ws", 1)+"hub")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
