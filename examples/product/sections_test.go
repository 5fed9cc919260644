package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

// openAsOwner opens a section of a fresh device, as its owner ann.
func openAsOwner(t *testing.T, section string) (*browsertest.Tab, *browser) {
	t.Helper()
	chromium := browsertest.Start(t)
	p := start(t, t.TempDir(), "auto")
	ann := setUp(t, "http://"+p.Addr, p.Said)
	b := browsertest.OpenUntil(t, chromium, "http://"+p.Addr+"/#"+section, `!document.getElementById("enter").hidden`)
	b.Until(`!document.getElementById("enter-go").disabled`)
	fill(b, "user", "ann")
	fill(b, "password", "correct horse")
	b.Do(chromedp.Click(chromedp.ID("enter-go")))
	b.Until(`document.getElementById("who").textContent === "ann, admin"`)
	show(b, section)
	return b, ann
}

// has waits until an element has a text.
func has(b *browsertest.Tab, selector, text string) {
	b.Until(`[...document.querySelectorAll("` + selector + `")].some((n) => n.textContent.includes(` + "`" + text + "`" + `))`)
}

func TestNetworkInABrowser(t *testing.T) {
	b, _ := openAsOwner(t, "network")
	has(b, "#interfaces .addresses", "127.0.0.1/8")
	before := browsertest.JS[string](b, `document.getElementById("interfaces").textContent`)
	b.Until("document.getElementById(`interfaces`).textContent !== `" + before + "`") // the counters are live
	has(b, "#interfaces dd", "/s")
	b.Until(`!document.querySelector("#network .waiting")`)
	b.WantNoErrors()
}

func TestLogsInABrowser(t *testing.T) {
	b, ann := openAsOwner(t, "logs")
	has(b, "#log li", "what=login")

	// Lines come by themselves.
	ann.want(200, "", "PATCH", "/api/settings", `{"name": "hall"}`)
	has(b, "#log li", "to=\"hall\"")

	// A filter, and none that fits.
	fill(b, "log-text", "HALL")
	b.Until(`document.querySelectorAll("#log li").length === 1`)
	b.Until(`document.getElementById("log-save").href.endsWith("/logs?download&level=info&contains=HALL")`)
	fill(b, "log-text", "nothing of it")
	b.Until(`document.querySelector("#logs .nothing").textContent === "No line fits the filter." && !document.querySelector("#logs .nothing").hidden`)
	fill(b, "log-text", "")
	has(b, "#log li", "what=login")
	browsertest.JS[any](b, `document.getElementById("log-level").value = "error", document.getElementById("log-level").dispatchEvent(new Event("change")), null`)
	b.Until(`document.querySelectorAll("#log li").length === 0`)
	browsertest.JS[any](b, `document.getElementById("log-level").value = "info", document.getElementById("log-level").dispatchEvent(new Event("change")), null`)
	has(b, "#log li", "what=login")

	// While it is paused, lines are counted; then they come.
	b.Do(chromedp.Click("#log-pause"))
	ann.want(200, "", "PATCH", "/api/settings", `{"name": "cellar"}`)
	b.Until(`document.getElementById("log-pause").textContent === "Go on: 1 new line"`)
	if browsertest.JS[bool](b, `document.getElementById("log").textContent.includes("cellar")`) {
		t.Error("a line has come during the pause")
	}
	b.Do(chromedp.Click("#log-pause"))
	has(b, "#log li", "cellar")

	// The file has what the filter lets through.
	fill(b, "log-text", "cellar")
	b.Until(`document.getElementById("log-save").href.endsWith("contains=cellar")`)
	if text := browsertest.Async[string](b, `fetch(document.getElementById("log-save").href).then((r) => r.text())`); len(text) == 0 {
		t.Error("the file is empty")
	}
	b.WantNoErrors()
}

func TestAccessInABrowser(t *testing.T) {
	b, ann := openAsOwner(t, "people")

	// One's own password: the errors are beside their fields.
	field := func(form, name, value string) {
		browsertest.JS[any](b, `(() => {
			const n = document.querySelector("#`+form+` [name=`+name+`]");
			n.value = "`+value+`";
			n.dispatchEvent(new Event("input", { bubbles: true }));
			return null;
		})()`)
	}
	field("password-form", "old", "wrong horse")
	field("password-form", "password", "battery staple")
	b.Do(chromedp.Click("#password-form .button"))
	has(b, "#password-form .field .note.bad", "the old password is wrong")
	b.Until(`document.activeElement.name === "old"`)
	field("password-form", "old", "correct horse")
	b.Do(chromedp.Click("#password-form .button"))
	has(b, "#password-note", "The password is changed.")
	b.Until(`document.getElementById("status").dataset.link === "up" && document.getElementById("who").textContent === "ann, admin"`)
	has(b, "#password-note", "The password is changed.")                                                  // the section is as it was
	ann.want(401, "", "PUT", "/owner/password", `{"old": "battery staple", "password": "correct horse"}`) // its session has ended

	// A logout that does not reach the device.
	browsertest.JS[any](b, `window.online = fetch, fetch = () => Promise.reject(new TypeError()), null`)
	b.Do(chromedp.Click("#logout"))
	has(b, "#people .failure", "The device does not reply.")
	browsertest.JS[any](b, `fetch = online, null`)

	// A user, with an error beside the field.
	field("user-form", "name", "Bob Smith")
	field("user-form", "password", "correct horse")
	b.Do(chromedp.Click("#user-form .button"))
	has(b, "#user-form .field .note.bad", "small letters")
	field("user-form", "name", "bob")
	b.Do(chromedp.Click("#user-form .button"))
	has(b, "#users li", "bob")

	// A token for one scope, until a day.
	field("token-form", "name", "grafana")
	field("token-form", "days", "30")
	browsertest.JS[any](b, `document.querySelector("#token-form [value=metrics]").click(), null`)
	b.Do(chromedp.Click("#token-form > .buttons .button"))
	has(b, "#token-made", "Copy it now")
	has(b, "#tokens li", "viewer · metrics · by ann · until")
	token := browsertest.JS[string](b, `document.querySelector("#token-made code").textContent`)
	program := newBrowser(t, ann.base)
	program.want(200, "device_target", "GET", "/metrics", "", "Authorization", "Bearer "+token)
	program.want(403, "", "GET", "/api/settings", "", "Authorization", "Bearer "+token)

	// Removed after a question; the first time the answer is no.
	remove := `#tokens button[aria-label="Remove: grafana"]`
	b.Do(chromedp.Click(remove), chromedp.Click("#ask button[value='']"))
	b.Until("!document.getElementById(`ask`).open && document.querySelector(`" + remove + "`)?.disabled === false")
	b.Do(chromedp.Click(remove), chromedp.Click("#ask-yes"))
	has(b, "#tokens li", "None yet.")
	b.Do(chromedp.Click(`#users button[aria-label="Remove: bob"]`), chromedp.Click("#ask-yes"))
	b.Until(`document.querySelectorAll("#users li").length === 1`)
	b.WantNoErrors("status of 4", "/owner") // a browser puts refusals on the console
}

func TestAboutInABrowser(t *testing.T) {
	b, _ := openAsOwner(t, "about")
	has(b, "#facts dd", "thermostat")
	has(b, "#facts dd", "go1.")
	has(b, "#audit li", "setup: done")
	has(b, "#modules th", "github.com/seed4930a636/mangusta")
	if text := browsertest.Async[string](b, `fetch(document.getElementById("sbom").href).then((r) => r.text())`); !strings.Contains(text, `"CycloneDX"`) {
		t.Errorf("the SBOM is %.200s", text)
	}
	b.Do(chromedp.Click("#about summary"))
	has(b, "#licences .licence", "golang.org/x/sys")
	b.WantNoSidewaysScroll()
	b.WantNoErrors()
}

// The device finds an update by itself when the page asks for it.
func TestPullInABrowser(t *testing.T) {
	chromium := browsertest.Start(t)
	manifest, publish := pullServer(t)
	s, started := startSlots(t, "auto", "-pull", manifest)
	addr, said := started()
	b := browsertest.OpenUntil(t, chromium, "http://"+addr+"/#enter", `!document.getElementById("enter").hidden`)
	enter(b, codeIn.FindStringSubmatch(said)[1])
	b.Until(`document.getElementById("who").textContent === "ann, admin"`)
	show(b, "update")
	b.Until(`!document.getElementById("pull").hidden`)
	b.Do(chromedp.Click("#pull-go"))
	b.Until(`document.getElementById("pull-error").textContent.length > 5`) // there is none yet
	publish(s, "2.0")
	b.Do(chromedp.Click("#pull-go"))
	has(b, "#update-state", "an update is ready")
	has(b, "#pull-state", "Last look: ")
}

func TestCertificateInABrowser(t *testing.T) {
	chromium := browsertest.Start(t)
	p := programtest.Start(t, "-listen", "127.0.0.1:0", "-data", t.TempDir(), "-tls")
	b := browsertest.OpenUntrustedUntil(t, chromium, "https://"+p.Addr+"/#enter", `!document.getElementById("enter").hidden`)
	enter(b, codeIn.FindStringSubmatch(p.Said)[1])
	b.Until(`document.getElementById("who").textContent === "ann, admin"`)
	show(b, "certificate")
	has(b, "#certificate .pill", "the device’s own")
	if text := browsertest.Async[string](b, `fetch(document.getElementById("ca").href).then((r) => r.text())`); !strings.HasPrefix(text, "-----BEGIN CERTIFICATE-----") {
		t.Errorf("the authority is %.100q", text)
	}

	// A pair that does not fit, beside its field; then one that does.
	cert, key := selfSigned(t, "127.0.0.1")
	_, other := selfSigned(t, "127.0.0.1")
	b.Do(chromedp.SetUploadFiles("#cert-file", []string{cert}), chromedp.SetUploadFiles("#cert-key", []string{other}), chromedp.Click("#certificate-form button"))
	b.Until(`document.querySelector("#certificate-form .field .note.bad")?.textContent.length > 10`)
	b.Do(chromedp.SetUploadFiles("#cert-key", []string{key}), chromedp.Click("#certificate-form button"))
	has(b, "#certificate .pill", "uploaded")
	has(b, "#certificate dd", "a test's authority")
	b.Do(chromedp.Click("#certificate .card .buttons button"), chromedp.Click("#ask-yes"))
	has(b, "#certificate .pill", "the device’s own")
}

// selfSigned writes a certificate for an address and its key into files.
func selfSigned(t *testing.T, addr string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a test's authority"}, IPAddresses: []net.IP{net.ParseIP(addr)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	der8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: der8}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestFilesInABrowser(t *testing.T) {
	b, ann := openAsOwner(t, "files")
	has(b, "#files-list", "This folder is empty.")
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	upload := func(paths ...string) { b.Do(chromedp.SetUploadFiles("#files-pick", paths)) }

	// Two at once; then one again, which is a question.
	upload(file("a file.txt", "one"), file("ä.html", "<script>"))
	has(b, "#files-list", "a file.txt")
	has(b, "#files-list", "ä.html")
	has(b, ".room .note", "11 bytes of 33.6 MB used (0%)")
	upload(file("a file.txt", "another"))
	b.Do(chromedp.Click("#ask-yes"))
	has(b, "#files-list", "7 bytes")
	ann.want(200, "another", "GET", "/files/a%20file.txt", "")

	// A file of a stranger is no page of ours.
	href := browsertest.JS[string](b, `document.querySelector('[data-name="ä.html"] a.button').href`)
	if !strings.HasSuffix(href, "/files/%C3%A4.html?download") {
		t.Errorf("the link is %s", href)
	}

	// A name that is taken, beside the field; then one that is free.
	tool := func(name, word string) string {
		return `[data-name="` + name + `"] button[aria-label="` + word + `: ` + name + `"]`
	}
	name := func(value string) {
		browsertest.JS[any](b, `document.querySelector(".name-form input").value = "`+value+`", null`)
		b.Do(chromedp.Click(".name-form .primary"))
	}
	b.Do(chromedp.Click(tool("ä.html", "Rename")))
	name("a file.txt")
	b.Until(`document.querySelector(".name-form .note.bad")?.textContent.length > 5`)
	name("b.html")
	has(b, "#files-list", "b.html")

	// A directory, and a file in it.
	b.Do(chromedp.Click("#files-card .tools .buttons button"))
	name("logos")
	has(b, "#files-list a", "logos")
	browsertest.JS[any](b, `document.querySelector('[data-name="logos"] a').click(), null`)
	has(b, ".crumbs [aria-current]", "logos")
	has(b, "#files-list", "This folder is empty.")
	upload(file("c.svg", "<svg/>"))
	has(b, "#files-list", "c.svg")
	b.Do(chromedp.NavigateBack())
	has(b, "#files-list", "b.html")
	b.Do(chromedp.Click(tool("logos", "Delete")), chromedp.Click("#ask-yes"))
	has(b, "#files-card .failure", "not empty")

	// One that is too large for the device says so, and can be put away.
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, 40<<20); err != nil {
		t.Fatal(err)
	}
	upload(big)
	b.Until(`document.querySelector(".uploads .sub.bad")?.textContent.length > 5`)
	b.Do(chromedp.Click(".uploads button"))
	b.Until(`document.querySelectorAll(".uploads li").length === 0`)
	b.WantNoSidewaysScroll()
	testUndoOfADeletion(t, b, ann, tool)
}

// testUndoOfADeletion deletes b.html and "a file.txt", which are in the directory that is shown.
func testUndoOfADeletion(t *testing.T, b *browsertest.Tab, ann *browser, tool func(name, word string) string) {
	const inRoot = "/files/b.html"
	remove := func(name string) {
		b.Do(chromedp.Click(tool(name, "Delete")))
		b.Until("document.activeElement.ariaLabel === `Undo: " + name + "` && document.getElementById(`files-deleted`).textContent === `" + name + " is deleted.`")
	}
	// Undone, it is as if nothing had been.
	remove("b.html")
	b.Do(chromedp.KeyEvent(kb.Enter))
	b.Until("document.querySelector('" + tool("b.html", "Delete") + "') && document.activeElement.id === `files-list`")
	ann.want(200, "<script>", "GET", inRoot, "")

	// The next deletion makes it final, and so does going elsewhere.
	remove("b.html")
	remove("a file.txt")
	ann.want(404, "", "GET", inRoot, "")
	ann.want(200, "another", "GET", "/files/a%20file.txt", "")
	show(b, "about")
	show(b, "files")
	if browsertest.JS[bool](b, `document.getElementById("files-deleted") !== null`) {
		t.Error("a deletion can be undone although one has left the section")
	}
	b.Until("!document.getElementById(`files-list`).textContent.includes(`a file.txt`)")
	ann.want(404, "", "GET", "/files/a%20file.txt", "")

	// So does the end of the page.
	ann.want(201, "", "PUT", "/files/last.txt", "last")
	show(b, "about")
	show(b, "files")
	remove("last.txt")
	b.Do(chromedp.Navigate("about:blank"))
	host := strings.TrimPrefix(ann.base, "http://")
	for end := time.Now().Add(patience); ann.statusFor(host, "/files/last.txt") != 404; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the end of the page has not deleted the file")
		}
	}
}

var (
	scopeInGo   = regexp.MustCompile(`(?:Allow\(device\.\w+, |\.Who\(|\.Door\(p\.hub, )"([a-z]+)"`)
	scopesInJS  = regexp.MustCompile(`(?m)^const scopes = \[(.*)\];$`)
	quotedScope = regexp.MustCompile(`"([a-z]+)"`)
)

// The page offers each scope that a route of the program asks for, and "owner".
func TestScopesOfTokens(t *testing.T) {
	want := map[string]bool{"owner": true}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range scopeInGo.FindAllSubmatch(text, -1) {
			want[string(m[1])] = true
		}
	}
	offered := map[string]bool{}
	for _, m := range quotedScope.FindAllStringSubmatch(scopesInJS.FindString(pageFiles(t)["people.js"]), -1) {
		offered[m[1]] = true
	}
	if !maps.Equal(want, offered) {
		t.Errorf("the page offers %v, the program has %v", offered, want)
	}
}
