package broadcast

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/mgr"
)

func TestScriptIsServedForBrowsersToKeep(t *testing.T) {
	r := newDoorRig(t, mgr.Auto, Options{}, DoorOptions{})
	get := func(path, fields string) (*http.Response, string) {
		c := r.dial()
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, fields)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		return resp, string(body)
	}
	for path, mime := range map[string]string{"/mangusta.js": "text/javascript; charset=utf-8", "/mangusta.d.ts": "text/plain; charset=utf-8"} {
		resp, body := get(path, "")
		want, _ := os.ReadFile(path[1:])
		if body != string(want) || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != mime || resp.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %s %v, %d bytes", path, resp.Status, resp.Header, len(body))
		}
		tag := resp.Header.Get("ETag")
		if again, body := get(path, "If-None-Match: "+tag+"\r\n"); tag == "" || again.StatusCode != 304 || body != "" {
			t.Errorf("%s with the ETag %s: %s", path, tag, again.Status)
		}
	}
	if _, body := get("/mangusta.js", ""); strings.Count(body, "import ") > 1 { // the example in its first comment
		t.Error("mangusta.js imports another module")
	}
}

// A member that is called "__proto__" is one like others: it must not become what an object
// inherits.
func TestTheScriptMergesNamesThatAreSpecialInJavaScript(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("there is no node")
	}
	text, err := os.ReadFile("mangusta.js")
	if err != nil {
		t.Fatal(err)
	}
	_, merge, _ := strings.Cut(string(text), "\nfunction merge(")
	merge, _, _ = strings.Cut(merge, "\n// A binary message")
	out, err := exec.Command(node, "-e", "function merge("+merge+`
		const x = merge(JSON.parse('{"a":1,"b":{"c":1}}'), JSON.parse('{"__proto__":{"admin":true},"constructor":{"a":1},"a":null,"b":{"d":2}}'));
		console.log(JSON.stringify(x), x.admin);`).CombinedOutput()
	if want := `{"b":{"c":1,"d":2},"__proto__":{"admin":true},"constructor":{"a":1}} undefined`; err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("%v, %s, want %s", err, out, want)
	}
}
