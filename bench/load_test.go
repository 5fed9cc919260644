package main

import (
	"bytes"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// serverFrame encodes what a server sends.
func serverFrame(op ws.OpCode, fin bool, p []byte) []byte {
	return ws.MustCompileFrame(ws.NewFrame(op, fin, p))
}

// readFrame reads what a client has sent.
func readFrame(r io.Reader) (h ws.Header, p []byte, err error) {
	if h, err = ws.ReadHeader(r); err != nil {
		return h, nil, err
	}
	p = make([]byte, h.Length)
	_, err = io.ReadFull(r, p)
	ws.Cipher(p, h.Mask, 0)
	return h, p, err
}

func TestScannerCountsMessagesHoweverTheyAreCut(t *testing.T) {
	in := bytes.Join([][]byte{
		serverFrame(ws.OpText, true, payload(5)), serverFrame(ws.OpText, true, nil), serverFrame(ws.OpPing, true, payload(3)),
		serverFrame(ws.OpBinary, false, payload(300)), serverFrame(ws.OpPong, true, nil), serverFrame(ws.OpContinuation, true, payload(70_000)),
		serverFrame(ws.OpText, true, payload(125)), serverFrame(ws.OpText, true, payload(126)),
	}, nil)
	const want = 5
	scan := func(s *scanner, p []byte) int {
		n, err := s.scan(p)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := scan(new(scanner), in); n != want {
		t.Errorf("whole: %d messages", n)
	}
	for i := range in {
		var s scanner
		if n := scan(&s, in[:i]) + scan(&s, in[i:]); n != want {
			t.Fatalf("cut at %d: %d messages", i, n)
		}
	}
	var s scanner
	n := 0
	for i := range in {
		n += scan(&s, in[i:i+1])
	}
	if n != want {
		t.Errorf("byte by byte: %d messages", n)
	}
}

func TestScannerRefusesWhatNoServerSends(t *testing.T) {
	for _, tc := range []struct {
		in   []byte
		want error
	}{
		{serverFrame(ws.OpClose, true, nil), errClosed},
		{frame(payload(5), false), errMasked},
		{frame(payload(300), false), errMasked},
		{frame(payload(70_000), false), errMasked},
	} {
		if _, err := new(scanner).scan(tc.in); err != tc.want {
			t.Errorf("% x: %v, want %v", tc.in[:2], err, tc.want)
		}
		var s scanner
		var err error
		for i := 0; i < len(tc.in) && err == nil; i++ {
			_, err = s.scan(tc.in[i : i+1])
		}
		if err != tc.want {
			t.Errorf("% x, byte by byte: %v, want %v", tc.in[:2], err, tc.want)
		}
	}
}

func TestFramesAreThoseOfAClient(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65_535, 65_536} {
		for _, deflated := range []bool{false, true} {
			h, got, err := readFrame(bytes.NewReader(frame(payload(n), deflated)))
			if err != nil {
				t.Fatal(err)
			}
			if deflated {
				if got, err = inflate(got); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, payload(n)) || h.OpCode != ws.OpText || !h.Fin || h.Rsv1() != deflated {
				t.Errorf("%d bytes, deflated %v: %+v", n, deflated, h)
			}
		}
	}
}

func TestHistogramIsExactToThreePercent(t *testing.T) {
	for v := uint64(1); v < 1<<62; v += v/37 + 1 {
		low := lowest(bucket(v))
		if low > v || float64(v-low) > 0.032*float64(v) || lowest(bucket(v)+1) <= v {
			t.Fatalf("%d is in the bucket of %d", v, low)
		}
	}
	if i := bucket(math.MaxInt64); i >= len(histogram{}.counts) {
		t.Errorf("the longest duration is in bucket %d", i)
	}
	var h histogram
	for i := range 100 {
		h.add(time.Duration(i))
	}
	if h.quantile(0.5) != 50 || h.quantile(0.99) < 96 || h.quantile(1) != 0 {
		t.Errorf("quantiles %v, %v, %v", h.quantile(0.5), h.quantile(0.99), h.quantile(1))
	}
}

const wrkReport = `Running 1s test @ http://127.0.0.1:9001/plaintext
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   714.92us    1.05ms  36.95ms   98.79%
    Req/Sec    95.21k     5.66k  103.09k    70.00%
  Latency Distribution
     50%  612.00us
     75%  707.00us
     90%    0.89ms
     99%    3.36ms
  94727 requests in 1.10s, 12.47MB read
Requests/sec:  86111.53
Transfer/sec:     11.33MB
`

func TestReadsWhatWrkSays(t *testing.T) {
	r := parseWrk(wrkReport)
	if r.Ops != 94727 || r.Seconds != 1.1 || r.P50 != 612*time.Microsecond || r.P99 != 3360*time.Microsecond || r.Invalid != "" {
		t.Errorf("%+v", r)
	}
	for _, line := range []string{"Non-2xx or 3xx responses: 7", "Socket errors: connect 0, read 3, write 0, timeout 0"} {
		if r := parseWrk(wrkReport + "  " + line + "\n"); r.Invalid != line {
			t.Errorf("%q: invalid %q", line, r.Invalid)
		}
	}
	if r := parseWrk(strings.Replace(wrkReport, "94727", "0", 1)); r.Invalid == "" {
		t.Error("no request, and yet valid")
	}
}
