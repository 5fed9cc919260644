package stdhttp_test

import (
	"context"
	"fmt"
	"io"
	nethttp "net/http"
	"strings"

	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/stdhttp"
	"github.com/seed4930a636/mangusta/mgr"
)

func Example() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	upper := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		fmt.Fprintln(w, r.Method, r.URL.Path, strings.ToUpper(string(body)))
	})
	h := stdhttp.New(m, upper, stdhttp.Options{Workers: 8})
	l, err := http.Listen(m, "http://127.0.0.1:0", h.Handle)
	if err != nil {
		fmt.Println(err)
		return
	}
	url := fmt.Sprintf("http://%s/say", l.LocalAddr())
	go m.Run(context.Background())

	resp, err := nethttp.Post(url, "text/plain", strings.NewReader("hello"))
	if err != nil {
		fmt.Println(err)
		return
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	fmt.Print(string(body))
	nethttp.DefaultClient.CloseIdleConnections()
	fmt.Println(m.Shutdown(context.Background()), h.Wait(context.Background()))
	// Output:
	// POST /say HELLO
	// <nil> <nil>
}
