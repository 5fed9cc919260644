package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sys/unix"
)

// These loads use crypto/tls and sockets that block, one after the other on one thread. That is slow,
// but what counts is the processor time of the server.

// fullHandshake is what the client of each connection wants: TLS 1.3 with X25519, and no resumption.
var fullHandshake = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519},
	NextProtos: []string{"http/1.1"}}

// A secured is a connection of these loads, with TLS or without.
type secured struct {
	io.Writer
	in     *bufio.Reader
	socket *blocking
}

func dialSecured(addr string, o *tls.Config) (*secured, error) {
	socket, err := dialBlocking(addr)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return &secured{socket, bufio.NewReader(socket), socket}, nil
	}
	c := tls.Client(socket, o)
	if err := c.Handshake(); err != nil {
		socket.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	if s := c.ConnectionState(); s.DidResume {
		socket.Close()
		return nil, errors.New("the handshake was not a full one")
	}
	return &secured{c, bufio.NewReader(c), socket}, nil
}

// ask sends a request, and returns the reply and its body.
func (c *secured) ask(request []byte) (*http.Response, []byte, error) {
	if _, err := c.Write(request); err != nil {
		return nil, nil, err
	}
	reply, err := http.ReadResponse(c.in, nil)
	if err != nil || reply.StatusCode == 101 {
		return reply, nil, err
	}
	b, err := io.ReadAll(reply.Body)
	return reply, b, err
}

// reset ends the connection without TIME_WAIT.
func (c *secured) reset() {
	unix.SetsockoptLinger(c.socket.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	c.socket.Close()
}

// handshaking is a load of connections that each carry one request: see accepting.
type handshaking struct{ tls *tls.Config }

func (h handshaking) run(p *process, length time.Duration) (r result, err error) {
	err = onLoadThread(p.addr, func(l *load) error {
		req := fmt.Appendf(nil, "GET /plaintext HTTP/1.1\r\nHost: %s\r\n\r\n", p.addr)
		m := newMeter(p, length)
		for !m.over {
			sent := now()
			c, err := dialSecured(p.addr, h.tls)
			if err != nil {
				return err
			}
			reply, body, err := c.ask(req)
			c.reset()
			if err != nil || reply.StatusCode != 200 || string(body) != "Hello, World!" {
				return fmt.Errorf("answered %q, %v", body, err)
			}
			t := now()
			m.op(1, t-sent)
			if err := m.at(t); err != nil {
				return err
			}
		}
		r, err = m.result(0)
		return err
	})
	return r, err
}

// fanning is broadcast over TLS, or, beside it, without.
type fanning struct {
	broadcast
	tls *tls.Config
}

func (f fanning) run(p *process, length time.Duration) (r result, err error) {
	err = onLoadThread(p.addr, func(l *load) error {
		r, err = f.measure(p, length)
		return err
	})
	return r, err
}

func (f fanning) measure(p *process, length time.Duration) (result, error) {
	var subs []*secured
	defer func() {
		for _, c := range subs {
			c.reset()
		}
	}()
	hello := upgradeRequest(p.addr, "/sub", false)
	for range f.subs {
		c, err := dialSecured(p.addr, f.tls)
		if err != nil {
			return result{}, err
		}
		subs = append(subs, c)
		if reply, _, err := c.ask(hello); err != nil || reply.StatusCode != 101 {
			return result{}, fmt.Errorf("not upgraded: %v", err)
		}
	}
	wave := bytes.Repeat(frame(payload(f.size), false), f.inFlight)
	want := bytes.Repeat(bare(payload(f.size)), f.inFlight)
	got := make([]byte, len(want))
	m := newMeter(p, length)
	m.least = 10 * f.inFlight * f.subs
	for !m.over {
		sent := now()
		if _, err := subs[0].Write(wave); err != nil {
			return result{}, err
		}
		for _, c := range subs {
			if _, err := io.ReadFull(c.in, got); err != nil {
				return result{}, err
			}
			if !bytes.Equal(got, want) {
				return result{}, fmt.Errorf("got %.100q", got)
			}
		}
		t := now()
		m.op(f.inFlight*f.subs, t-sent)
		if err := m.at(t); err != nil {
			return result{}, err
		}
	}
	return m.result(0)
}

// bare returns a server's text message of up to 64 KiB in one frame.
func bare(p []byte) []byte {
	b := []byte{0x81, byte(len(p))}
	if len(p) > 125 {
		b = []byte{0x81, 126, byte(len(p) >> 8), byte(len(p))}
	}
	return append(b, p...)
}
