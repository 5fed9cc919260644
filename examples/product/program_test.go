package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	nethttp "net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

func TestMain(m *testing.M) { programtest.Main(m, main) }

var (
	codeIn   = regexp.MustCompile(`the code (\S+)`)
	listenAt = regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)
)

// start starts a product whose data are in dir.
func start(t *testing.T, dir, poller string) *programtest.Program {
	t.Helper()
	return programtest.Start(t, "-listen", "127.0.0.1:0", "-data", dir, "-poller", poller)
}

// A browser is a client with cookies.
type browser struct {
	t    *testing.T
	base string
	c    *nethttp.Client
}

func newBrowser(t *testing.T, base string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, base, &nethttp.Client{Jar: jar, Timeout: patience}}
}

// ask is reply, of which the status is enough.
func (b *browser) ask(method, path, body string, fields ...string) (int, string) {
	b.t.Helper()
	resp, text := b.reply(method, path, body, fields...)
	return resp.StatusCode, text
}

// reply sends a request; fields are names and values. It returns the head of the reply, and the body.
func (b *browser) reply(method, path, body string, fields ...string) (*nethttp.Response, string) {
	b.t.Helper()
	req, err := nethttp.NewRequest(method, b.base+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := b.c.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, string(text)
}

// want is ask, and checks the status and that the body has text in it.
func (b *browser) want(status int, text, method, path, body string, fields ...string) string {
	b.t.Helper()
	got, reply := b.ask(method, path, body, fields...)
	if got != status || !strings.Contains(reply, text) {
		b.t.Fatalf("%s %s %s: %d %s, want %d and %q", method, path, body, got, reply, status, text)
	}
	return reply
}

// wantNoOwner waits until the device has forgotten its owner.
func (b *browser) wantNoOwner() {
	b.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, text := b.ask("GET", "/owner", ""); strings.Contains(text, `"owned":false`) {
			return
		} else if time.Now().After(end) {
			b.t.Fatal(text)
		}
	}
}

// setUp makes the owner ann, who is logged in then.
func setUp(t *testing.T, base, said string) *browser {
	t.Helper()
	code := codeIn.FindStringSubmatch(said)
	if code == nil {
		t.Fatalf("there is no code in %q", said)
	}
	b := newBrowser(t, base)
	b.want(200, "", "POST", "/owner/setup", `{"code": "`+code[1]+`", "name": "ann", "password": "correct horse"}`)
	return b
}

func TestFirstStartToRestart(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		dir := t.TempDir()
		p := start(t, dir, poller)
		b := newBrowser(t, "http://"+p.Addr)

		// Without an owner one can look, and that is all.
		b.want(200, `"owned":false`, "GET", "/owner", "")
		b.want(200, `"name":"thermostat"`, "GET", "/api/settings", "")
		b.want(403, "", "PATCH", "/api/settings", `{"name": "mine"}`)
		b.want(403, "", "POST", "/api/actions/reboot", `{"confirm": true}`)
		b.want(404, "", "GET", "/update", "") // off without slots
		b.want(401, "the code is wrong", "POST", "/owner/setup", `{"code": "AAAA-AAAA", "name": "eve", "password": "correct horse"}`)

		ann := setUp(t, b.base, p.Said)
		ann.want(200, `"role":"admin"`, "GET", "/owner", "")
		ann.want(200, `"saved":true`, "PATCH", "/api/settings", `{"name": "hall", "target": 22.5, "network": {"password": "swordfish"}}`)
		ann.want(422, `"path":"alarm.high"`, "PATCH", "/api/settings", `{"alarm": {"low": 40}}`)
		ann.want(422, "must be 200 to 10000 ms", "PATCH", "/api/settings", `{"interval": 5}`)
		ann.want(200, "device_target 22.5", "GET", "/metrics", "")
		if _, doc := ann.ask("GET", "/api/settings", ""); strings.Contains(doc, "swordfish") {
			t.Errorf("the secret is in %s", doc)
		}
		ann.want(204, "", "POST", "/api/actions/identify", `{}`)
		ann.want(200, `"identifying":true`, "GET", "/api/settings", "")
		ann.want(428, "Forget all", "POST", "/api/actions/factory-reset", `{}`)

		// A stranger cannot look any more.
		b.want(401, "", "GET", "/api/settings", "")
		b.want(401, "", "GET", "/metrics", "")

		if err := p.Terminate(patience); err != nil {
			t.Fatal(err)
		}
		p = start(t, dir, poller)
		if codeIn.MatchString(p.Said) {
			t.Errorf("it shows a code again: %q", p.Said)
		}
		b = newBrowser(t, "http://"+p.Addr)
		b.want(401, "", "GET", "/api/settings", "")
		b.want(401, "", "POST", "/owner/login", `{"name": "ann", "password": "wrong horse"}`)
		b.want(200, "", "POST", "/owner/login", `{"name": "ann", "password": "correct horse"}`)
		b.want(200, `"name":"hall"`, "GET", "/api/settings", "")
		b.want(200, `"target":22.5`, "GET", "/api/settings", "")
	})
}

func TestRoles(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, t.TempDir(), poller)
		ann := setUp(t, "http://"+p.Addr, p.Said)
		as := map[string]*browser{"admin": ann}
		for _, role := range []string{"viewer", "user"} {
			ann.want(200, "", "PUT", "/owner/users/"+role, `{"role": "`+role+`", "password": "correct horse"}`)
			as[role] = newBrowser(t, ann.base)
			as[role].want(200, "", "POST", "/owner/login", `{"name": "`+role+`", "password": "correct horse"}`)
		}
		for _, tt := range []struct {
			method, path, body  string
			viewer, user, admin int
		}{
			{"GET", "/api/settings", "", 200, 200, 200},
			{"PATCH", "/api/settings", `{"target": 20}`, 403, 200, 200},
			{"PATCH", "/api/settings", `{"network": {"ssid": "x"}}`, 403, 403, 200},
			{"PATCH", "/api/settings", `{"readings": {"temperature": 1}}`, 422, 422, 422},
			{"POST", "/api/actions/identify", `{}`, 403, 204, 204},
			{"GET", "/api/audit", "", 403, 403, 200},
			{"GET", "/owner/users", "", 403, 403, 200},
			{"GET", "/owner/sessions", "", 200, 200, 200},
			{"GET", "/metrics", "", 200, 200, 200},
			{"GET", "/logs", "", 403, 403, 200},
			{"GET", "/files", "", 403, 200, 200},
			{"PUT", "/files/ROLE", "x", 403, 201, 201},
			{"GET", "/about", "", 200, 200, 200},
			{"GET", "/about/sbom.json", "", 200, 200, 200},
			{"GET", "/hub?topic=logs", "", 403, 403, 0}, // 0: a stream without an end
		} {
			for role, want := range map[string]int{"viewer": tt.viewer, "user": tt.user, "admin": tt.admin} {
				if want == 0 {
					continue
				}
				if got, text := as[role].ask(tt.method, strings.Replace(tt.path, "ROLE", role, 1), tt.body); got != want {
					t.Errorf("%s: %s %s %s: %d %s, want %d", role, tt.method, tt.path, tt.body, got, text, want)
				}
			}
		}
	})
}

// Settings, users, sessions, files and the log are gone after a factory reset, and there is a new
// code.
func TestFactoryReset(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, "auto")
	ann := setUp(t, "http://"+p.Addr, p.Said)
	ann.want(200, "", "PATCH", "/api/settings", `{"name": "hall", "network": {"password": "swordfish"}}`)
	ann.want(200, "", "PATCH", "/api/settings", `{"location": "attic"}`)
	ann.want(201, "", "PUT", "/files/mine.txt", "secret")
	ann.want(204, "", "POST", "/api/actions/factory-reset", `{"confirm": true}`)
	ann.wantNoOwner()
	ann.want(200, `"name":"thermostat"`, "GET", "/api/settings", "")
	if _, err := os.Stat(filepath.Join(dir, "files", "mine.txt")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file of the owner is there: %v", err)
	}
	if err := p.Terminate(patience); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		for _, word := range []string{"swordfish", "attic", "ann"} {
			if bytes.Contains(text, []byte(word)) {
				t.Errorf("%s has %q", name, word)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if log := p.Log(); !codeIn.MatchString(log) {
		t.Errorf("there is no new code in %q", log)
	}
}

func TestRefusesToStartInTheClear(t *testing.T) {
	for _, tt := range []struct{ want, args string }{
		{"add -tls", "-listen 0.0.0.0:0"},
		{"add -tls", "-listen [::]:0"},
		{"-listen is an address and a port", "-listen nowhere"},
		{"unexpected argument", "x"},
	} {
		out, err := programtest.Run(t, append([]string{"-data", t.TempDir()}, strings.Fields(tt.args)...)...)
		var status *exec.ExitError
		if !errors.As(err, &status) || !strings.Contains(out, tt.want) {
			t.Errorf("%s: %v %q, want %q", tt.args, err, out, tt.want)
		}
	}
}

// slots are the directory of a product that restarts itself.
type slots struct {
	t    *testing.T
	dir  string
	key  minisign.PrivateKey
	self []byte
}

// image returns a program of its own, and its signature.
func (s *slots) image(version string) (program, sig []byte) {
	program = append(bytes.Clone(s.self), "\n"+version...)
	r := minisign.NewReader(bytes.NewReader(program))
	if _, err := io.Copy(io.Discard, r); err != nil {
		s.t.Fatal(err)
	}
	return program, r.SignWithComments(s.key, "version="+version+" board="+board, "of a test")
}

// startSlots starts version 1.0 in slot a. started waits until the program says that it listens: at
// its start, and again after each restart.
func startSlots(t *testing.T, poller string, args ...string) (s *slots, started func() (addr, said string)) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return startSlotsOf(t, self, "", append([]string{"-poller", poller}, args...)...)
}

// startSlotsOf is startSlots of a program. via, unless "", is what it is run with.
func startSlotsOf(t *testing.T, program, via string, args ...string) (s *slots, started func() (addr, said string)) {
	t.Helper()
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s = &slots{t: t, dir: t.TempDir(), key: private}
	if s.self, err = os.ReadFile(program); err != nil {
		t.Fatal(err)
	}
	first, sig := s.image("1.0")
	for _, err := range []error{
		os.WriteFile(filepath.Join(s.dir, "a"), first, 0o755),
		os.WriteFile(filepath.Join(s.dir, "a.minisig"), sig, 0o644),
		os.Symlink("a", filepath.Join(s.dir, "current")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	args = append([]string{"-listen", "127.0.0.1:0", "-data", t.TempDir(), "-slots", s.dir, "-key", public.String()}, args...)
	cmd := exec.Command(filepath.Join(s.dir, "current"), args...)
	if via != "" {
		cmd = exec.Command(via, append([]string{cmd.Path, "-via", via}, args...)...)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewReader(out)
	return s, func() (addr, said string) {
		for {
			line, err := lines.ReadString('\n')
			said += line
			if m := listenAt.FindStringSubmatch(line); m != nil {
				return m[1], said
			}
			if err != nil {
				t.Fatalf("%v: %q", err, said)
			}
		}
	}
}

// The whole way of an update: upload by HTTP in two pieces, reboot by an action, trial,
// confirmation.
func TestUpdate(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		s, started := startSlots(t, poller)
		addr, said := started()
		s.update(setUp(t, "http://"+addr, said), started)
	})
}

// update has ann update the program to version 2.0.
func (s *slots) update(ann *browser, started func() (addr, said string)) {
	t := s.t
	t.Helper()
	ann.want(200, `"running":{"version":"1.0"`, "GET", "/update", "")
	next, sig := s.image("2.0")
	size := strconv.Itoa(len(next))
	newBrowser(t, ann.base).want(401, "", "GET", "/update", "")
	newBrowser(t, ann.base).want(401, "", "POST", "/update?size="+size, string(sig))
	ann.want(422, "signature", "POST", "/update?size="+size, "no signature")
	ann.want(200, `"offset":0`, "POST", "/update?size="+size, string(sig))
	half := len(next) / 2
	ann.want(200, `"offset":`+strconv.Itoa(half), "PATCH", "/update", string(next[:half]), "Upload-Offset", "0")
	ann.want(200, `"update":"receiving 2.0: 4`, "GET", "/api/settings", "")
	ann.want(200, `"state":"ready"`, "PATCH", "/update", string(next[half:]), "Upload-Offset", strconv.Itoa(half))
	ann.want(204, "", "POST", "/api/actions/reboot", `{"confirm": true}`)
	addr, _ := started()
	ann.base = "http://" + addr // the cookie goes with the host
	ann.want(200, `"running":{"version":"2.0"`, "GET", "/update", "")
	ann.want(200, `"update":"settled"`, "GET", "/api/settings", "")
	if to, err := os.Readlink(filepath.Join(s.dir, "current")); to != "b" {
		t.Errorf("current leads to %q, %v", to, err)
	}
}

// Over TLS the certificate is made at the first start and stays, and the cookie is for TLS alone.
func TestTLS(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		dir := t.TempDir()
		var certs [2]string
		for i := range certs {
			p := programtest.Start(t, "-listen", "127.0.0.1:0", "-tls", "-data", dir, "-poller", poller)
			b := newBrowser(t, "https://"+p.Addr)
			b.c.Transport = &nethttp.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			resp, err := b.c.Get(b.base + "/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			certs[i] = string(resp.TLS.PeerCertificates[0].Raw)
			if i == 0 {
				code := codeIn.FindStringSubmatch(p.Said)[1]
				b.want(200, "", "POST", "/owner/setup", `{"code": "`+code+`", "name": "ann", "password": "correct horse"}`)
			} else {
				b.want(200, "", "POST", "/owner/login", `{"name": "ann", "password": "correct horse"}`)
			}
			b.want(200, `"name":"thermostat"`, "GET", "/api/settings", "")
			at, err := url.Parse(b.base)
			if err != nil {
				t.Fatal(err)
			}
			if c := b.c.Jar.Cookies(at); len(c) != 1 || c[0].Name != "__Host-session" {
				t.Errorf("the cookies are %v", c)
			}
			if err := p.Terminate(patience); err != nil {
				t.Fatal(err)
			}
		}
		if certs[0] != certs[1] {
			t.Error("there is another certificate after a restart")
		}
	})
}

// A program that is in no slot runs, without updates.
func TestRunsOutsideOfTheSlots(t *testing.T) {
	public, _, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := programtest.Start(t, "-listen", "127.0.0.1:0", "-data", t.TempDir(), "-slots", t.TempDir(), "-key", public.String())
	newBrowser(t, "http://"+p.Addr).want(404, "", "GET", "/update", "")
	if !strings.Contains(p.Said, "takes no updates") {
		t.Errorf("it does not say why: %q", p.Said)
	}
}

// The secrets and the users are not for others on the machine.
func TestFilesAreForTheProgramAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir, "auto")
	ann := setUp(t, "http://"+p.Addr, p.Said)
	ann.want(200, "", "PATCH", "/api/settings", `{"name": "hall"}`)
	for _, name := range []string{"", "settings.json", "users.json"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	var file struct{ Settings map[string]any }
	text, err := os.ReadFile(filepath.Join(dir, "settings.json"))
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		t.Error(err)
	}
}
