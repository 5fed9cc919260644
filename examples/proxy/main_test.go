package main

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

func TestTellsOfBadArguments(t *testing.T) {
	for want, args := range map[string][]string{
		"no server to pass requests on to":                     nil,
		`"http://a/b" is not http://HOST:PORT`:                 {"-to", "http://a/b"},
		`"ftp://a" is not http://HOST:PORT`:                    {"-to", "ftp://a"},
		"a buffer of 0 bytes":                                  {"-to", "http://a", "-buffer", "0"},
		"a time that is not positive":                          {"-to", "http://a", "-timeout", "0"},
		`the name "a b" has bytes that Via cannot have`:        {"-to", "http://a", "-via", "a b"},
		`unexpected argument "x"`:                              {"-to", "http://a", "x"},
		"-tls-cert and -tls-key go together":                   {"-to", "http://a", "-tls-cert", os.DevNull},
		"is neither a host name nor an address without a port": {"-to", "http://a", "-host", "a:80", "-listen", "127.0.0.1:0"},
	} {
		if out, err := programtest.Run(t, args...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%q: %v, and said %q, without %q", args, err, out, want)
		}
	}
}

// SIGTERM lets the requests end that are under way.
func TestEndsGracefully(t *testing.T) {
	proceed := make(chan bool)
	arrived := make(chan bool)
	to := server(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- true
		<-proceed
		io.WriteString(w, "all of it")
	})
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) {
			p := programtest.Start(t, "-listen", "127.0.0.1:0", "-admin", "127.0.0.1:0", "-poller", poller, "-to", to)
			_, figures, _ := strings.Cut(p.Said, "figures at ")
			figures, _, _ = strings.Cut(figures, "\n")
			got := make(chan string)
			go func() {
				resp, err := http.Get("http://" + p.Addr + "/")
				if err != nil {
					got <- err.Error()
					return
				}
				b, err := io.ReadAll(resp.Body)
				if err != nil {
					got <- err.Error()
				}
				got <- string(b)
			}()
			<-arrived
			resp, err := http.Get(figures)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			for _, want := range []string{"proxy_requests_total 1\n", "proxy_upstream_connections 1\n", `proxy_upstream_up{server="` + to + `"} 1` + "\n"} {
				if !strings.Contains(string(b), want) {
					t.Errorf("the figures are without %q:\n%s", want, b)
				}
			}
			http.DefaultClient.CloseIdleConnections()
			ended := make(chan error)
			go func() { ended <- p.Terminate(5 * time.Second) }()
			proceed <- true
			if s := <-got; s != "all of it" {
				t.Errorf("%q", s)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
