package captive

import (
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/netip"
	"slices"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/examples/portal/wifi"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/middleware"
)

// Path is where the API of RFC 8908 is.
const Path = "/captive-portal/api"

// Options are the settings of a Portal.
type Options struct {
	// URL is the page of the portal, such as http://192.168.4.1/. Its host is an address, or a name
	// that phones resolve by the answerer.
	URL     string
	Name    string // of the device, for the page
	Network wifi.Network

	// Joined, unless nil, is called after the device has joined a network: the program may end its
	// own network some seconds later, when the phone has shown the outcome.
	Joined func(ssid string)
}

// state is how far the set-up is.
type state uint8

const (
	waiting state = iota
	joining
	joined
)

// A Portal is the page, what it does, and the redirects to it. It belongs to one loop.
type Portal struct {
	o      Options
	origin string
	host   string
	mux    *http.Mux

	state    state
	scanning bool
	ssid     string // of the last attempt
	outcome  string // what is told of it
	points   []wifi.AccessPoint
}

//go:embed style.css
var style string

// New makes the portal of a device.
func New(o Options) (*Portal, error) {
	rest, ok := strings.CutPrefix(o.URL, "http://")
	host, path, _ := strings.Cut(rest, "/")
	if !ok || host == "" || path != "" || strings.ContainsAny(host, "?#@ \"<>") {
		return nil, fmt.Errorf("captive: URL %q: want http://HOST/", o.URL)
	}
	p := &Portal{o: o, host: strings.ToLower(strings.TrimSuffix(host, ":80")), mux: http.NewMux()}
	p.origin = "http://" + p.host
	p.mux.Use(middleware.SecurityHeaders(middleware.Headers{}), middleware.CSRF())
	p.mux.MustHandle("GET /{$}", p.page)
	p.mux.MustHandle("POST /scan", p.scan)
	p.mux.MustHandle("POST /join", p.join)
	p.mux.MustHandle("GET "+Path, p.api)
	p.mux.MustHandle("GET /style.css", func(c *conn.Conn, _ *http.Message) { http.Reply(c, 200, "text/css; charset=utf-8", "%s", style) })
	return p, nil
}

// Serve is the handler for http.Listen. Options.Hosts of the listener has to be empty: a request for
// any other host is what the portal waits for.
func (p *Portal) Serve(c *conn.Conn, ev conn.Event) {
	if h, ok := ev.(*http.Head); ok && !p.isOurs(c, &h.Request) {
		p.elsewhere(c, &h.Request) // at the head: what its body is does not matter
		return
	}
	p.mux.Serve(c, ev)
}

// isOurs reports whether a request is for the portal: by its name, or by the address that the
// request came to.
func (p *Portal) isOurs(c *conn.Conn, r *http.Request) bool {
	host := strings.ToLower(strings.TrimSuffix(string(r.Host), ":80"))
	if host == p.host {
		return true
	}
	to := c.LocalAddr()
	if a, err := netip.ParseAddrPort(host); err == nil {
		return a.Addr().Unmap() == to.Addr().Unmap()
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap() == to.Addr().Unmap()
}

// probes are the pages that systems ask for, and what they find there when they are on the
// Internet. Anything else, a redirect above all, makes them open the portal.
var probes = map[string]struct {
	status int
	kind   string
	body   string
}{
	"/generate_204":              {204, "", ""},                                                                                                    // Android, Chrome
	"/gen_204":                   {204, "", ""},                                                                                                    // Android
	"/hotspot-detect.html":       {200, "text/html", "<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>"},                       // Apple
	"/library/test/success.html": {200, "text/html", "<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>"},                       // Apple, older
	"/connecttest.txt":           {200, "text/plain", "Microsoft Connect Test"},                                                                    // Windows 10 and later
	"/ncsi.txt":                  {200, "text/plain", "Microsoft NCSI"},                                                                            // Windows before
	"/success.txt":               {200, "text/plain", "success\n"},                                                                                 // Firefox
	"/canonical.html":            {200, "text/html", `<meta http-equiv="refresh" content="0;url=https://support.mozilla.org/kb/captive-portal"/>`}, // Firefox
	"/check_network_status.txt":  {200, "text/plain", "NetworkManager is online\n"},                                                                // GNOME
	"/nm":                        {200, "text/plain", "NetworkManager is online\n"},                                                                // Debian
}

// elsewhere replies to a request for another host. Before the device has joined a network it leads to
// the portal. Afterwards probes succeed, so that the phone closes the page by itself.
func (p *Portal) elsewhere(c *conn.Conn, r *http.Request) {
	http.SetHeader(c, "Cache-Control", "no-store")
	if ok, found := probes[string(r.Path)]; found && p.state == joined {
		http.Reply(c, ok.status, ok.kind, "%s", ok.body)
		return
	}
	http.SetHeader(c, "Location", p.origin+"/")
	http.Reply(c, 302, "text/plain; charset=utf-8", "The portal is at %s/\n", p.origin)
}

// api is the API of RFC 8908 §5.
func (p *Portal) api(c *conn.Conn, _ *http.Message) {
	b, _ := json.Marshal(struct {
		Captive bool   `json:"captive"`
		Page    string `json:"user-portal-url,omitempty"`
	}{p.state != joined, p.origin + "/"})
	http.SetHeader(c, "Cache-Control", "private, no-store")
	http.Reply(c, 200, "application/captive+json", "%s", b)
}

func (p *Portal) scan(c *conn.Conn, _ *http.Message) {
	p.startScan()
	p.back(c)
}

func (p *Portal) startScan() {
	if p.scanning || p.state == joining {
		return
	}
	p.scanning = true
	p.o.Network.Scan(func(points []wifi.AccessPoint, err error) {
		p.scanning = false
		if err != nil {
			p.outcome = "The scan failed: " + strings.TrimPrefix(err.Error(), "wifi: ") + "."
			return
		}
		p.points = points
	})
}

// back sends the browser to the page, with GET: reloading that repeats nothing.
func (p *Portal) back(c *conn.Conn) {
	http.SetHeader(c, "Location", "/")
	http.SetHeader(c, "Cache-Control", "no-store")
	http.Reply(c, 303, "", "")
}

// join takes the form: "ssid" is one of those found, in hex, since it need not be text; "other" is
// one that was typed in.
func (p *Portal) join(c *conn.Conn, m *http.Message) {
	if p.state == joining {
		p.back(c)
		return
	}
	form, _ := m.Var("ssid")
	ssid, err := hex.DecodeString(form)
	other, _ := m.Var("other")
	passphrase, _ := m.Var("passphrase")
	to := wifi.AccessPoint{SSID: string(ssid), Security: wifi.Personal}
	if other != "" {
		ssid, err = []byte(other), nil
	}
	switch i := slices.IndexFunc(p.points, func(a wifi.AccessPoint) bool { return a.SSID == string(ssid) }); {
	case other != "" && (i < 0 || p.points[i].Security == wifi.Open && passphrase != ""):
		// It is hidden, or its owner knows it to be protected, and what was found is a twin.
		to.SSID, to.Hidden = other, true
		if passphrase == "" {
			to.Security = wifi.Open
		}
	case err != nil || len(ssid) == 0:
		p.outcome = "Choose a network."
		p.back(c)
		return
	case i >= 0:
		to = p.points[i]
	}
	p.ssid = to.SSID
	if err := to.Check(passphrase); err != nil {
		p.outcome = sentence(err)
		p.back(c)
		return
	}
	p.state, p.outcome = joining, ""
	p.back(c)
	p.o.Network.Join(to, passphrase, func(err error) {
		if err != nil {
			p.state, p.outcome = waiting, sentence(err)
			return
		}
		p.state = joined
		if p.o.Joined != nil {
			p.o.Joined(to.SSID)
		}
	})
}

// sentence makes one of an error.
func sentence(err error) string {
	s := strings.TrimPrefix(err.Error(), "wifi: ")
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// page is the page. It needs no script: the browsers that phones show portals in may have none.
func (p *Portal) page(c *conn.Conn, _ *http.Message) {
	if p.points == nil && p.state == waiting && p.outcome == "" {
		p.startScan()
	}
	var b strings.Builder
	name := html.EscapeString(p.o.Name)
	b.WriteString("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n")
	if p.scanning || p.state == joining {
		b.WriteString("<meta http-equiv=\"refresh\" content=\"2\">\n")
	}
	fmt.Fprintf(&b, "<title>Set up %s</title>\n<link rel=\"stylesheet\" href=\"/style.css\">\n<main>\n<h1>%s</h1>\n", name, name)
	ssid := html.EscapeString(printable(p.ssid))
	switch p.state {
	case joining:
		fmt.Fprintf(&b, "<p role=\"status\">Joining <b>%s</b> …</p>\n</main>\n", ssid)
	case joined:
		fmt.Fprintf(&b, "<p role=\"status\">Connected to <b>%s</b>. You can close this page.</p>\n</main>\n", ssid)
	default:
		if p.outcome != "" {
			fmt.Fprintf(&b, "<p role=\"alert\">%s</p>\n", html.EscapeString(printable(p.outcome)))
		}
		b.WriteString("<form method=\"post\" action=\"/join\">\n<fieldset><legend>Network</legend>\n")
		for i, a := range p.points {
			off, note := "", ""
			if a.Security == wifi.Unsupported {
				off, note = " disabled", " (not supported)"
			} else if a.Security != wifi.Open {
				note = " 🔒"
			}
			fmt.Fprintf(&b, "<p><input type=\"radio\" name=\"ssid\" id=\"n%d\" value=\"%x\"%s> <label for=\"n%d\">%s%s</label> <small>%d dBm</small></p>\n",
				i, a.SSID, off, i, html.EscapeString(printable(a.SSID)), note, a.Signal)
		}
		if p.scanning {
			b.WriteString("<p role=\"status\">Looking for networks …</p>\n")
		} else if len(p.points) == 0 {
			b.WriteString("<p>No network was found.</p>\n")
		}
		b.WriteString("<p><label for=\"other\">Another network</label> <input name=\"other\" id=\"other\" maxlength=\"32\" autocapitalize=\"none\" autocomplete=\"off\"></p>\n</fieldset>\n" +
			"<p><label for=\"passphrase\">Passphrase</label> <input type=\"password\" name=\"passphrase\" id=\"passphrase\" maxlength=\"64\" autocomplete=\"off\"></p>\n" +
			"<p><button>Join</button></p>\n</form>\n<form method=\"post\" action=\"/scan\"><button>Scan again</button></form>\n</main>\n")
	}
	http.SetHeader(c, "Cache-Control", "no-store")
	http.Reply(c, 200, "text/html; charset=utf-8", "%s", b.String())
}

// printable returns an SSID as text: it may have any bytes. Those that are no text, or that would
// change what is around them (control characters, directions of writing), are shown as "\xNN".
func printable(ssid string) string {
	var b strings.Builder
	for i, r := range ssid {
		switch size := len(string(r)); {
		case r == 0xfffd && !strings.HasPrefix(ssid[i:], "\ufffd"):
			fmt.Fprintf(&b, `\x%02x`, ssid[i])
		case r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x206f || r == 0xfeff:
			for _, c := range []byte(ssid[i : i+size]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
