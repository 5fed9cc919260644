// Command clients measures the processor time of HTTP clients for each request, with 64
// connections:
//
//	go run ./bench -only client
//
// runs it beside a testee. By hand:
//
//	taskset -c 0 testee -listen 127.0.0.1:19001 &
//	taskset -c 1 clients mangusta|fasthttp|nethttp http://127.0.0.1:19001/plaintext 3s
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	nethttp "net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

func cpu() (user, system time.Duration) {
	var r unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano()), time.Duration(r.Stime.Nano())
}

const (
	conns = 64
	reply = 13 // bytes of the body that is expected
)

// clients run a client until the time is over, and return how many requests it made.
var clients = map[string]func(url string, end time.Time) int64{
	"mangusta": mangusta,
	"fasthttp": func(url string, end time.Time) int64 {
		c := &fasthttp.Client{MaxConnsPerHost: conns}
		return each(end, func() func() (int, error) {
			req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
			req.SetRequestURI(url)
			return func() (int, error) {
				err := c.Do(req, resp)
				return len(resp.Body()), err
			}
		})
	},
	"nethttp": func(url string, end time.Time) int64 {
		c := &nethttp.Client{Transport: &nethttp.Transport{MaxIdleConnsPerHost: conns, MaxConnsPerHost: conns}}
		return each(end, func() func() (int, error) {
			return func() (int, error) {
				resp, err := c.Get(url)
				if err != nil {
					return 0, err
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				return len(b), err
			}
		})
	},
}

// mangusta has 64 requests under way on one loop.
func mangusta(url string, end time.Time) (n int64) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		log.Fatal(err)
	}
	c, err := mghttp.NewClient(m)
	if err != nil {
		log.Fatal(err)
	}
	left := conns
	for range conns {
		r := &mghttp.ClientRequest{URL: url}
		var done func(*mghttp.Response, error)
		done = func(resp *mghttp.Response, err error) {
			if err != nil || resp.Status != 200 || len(resp.Body) != reply {
				log.Fatal(resp, err)
			}
			n++
			if n%conns == 0 && time.Now().After(end) || left < conns {
				left--
				return
			}
			c.Do(r, done)
		}
		c.Do(r, done)
	}
	for left > 0 {
		m.Poll(-1)
	}
	return n
}

// each runs 64 goroutines. prepare gives each of them what makes one request, which returns the
// length of the body.
func each(end time.Time, prepare func() func() (int, error)) int64 {
	var n atomic.Int64
	var wg sync.WaitGroup
	for range conns {
		wg.Go(func() {
			for get := prepare(); time.Now().Before(end); n.Add(1) {
				if size, err := get(); err != nil || size != reply {
					log.Fatal(size, " bytes: ", err)
				}
			}
		})
	}
	wg.Wait()
	return n.Load()
}

func main() {
	asJSON := flag.Bool("json", false, "print the figures as go run ./bench has them")
	flag.Parse()
	if flag.NArg() != 3 || clients[flag.Arg(0)] == nil {
		log.Fatal("usage: clients [-json] mangusta|fasthttp|nethttp URL TIME")
	}
	d, err := time.ParseDuration(flag.Arg(2))
	if err != nil {
		log.Fatal(err)
	}
	runtime.GOMAXPROCS(1)
	run := clients[flag.Arg(0)]
	run(flag.Arg(1), time.Now().Add(d/5)) // the heap grows to its size
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	user, system := cpu()
	began := time.Now()
	n := run(flag.Arg(1), began.Add(d))
	took := time.Since(began)
	userNow, systemNow := cpu()
	user, system = userNow-user, systemNow-system
	runtime.ReadMemStats(&after)
	if *asJSON {
		json.NewEncoder(os.Stdout).Encode(map[string]any{"ops": n, "seconds": took.Seconds(), "user_ns": user, "system_ns": system, "rss": resident()})
		return
	}
	fmt.Printf("%-9s %8d requests, %.2f us CPU each, %.2f allocations each\n", flag.Arg(0), n, float64((user+system).Nanoseconds())/1e3/float64(n),
		float64(after.Mallocs-before.Mallocs)/float64(n))
}

// resident returns the memory of this process, in bytes.
func resident() int {
	var pages, n int
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		fmt.Sscan(string(b), &pages, &n)
	}
	return n * os.Getpagesize()
}
