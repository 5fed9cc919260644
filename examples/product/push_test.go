package main

import (
	"context"
	"io"
	nethttp "net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// A page gets only the changed setting, not the whole document.
func TestBytesOfAChange(t *testing.T) {
	p := start(t, t.TempDir(), "auto")
	ann := setUp(t, "http://"+p.Addr, p.Said)
	ann.want(200, "", "PATCH", "/api/settings", `{"interval": 10000}`) // few readings meanwhile
	at, err := url.Parse(ann.base)
	if err != nil {
		t.Fatal(err)
	}
	header := nethttp.Header{}
	for _, c := range ann.c.Jar.Cookies(at) {
		header.Add("Cookie", c.String())
	}
	c, r, _, err := ws.Dialer{Header: ws.HandshakeHeaderHTTP(header)}.Dial(context.Background(), "ws://"+p.Addr+"/api/rpc")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := struct {
		io.Reader
		io.Writer
	}{c, c}
	if r != nil {
		in.Reader = r
	}
	if err := wsutil.WriteClientText(c, []byte(`{"jsonrpc": "2.0", "id": 1, "method": "subscribe"}`)); err != nil {
		t.Fatal(err)
	}
	until := func(part string) string {
		for {
			text, err := wsutil.ReadServerText(in)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), part) {
				return string(text)
			}
		}
	}
	whole := until(`"result"`)
	ann.want(200, "", "PATCH", "/api/settings", `{"target": 22.5}`)
	change := until(`"target"`)
	const patch = `{"target":22.5}`
	if !strings.Contains(change, `"patch":`+patch) || len(change)*4 > len(whole) {
		t.Errorf("%d bytes for a change, %d for all: %s", len(change), len(whole), change)
	}
	t.Logf("a change of one setting: %d bytes, %d of them the patch; the whole document: %d", len(change), len(patch), len(whole))
}
