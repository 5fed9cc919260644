package interop

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/mgr"
)

const wsPackage = "ws@8.23.0"

// node returns a function that makes commands which run testdata/peer.js with the npm package ws.
func node(t *testing.T) func(args ...string) *exec.Cmd {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED, NOT TESTED: there is no %s here (apt-get install nodejs npm)", tool)
		}
	}
	dir := t.TempDir()
	install := exec.Command("npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts", wsPackage)
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: npm cannot install %s: %v\n%s", wsPackage, err, out)
	}
	script, err := filepath.Abs("testdata/peer.js")
	if err != nil {
		t.Fatal(err)
	}
	return func(args ...string) *exec.Cmd {
		c := exec.CommandContext(t.Context(), "node", append([]string{script}, args...)...)
		c.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(dir, "node_modules"))
		return c
	}
}

func TestNode(t *testing.T) {
	peer := node(t)
	t.Run("client with our server", func(t *testing.T) {
		each(t, []mode{plain, alone, takeover, window}, func(t *testing.T, p mgr.Poller, m mode) {
			s := listen(t, p, m, "")
			list := sizes(p)
			c := peer("client", s.url, string(m), strconv.Itoa(list[len(list)-1]))
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, code := range []int{4002, 1000, 1001, 3000, 4999} {
				s.wantEnd(code)
			}
		})
	})
	t.Run("server with our client", func(t *testing.T) {
		each(t, []mode{plain, alone, takeover, window}, func(t *testing.T, p mgr.Poller, m mode) {
			c := peer("server", string(m))
			var errs bytes.Buffer
			c.Stderr = &errs
			out, err := c.StdoutPipe()
			if err == nil {
				err = c.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				c.Process.Kill()
				c.Wait()
			}()
			port, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatalf("the server does not start: %v %s", err, errs.String())
			}
			loop := run(t, p)
			var last *ourSocket
			open := func() socket {
				last = dial(t, loop, "ws://127.0.0.1:"+strings.TrimSpace(port), m).(*ourSocket)
				return last
			}
			converse(t, p, open, func(code int, reason string) {
				if reason == "bye" {
					last.wantAnswer(t, code)
				}
			})
		})
	})
}
