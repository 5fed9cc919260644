package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

func TestCovers(t *testing.T) {
	for _, x := range []struct {
		wide, narrow string
		want         bool
	}{
		{"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/#", "a/+/c", true}, {"a/#", "a/b/#", true}, {"a/#", "a/#", true},
		{"a/#", "b", false}, {"a/#", "#", false}, {"a/#", "+/b", false}, {"#", "+/b", true}, {"#", "$x", false},
		{"a/+", "a/b", true}, {"a/+", "a/+", true}, {"a/+", "a/#", false}, {"a/+", "a", false}, {"a/+/#", "a/#", false},
		{"a/b", "a/+", false}, {"a/b", "a/b", true}, {"+/#", "a/#", true}, {"a/+/#", "a/b/#", true},
	} {
		if got := covers(x.wide, x.narrow); got != x.want {
			t.Errorf("covers(%q, %q) is %v", x.wide, x.narrow, got)
		}
	}
}

// TestTokens: a token lets its client publish and subscribe where it says, until it expires.
func TestTokens(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("k", 32)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, "-token", "all", "-jwt-key-file", filepath.Join(dir, "key"))
	token := func(method jwt.SigningMethod, key any, until time.Time) string {
		c := claims{Subscribe: []string{"mine/#"}, Publish: []string{"mine/out"}}
		if !until.IsZero() {
			c.ExpiresAt = jwt.NewNumericDate(until)
		}
		s, err := jwt.NewWithClaims(method, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	hour := time.Now().Add(time.Hour)
	good := token(jwt.SigningMethodHS256, []byte(key), hour)
	status := func(method, path, token string) int {
		r, err := http.NewRequest(method, "http://"+n.Addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, x := range []struct {
		method, path, token string
		want                int
	}{
		{"POST", "/publish/mine/out", good, 200},
		{"POST", "/publish/mine/in", good, 403},
		{"POST", "/publish/mine%2Fout", good, 200},
		{"POST", "/publish/other", "all", 200},
		{"POST", "/publish/mine/out", "", 401},
		{"POST", "/publish/mine/out", token(jwt.SigningMethodHS256, []byte("another"), hour), 401},
		{"POST", "/publish/mine/out", token(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, hour), 401},
		{"POST", "/publish/mine/out", token(jwt.SigningMethodHS256, []byte(key), time.Now().Add(-time.Minute)), 401},
		{"POST", "/publish/mine/out", token(jwt.SigningMethodHS256, []byte(key), time.Time{}), 401},
		{"GET", "/events?topic=mine/%23", good, 200},
		{"GET", "/events?topic=mine/%23", "all", 200},
		{"GET", "/events?topic=other", good, 403},
		{"GET", "/events?topic=%23", good, 403},
		{"GET", "/events?topic=mine", "", 401},
		{"GET", "/stats", good, 401},
		{"GET", "/stats", "all", 200},
	} {
		if got := status(x.method, x.path, x.token); got != x.want {
			t.Errorf("%s %s with %.20q: status %d instead of %d", x.method, x.path, x.token, got, x.want)
		}
	}
}

// TestTheTokenOfTheCommandLinePublishesThroughTheDoor: it may do everything, there too.
func TestTheTokenOfTheCommandLinePublishesThroughTheDoor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte(strings.Repeat("k", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, "-token", "all", "-jwt-key-file", filepath.Join(dir, "key"))
	c, _, err := websocket.DefaultDialer.Dial("ws://"+n.Addr+"/hub?access_token=all", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.WriteMessage(websocket.TextMessage, []byte(`{"publish":"a/b","data":1,"id":7}`)); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	_, text, err := c.ReadMessage()
	if err != nil || !strings.Contains(string(text), `"reply":7,"offset"`) {
		t.Errorf("the reply is %s, %v", text, err)
	}
}
