package cert

import (
	"crypto/tls"
	"encoding/json"
	nethttp "net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// A client trusts the authority of a Keeper.
type client struct {
	t    *testing.T
	base string
	c    *nethttp.Client
}

func newClient(t *testing.T, addr string, k *Keeper) *client {
	return &client{t, "https://" + addr, &nethttp.Client{Timeout: 20 * time.Second, Transport: &nethttp.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool(t, k), Time: func() time.Time { return today }}, DisableKeepAlives: true}}}
}

// want sends a request of an admin, unless fields say otherwise, and checks the reply.
func (c *client) want(status int, text, method, path, body string, fields ...string) (nethttp.Header, string) {
	c.t.Helper()
	fields = append([]string{"X-Role", "admin", "Content-Type", "application/json"}, fields...)
	resp, reply := looptest.Ask(c.t, c.c, method, c.base+path, strings.NewReader(body), fields...)
	if resp.StatusCode != status || !strings.Contains(reply, text) {
		c.t.Errorf("%s %s: %d %s, want %d %s", method, path, resp.StatusCode, reply, status, text)
	}
	return resp.Header, reply
}

func TestFileName(t *testing.T) {
	for name, want := range map[string]string{"Box 7": "Box-7", "azAZ09": "azAZ09", "@[`{/:": "------", "ÄK\u212a.crt\r\n\"": "-K--crt---"} {
		if got := fileName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// A key comes over TLS, or from this machine.
func TestAKeyNeedsTLS(t *testing.T) {
	k := newBox(t).start()
	for remote, want := range map[string]string{"192.0.2.1:9": "HTTP/1.1 403", "[2001:db8::1]:9": "HTTP/1.1 403", "127.0.0.1:9": "HTTP/1.1 415", "[::ffff:127.0.0.1]:9": "HTTP/1.1 415", "[::1]:9": "HTTP/1.1 415"} {
		x := http.NewMux()
		all := func(*conn.Conn, *http.Request) bool { return true }
		k.Mount(x, "/certificate", all, all)
		server := http.NewServer(http.Options{})
		d := conntest.New(t, x.Serve, conntest.Options{Remote: netip.MustParseAddrPort(remote), Setup: func(c *conn.Conn) { http.Attach(c, server) }})
		d.Send("POST /certificate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
		if got := d.Sent(); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %.80q, want %s", remote, got, want)
		}
	}
}

func TestRoutes(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		b := newBox(t)
		k := b.start()
		c := newClient(t, serve(t, p, k), k)
		c.want(401, "", "GET", "/certificate", "", "X-Role", "nobody")
		head, text := c.want(200, "BEGIN CERTIFICATE", "GET", "/certificate/ca.crt", "", "X-Role", "nobody")
		if text != string(k.Authority()) || head.Get("Content-Disposition") != `attachment; filename="Box-7-ca.crt"` || head.Get("Cache-Control") != "no-cache" || head.Get("Content-Type") != "application/x-x509-ca-cert" {
			t.Errorf("%v %s", head, text)
		}
		cert, key := newIssuer(t).issue(t, nil, "box.local", "127.0.0.1")
		body := func(cert, key string, force bool) string {
			text, err := json.Marshal(map[string]any{"certificate": cert, "key": key, "force": force})
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		c.want(401, "", "POST", "/certificate", body(cert, key, false), "X-Role", "nobody")
		c.want(401, "", "DELETE", "/certificate", "", "X-Role", "nobody")
		c.want(403, "", "POST", "/certificate", body(cert, key, false), "Origin", "https://evil.example")
		c.want(403, "", "DELETE", "/certificate", "", "Sec-Fetch-Site", "cross-site")
		c.want(415, "send application/json", "POST", "/certificate", body(cert, key, false), "Content-Type", "text/plain")
		c.want(400, "the body is", "POST", "/certificate", `{"certificate": 1}`)
		c.want(400, "not UTF-8", "POST", "/certificate", "{\"certificate\": \"\xff\"}")
		c.want(413, "too long", "POST", "/certificate", body(strings.Repeat("x", 2*maxPEM), key, false))
		c.want(422, "there is no key", "POST", "/certificate", body(cert, "", false))
		foreign, foreignKey := newIssuer(t).issue(t, nil, "shop.example")
		c.want(422, `send \"force\": true`, "POST", "/certificate", body(foreign, foreignKey, false))
		_, reply := c.want(200, `"active":"uploaded"`, "POST", "/certificate", body(cert, key, false))
		if strings.Contains(reply, "PRIVATE") {
			t.Errorf("the key is in %s", reply)
		}
		c.c.Transport.(*nethttp.Transport).TLSClientConfig.InsecureSkipVerify = true // it is not by the authority
		c.want(200, `"issuer":"test issuer"`, "GET", "/certificate", "")
		c.want(200, `"active":"own"`, "DELETE", "/certificate", "")
		c.c.Transport.(*nethttp.Transport).TLSClientConfig.InsecureSkipVerify = false
		c.want(200, `"active":"own"`, "GET", "/certificate", "")

		b.mu.Lock()
		defer b.mu.Unlock()
		audit := strings.Join(b.audit, "; ")
		if audit != "ann certificate uploaded: there is no key in PEM; ann certificate uploaded: "+ErrOtherNames.Error()+"; ann certificate uploaded: done; ann certificate removed: done" {
			t.Error(audit)
		}
	})
}
