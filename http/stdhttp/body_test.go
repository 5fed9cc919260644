package stdhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

const chunkedPost = "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"

func TestABodyIsReadWhileItComesAndTheAnswerGoes(t *testing.T) {
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		rc := nethttp.NewResponseController(w)
		p := make([]byte, 10)
		for {
			n, err := r.Body.Read(p)
			if err != nil {
				return
			}
			w.Write(bytes.ToUpper(p[:n]))
			rc.Flush()
		}
	}), Options{}, func(r *rig) {
		c, b := r.dial(chunkedPost + "\r\n3\r\nabc\r\n")
		resp, err := nethttp.ReadResponse(b, nil)
		if err != nil {
			r.Fatal(err)
		}
		p := make([]byte, 3)
		for _, s := range []string{"def", "ghi", ""} {
			if _, err := io.ReadFull(resp.Body, p); err != nil {
				r.Fatal(err)
			}
			if s != "" {
				fmt.Fprintf(c, "3\r\n%s\r\n", s)
			}
		}
		if string(p) != "GHI" {
			r.Errorf("%q", p)
		}
		io.WriteString(c, "0\r\n\r\n"+getX)
		if n, err := io.Copy(io.Discard, resp.Body); n != 0 || err != nil {
			r.Error(n, err)
		}
		if resp, _ := r.read(b); resp.StatusCode != 200 {
			r.Error("the next request: ", resp.Status)
		}
	})
}

func TestLargeEcho(t *testing.T) {
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) { io.Copy(w, r.Body) }), Options{}, func(r *rig) {
		body := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB
		for _, length := range []int64{int64(len(body)), -1} {
			req, _ := nethttp.NewRequest("POST", "http://"+r.addr+"/", bytes.NewReader(body))
			req.ContentLength = length
			req.Header.Set("Expect", "100-continue")
			if resp, got := r.send(req); got != string(body) {
				r.Error(resp.Status, len(got))
			}
		}
	})
}

func TestAHandlerThatDoesNotReadHoldsTheClient(t *testing.T) {
	const size = 64 << 20
	let := make(chan struct{})
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		<-let
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	}), Options{}, func(r *rig) {
		c, b := r.dial(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size))
		sent, p := 0, make([]byte, 64<<10)
		for sent < size {
			c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			n, err := c.Write(p[:min(len(p), size-sent)])
			sent += n
			if err != nil {
				break
			}
		}
		if sent > size/2 {
			r.Errorf("%d bytes were taken that nobody reads", sent)
		}
		let <- struct{}{}
		c.SetWriteDeadline(time.Now().Add(time.Minute))
		for sent < size {
			n, err := c.Write(p[:min(len(p), size-sent)])
			if sent += n; err != nil {
				r.Fatal(err)
			}
		}
		if _, body := r.read(b); body != fmt.Sprint(size, nil) {
			r.Error(body)
		}
	})
}

func TestAHandlerThatLeavesTheBodyAnswersAllTheSame(t *testing.T) {
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.URL.Path == "/close" {
			r.Body.Close()
			if _, err := r.Body.Read(make([]byte, 1)); err != nethttp.ErrBodyReadAfterClose {
				t.Error(err)
			}
		}
		io.WriteString(w, "no thanks")
	}), Options{Buffer: 32 << 10}, func(r *rig) {
		for _, path := range []string{"/", "/close"} {
			c, b := r.dial("POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n")
			c.Write(make([]byte, 200_000))
			if _, body := r.read(b); body != "no thanks" {
				r.Error(body)
			}
			io.WriteString(c, getX)
			if _, body := r.read(b); body != "no thanks" {
				r.Error(body)
			}
		}
	})
}

func TestABodyThatBreaksOffIsAnError(t *testing.T) {
	for name, leave := range map[string]func(net.Conn){
		"fin": func(c net.Conn) { c.Close() },
		"rst": reset,
		"bad": func(c net.Conn) { io.WriteString(c, "zz\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			started, result := make(chan struct{}, 1), make(chan error, 1)
			both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
				io.ReadFull(r.Body, make([]byte, 3))
				started <- struct{}{}
				_, err := io.ReadAll(r.Body)
				result <- err
			}), Options{}, func(r *rig) {
				c, _ := r.dial(chunkedPost + "\r\n3\r\nabc\r\n")
				await(r, started, "the handler")
				leave(c)
				if err := await(r, result, "the error"); !errors.Is(err, ErrConnection) {
					r.Error(err)
				}
			})
		})
	}
}

func TestMaxBody413(t *testing.T) {
	started, result := make(chan struct{}, 1), make(chan error, 1)
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		started <- struct{}{}
		_, err := io.ReadAll(r.Body)
		result <- err
	}), Options{MaxBody: 10}, func(r *rig) {
		_, b := r.dial("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
		if resp, _ := r.read(b); resp.StatusCode != 413 {
			r.Error(resp.Status)
		}
		c, b := r.dial(chunkedPost + "\r\n")
		await(r, started, "the handler") // which is not called for a request that is refused before its turn comes
		io.WriteString(c, "b\r\n01234567890\r\n0\r\n\r\n")
		if resp, _ := r.read(b); resp.StatusCode != 413 {
			r.Error(resp.Status)
		}
		if err := await(r, result, "the error"); !errors.Is(err, ErrConnection) {
			r.Error(err)
		}
	})
}

func TestReadDeadline(t *testing.T) {
	result := make(chan error, 2)
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		rc := nethttp.NewResponseController(w)
		rc.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
		p := make([]byte, 10)
		_, err := r.Body.Read(p)
		result <- err
		rc.SetReadDeadline(time.Time{})
		rc.Flush()
		_, err = r.Body.Read(p)
		result <- err
	}), Options{}, func(r *rig) {
		c, b := r.dial(chunkedPost + "\r\n")
		if err := await(r, result, "the deadline"); !errors.Is(err, os.ErrDeadlineExceeded) {
			r.Error(err)
		}
		io.WriteString(c, "1\r\nx\r\n0\r\n\r\n")
		if err := await(r, result, "the byte"); err != nil {
			r.Error(err)
		}
		r.read(b)
	})
}

// RFC 9110 6.5: trailers are kept apart from the fields of the head.
func TestTrailersBothWays(t *testing.T) {
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		_, announced := r.Trailer["X-In"]
		io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Out")
		w.(nethttp.Flusher).Flush()
		w.Header().Set("X-Out", "out")
		w.Header().Set(nethttp.TrailerPrefix+"X-More", "more")
		fmt.Fprint(w, announced, r.Trailer, r.Header["Trailer"], r.Header["X-In"])
	}), Options{}, func(r *rig) {
		_, b := r.dial(chunkedPost + "Trailer: x-in\r\n\r\n1\r\nx\r\n0\r\nX-In: in\r\n\r\n")
		resp, body := r.read(b)
		if body != "true map[X-In:[in]] [] []" {
			r.Error(body)
		}
		if resp.Trailer.Get("X-Out") != "out" || resp.Trailer.Get("X-More") != "more" {
			r.Error(resp.Trailer)
		}
	})
}

func TestHTTP10(t *testing.T) {
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.WriteHeader(103)
		io.WriteString(w, strings.Repeat("o", 100_000))
	}), Options{}, func(r *rig) {
		_, b := r.dial("GET / HTTP/1.0\r\n\r\n")
		resp, body := r.read(b)
		if resp.StatusCode != 200 || len(body) != 100_000 || resp.TransferEncoding != nil || !resp.Close {
			r.Error(resp, len(body))
		}
	})
}

// Routes of an http.Mux and of net/http side by side, with bodies whole and streamed.
func TestInAMux(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	h := New(m, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Pattern, " ", r.ContentLength, " ", string(b), err)
	}), Options{})
	x := http.NewMux()
	x.MustHandle("POST /std/{id}", h.Serve)
	x.MustHandleEvents("POST /stream/{id}", h.Handle)
	l, err := http.Listen(m, "http://127.0.0.1:0", x.Serve)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t, m, h, l.LocalAddr().String()}
	go m.Run(context.Background())
	if _, body := r.do("POST", "/std/1", "abc"); body != "POST /std/{id} 3 abc<nil>" {
		t.Error(body)
	}
	large := strings.Repeat("x", 2<<20) // more than a whole body may have
	if _, body := r.do("POST", "/stream/1", large); body != "POST /stream/{id} 2097152 "+large+"<nil>" {
		t.Errorf("%.80q", body)
	}
	if resp, _ := r.do("POST", "/std/1", large); resp.StatusCode != 413 {
		t.Error(resp.Status)
	}
	if resp, _ := r.get("/std/1"); resp.StatusCode != 405 {
		t.Error(resp.Status)
	}
	_, b := r.dial(strings.Replace(chunkedPost, "/x", "/std/2", 1) + "Trailer: T\r\n\r\n1\r\nx\r\n0\r\nT: t\r\n\r\n")
	if _, body := r.read(b); body != "POST /std/{id} -1 x<nil>" {
		t.Error(body)
	}
}
