package main

import (
	"bufio"
	"bytes"
	"fmt"
	"log"
	"net/netip"
	"os"
	"runtime/metrics"
	"time"

	"golang.org/x/sys/unix"
)

// hello is the request that opens a WebSocket.
func hello(host string) []byte {
	return fmt.Appendf(nil, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", host)
}

// clients opens n WebSockets. After the first line on its input they are silent; after the second
// each sends 64 bytes in each period, evenly spread, and reads what has come back.
func clients(addr string, n int, every time.Duration) {
	to, err := netip.ParseAddrPort(addr)
	check(err)
	peer := &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	in := bufio.NewReader(os.Stdin)
	in.ReadString('\n')
	fds := make([]int, n)
	buf := make([]byte, 4096)
	for i := range fds {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		check(err)
		check(unix.Connect(fd, peer))
		_, err = unix.Write(fd, hello(addr))
		check(err)
		if k, err := unix.Read(fd, buf); err != nil || !bytes.HasPrefix(buf[:max(k, 0)], []byte("HTTP/1.1 101 ")) {
			log.Fatalf("connection %d: %q, %v", i, buf[:max(k, 0)], err)
		}
		fds[i] = fd
	}
	fmt.Println("open")
	in.ReadString('\n')
	fmt.Println("sending")
	message := append([]byte("\x82\xc0\x00\x00\x00\x00"), make([]byte, 64)...)
	begin := time.Now()
	for i := 0; ; i++ {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * every / time.Duration(n))))
		fd := fds[i%n]
		if i >= n {
			unix.Read(fd, buf) // the echo of the message before
		}
		_, err := unix.Write(fd, message)
		check(err)
	}
}

// collections returns the milliseconds of processor time that the collector has used.
func collections() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64() * 1000
}
