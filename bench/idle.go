package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"time"
)

// idle opens n WebSockets, lets the server come to rest, and returns how much its memory grew for each.
func idle(p *process, path string, n int) (float64, error) {
	before, err := p.rss()
	if err != nil {
		return 0, err
	}
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range n {
		c, err := upgrade(p.addr, path)
		if err != nil {
			return 0, fmt.Errorf("connection %d: %w", len(conns)+1, err)
		}
		conns = append(conns, c)
	}
	time.Sleep(2 * time.Second) // for what the server's runtime gives back
	after, err := p.rss()
	if err != nil {
		return 0, err
	}
	return float64(after-before) / float64(n), nil
}

// upgrade opens one WebSocket.
func upgrade(addr, path string) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", path, addr)
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
	if err != nil {
		c.Close()
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		c.Close()
		return nil, fmt.Errorf("answered %s", resp.Status)
	}
	return c, nil
}
