package stdhttp

import (
	nethttp "net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"

	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// A client with a jar sends back what it was given, across redirects too.
func TestJar(t *testing.T) {
	srv := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		switch r.URL.Path {
		case "/login":
			nethttp.SetCookie(w, &nethttp.Cookie{Name: "a", Value: "1", Path: "/"})
			nethttp.SetCookie(w, &nethttp.Cookie{Name: "b", Value: "2", Path: "/"})
			nethttp.SetCookie(w, &nethttp.Cookie{Name: "c", Value: "3", Path: "/elsewhere"})
			nethttp.Redirect(w, r, "/page", 303)
		default:
			w.Write([]byte(r.Header.Get("Cookie")))
		}
	}))
	defer srv.Close()
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := http.NewClient(m, http.ClientOptions{Jar: Jar(jar), MaxRedirects: 2})
	if err != nil {
		t.Fatal(err)
	}
	do := func(r *http.ClientRequest) (body string) {
		t.Helper()
		over := false
		_, err := client.Do(r, func(r *http.Response, err error) {
			if over = true; err != nil {
				t.Error(err)
				return
			}
			body = string(r.Body)
		})
		if err != nil {
			t.Fatal(err)
		}
		for !over {
			m.Poll(-1)
		}
		return body
	}
	if got := do(&http.ClientRequest{URL: srv.URL + "/login", Body: []byte("x")}); got != "a=1; b=2" {
		t.Errorf("after the redirect: %q", got)
	}
	if got := do(&http.ClientRequest{URL: srv.URL + "/"}); got != "a=1; b=2" {
		t.Errorf("later: %q", got)
	}
	own := &http.ClientRequest{URL: srv.URL + "/"}
	own.SetHeader("Cookie", "x=y")
	if got := do(own); got != "x=y" {
		t.Errorf("the program's own: %q", got)
	}
}
