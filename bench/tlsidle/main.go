// Command tlsidle measures what an idle connection over TLS costs a server in memory: anonymous RSS
// and live heap, after a collection whose free pages went back to the system.
//
//	go run ./tlsidle -n 9000
//
// The rows: "http" and "ws" without TLS; "https" and "wss" with it, and with Compact; "bare", which
// is crypto/tls alone: a tls.Conn over a descriptor, after a request and its reply, and nothing
// else. That is the floor for a server with an unchanged crypto/tls whose buffers stay. Each server
// is a process of its own with GOMAXPROCS=1; the clients are another.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
	"github.com/seed4930a636/mangusta/websocket"
)

var rows = []string{"http", "ws", "bare", "https", "wss", "https compact", "wss compact"}

func main() {
	n := flag.Int("n", 9000, "connections")
	serve := flag.String("serve", "", "be the server of this row")
	load := flag.String("load", "", "be the clients of this row")
	addr := flag.String("addr", "", "of the server, for -load")
	flag.Parse()
	switch {
	case *serve != "":
		server(*serve)
	case *load != "":
		clients(*load, *addr, *n)
	default:
		fmt.Printf("| %d connections | RSS | heap |\n|---|---|---|\n", *n)
		for _, row := range rows {
			rss, heap := measure(row, *n)
			fmt.Printf("| %s | %d | %d |\n", row, rss, heap)
		}
	}
}

// measure returns the bytes for each connection.
func measure(row string, n int) (rss, heap int) {
	s, in, out := start("GOMAXPROCS=1", "-serve", row)
	defer end(s)
	r := bufio.NewReader(out)
	addr, _ := r.ReadString('\n')
	rss0, heap0 := ask(in, r)
	k, _, ready := start("", "-load", row, "-addr", strings.TrimSpace(addr), "-n", strconv.Itoa(n))
	defer end(k)
	if _, err := bufio.NewReader(ready).ReadString('\n'); err != nil {
		log.Fatal("the clients have ended: ", err)
	}
	rss1, heap1 := ask(in, r)
	return (rss1 - rss0) / n, (heap1 - heap0) / n
}

func start(env string, args ...string) (*exec.Cmd, io.Writer, io.Reader) {
	c := exec.Command(os.Args[0], args...)
	c.Env, c.Stderr = append(os.Environ(), env), os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		log.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Start(); err != nil {
		log.Fatal(err)
	}
	return c, in, out
}

func end(c *exec.Cmd) {
	c.Process.Kill()
	c.Wait()
}

// ask has a server measure itself.
func ask(in io.Writer, r *bufio.Reader) (rss, heap int) {
	fmt.Fprintln(in)
	line, _ := r.ReadString('\n')
	if _, err := fmt.Sscan(line, &rss, &heap); err != nil {
		log.Fatal("the server has ended: ", err)
	}
	return rss, heap
}

// answer answers ask.
func answer() {
	for r := bufio.NewReader(os.Stdin); ; {
		if _, err := r.ReadString('\n'); err != nil {
			os.Exit(0)
		}
		time.Sleep(time.Second) // the last handshakes
		for range 3 {           // pools are emptied by the second
			runtime.GC()
		}
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Println(anonymous(), m.HeapAlloc)
	}
}

// anonymous returns the bytes of RSS that are of no file.
func anonymous() int {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.Atoi(strings.Fields(v)[0])
			return n << 10
		}
	}
	return 0
}

// server serves one row. It prints its address first.
func server(row string) {
	dir, err := os.MkdirTemp("", "tlsidle")
	if err != nil {
		log.Fatal(err)
	}
	s, err := tlsconn.SelfSigned(dir, nil, tlsconn.Config{Compact: strings.HasSuffix(row, "compact")})
	if err != nil {
		log.Fatal(err)
	}
	if row == "bare" {
		cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
		if err != nil {
			log.Fatal(err)
		}
		os.RemoveAll(dir)
		bare(cert)
		return
	}
	os.RemoveAll(dir)
	m, err := mgr.New(mgr.Options{Log: mgr.Silent})
	if err != nil {
		log.Fatal(err)
	}
	url, o := "http://127.0.0.1:0", http.Options{IdleTimeout: -1}
	if overTLS(row) {
		url, o.TLS = "https://127.0.0.1:0", s
	}
	l, err := http.Listen(m, url, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			if strings.HasPrefix(row, "ws") {
				websocket.Upgrade(c, ev, nil)
			} else {
				http.Reply(c, 200, "text/plain", "hello")
			}
		case *websocket.Message:
			websocket.Send(c, ev.Op, ev.Data)
		}
	}, o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.LocalAddr())
	go answer()
	m.Run(context.Background())
}

func overTLS(row string) bool { return row != "http" && row != "ws" }

// bare is a server that keeps a tls.Conn for each connection.
func bare(cert tls.Certificate) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr())
	go answer()
	config := &tls.Config{Certificates: []tls.Certificate{cert}, DynamicRecordSizingDisabled: true}
	for b := make([]byte, 4096); ; {
		nc, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		f, err := nc.(*net.TCPConn).File() // its descriptor, without what package net has for it
		if err != nil {
			log.Fatal(err)
		}
		fd, err := syscall.Dup(int(f.Fd()))
		if err != nil {
			log.Fatal(err)
		}
		f.Close()
		nc.Close()
		c := tls.Server(descriptor(fd), config)
		if _, err := c.Read(b); err != nil {
			log.Fatal(err)
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
		keep = append(keep, c)
	}
}

// keep holds the connections of the floor.
var keep []*tls.Conn

// A descriptor is a net.Conn over a blocking descriptor.
type descriptor int

func (d descriptor) Read(p []byte) (int, error) {
	n, err := syscall.Read(int(d), p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}
func (d descriptor) Write(p []byte) (int, error)      { return syscall.Write(int(d), p) }
func (d descriptor) Close() error                     { return syscall.Close(int(d)) }
func (d descriptor) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (d descriptor) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (d descriptor) SetDeadline(time.Time) error      { return nil }
func (d descriptor) SetReadDeadline(time.Time) error  { return nil }
func (d descriptor) SetWriteDeadline(time.Time) error { return nil }

// clients open n connections, have one request or message answered on each, and keep them.
func clients(row, addr string, n int) {
	all := make([]net.Conn, n)
	turn := make(chan bool, 8)
	for i := range all {
		turn <- true
		go func() {
			c, err := dial(row, addr)
			if err != nil {
				log.Fatal(err)
			}
			all[i] = c
			<-turn
		}()
	}
	for range cap(turn) {
		turn <- true
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(all)
}

func dial(row, addr string) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if overTLS(row) {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) // it measures, and trusts nobody with anything
	}
	r := bufio.NewReader(c)
	if !strings.HasPrefix(row, "ws") {
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if err := skipHead(r); err != nil {
			return nil, err
		}
		_, err = io.ReadFull(r, make([]byte, len("hello")))
		return c, err
	}
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	if err := skipHead(r); err != nil {
		return nil, err
	}
	c.Write([]byte("\x81\x85\x00\x00\x00\x00hello"))
	_, err = io.ReadFull(r, make([]byte, len("\x81\x05hello")))
	return c, err
}

func skipHead(r *bufio.Reader) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil || line == "\r\n" {
			return err
		}
	}
}
