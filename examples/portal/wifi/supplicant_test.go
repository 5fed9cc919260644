package wifi

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// daemon plays wpa_supplicant, on the same loop.
type daemon struct {
	*mgr.Manager
	t        *testing.T
	path     string
	c        *conn.Conn
	clients  []string // that have attached
	commands []string // without ATTACH
	reply    func(cmd string) (reply string, events []string)
}

func newDaemon(t *testing.T, p mgr.Poller) *daemon {
	t.Helper()
	m, err := mgr.New(mgr.Options{Poller: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if m.Close(); m.Stats().Panics != 0 {
			t.Errorf("%d handlers have panicked", m.Stats().Panics)
		}
	})
	d := &daemon{Manager: m, t: t, path: filepath.Join(t.TempDir(), "wlan0"), reply: func(cmd string) (string, []string) {
		switch name, _, _ := strings.Cut(cmd, " "); name {
		case "ADD_NETWORK":
			return "4\n", nil
		case "SCAN":
			return "OK\n", []string{"<3>CTRL-EVENT-SCAN-STARTED ", "<3>CTRL-EVENT-SCAN-RESULTS "}
		case "SCAN_RESULTS":
			return results, nil
		case "SELECT_NETWORK":
			return "OK\n", []string{"<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=4 id_str=]"}
		}
		return "OK\n", nil
	}}
	d.begin()
	return d
}

func (d *daemon) begin() {
	d.t.Helper()
	c, err := d.Listen("unixgram://"+d.path, func(c *conn.Conn, ev conn.Event) {
		g, ok := ev.(*conn.Datagram)
		if !ok {
			return
		}
		cmd, from := string(g.Data), string(g.Path)
		if cmd == "ATTACH" {
			d.clients = append(d.clients, from)
			g.Reply([]byte("OK\n"))
			return
		}
		d.commands = append(d.commands, cmd)
		reply, events := d.reply(cmd)
		if reply != "" {
			g.Reply([]byte(reply))
		}
		for _, ev := range events {
			d.event(ev)
		}
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.c = c
}

func (d *daemon) event(text string) {
	for _, to := range d.clients {
		d.c.SendToPath([]byte(text), to)
	}
}

func (d *daemon) until(what string, f func() bool) {
	d.t.Helper()
	for end := time.Now().Add(time.Minute); !f(); {
		if time.Now().After(end) {
			d.t.Fatalf("not after 20 s: %s; commands %q", what, d.commands)
		}
		if err := d.Poll(20 * time.Millisecond); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *daemon) scan(s *Supplicant) (points []AccessPoint, err error) {
	d.t.Helper()
	done := 0
	s.Scan(func(p []AccessPoint, e error) { points, err = p, e; done++ })
	if done > 0 {
		d.t.Error("done was called before Scan returned")
	}
	d.until("the scan is done", func() bool { return done > 0 })
	d.Poll(0)
	if done != 1 {
		d.t.Errorf("done was called %d times", done)
	}
	return points, err
}

func (d *daemon) join(s *Supplicant, to AccessPoint, passphrase string) (err error) {
	d.t.Helper()
	done := 0
	s.Join(to, passphrase, func(e error) { err = e; done++ })
	if done > 0 {
		d.t.Error("done was called before Join returned")
	}
	d.until("the join is done", func() bool { return done > 0 })
	d.until("all commands have replies", func() bool { return len(s.queue) == 0 })
	if done != 1 {
		d.t.Errorf("done was called %d times", done)
	}
	return err
}

func eachPoller(t *testing.T, f func(t *testing.T, d *daemon)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) { f(t, newDaemon(t, p)) })
	}
}

const results = "bssid / frequency / signal level / flags / ssid\n" +
	"02:00:00:00:00:01\t2412\t-70\t[WPA2-PSK-CCMP][ESS]\tHome\n" +
	"02:00:00:00:00:02\t5180\t-50\t[WPA2-PSK-CCMP][ESS]\tHome\n" +
	"02:00:00:00:00:03\t2412\t-30\t[ESS]\tCaf\\xc3\\xa9 \\\"x\\\" \\\\ \\t\n" +
	"02:00:00:00:00:04\t2412\t-60\t[WPA2-SAE-CCMP][ESS]\tThree\n" +
	"02:00:00:00:00:05\t2412\t-61\t[WPA2-PSK+SAE-CCMP][ESS]\tMixed\n" +
	"02:00:00:00:00:06\t2412\t-62\t[WPA2-EAP-CCMP][ESS]\tOffice\n" +
	"02:00:00:00:00:07\t2412\t-63\t[WEP][ESS]\tOld\n" +
	"02:00:00:00:00:08\t2412\t-10\t[ESS]\t\n" +
	"02:00:00:00:00:09\t2412\t-10\t[ESS]\t\\x00\\x00\\x00\n" +
	"02:00:00:00:00:0a\t2412\t-10\t[ESS]\tbad\\q\n" +
	"02:00:00:00:00:0b\t2412\tloud\t[ESS]\tx\n" +
	"02:00:00:00:00:0c\t2412\t-10\t[ESS]\t123456789012345678901234567890123\n" +
	"02:00:00:00:00:0d\t2412\t-9"

func TestScan(t *testing.T) {
	eachPoller(t, func(t *testing.T, d *daemon) {
		s := NewSupplicant(d.Manager, d.path)
		want := []AccessPoint{
			{SSID: "Café \"x\" \\ \t", Signal: -30}, {SSID: "Home", Signal: -50, Security: Personal}, {SSID: "Three", Signal: -60, Security: SAE},
			{SSID: "Mixed", Signal: -61, Security: Personal}, {SSID: "Office", Signal: -62, Security: Unsupported}, {SSID: "Old", Signal: -63, Security: Unsupported},
		}
		if got, err := d.scan(s); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v", got, err)
		}
		// One that goes on already will tell.
		d.reply = func(cmd string) (string, []string) {
			if cmd == "SCAN" {
				return "FAIL-BUSY\n", []string{"<3>CTRL-EVENT-SCAN-RESULTS "}
			}
			return results, nil
		}
		if got, err := d.scan(s); err != nil || len(got) != len(want) {
			t.Errorf("busy: %+v, %v", got, err)
		}
		n := 0
		for range 3 { // together
			s.Scan(func(p []AccessPoint, err error) { n++ })
		}
		d.until("all three are done", func() bool { return n == 3 })
		d.reply = func(string) (string, []string) { return "FAIL\n", nil }
		if _, err := d.scan(s); !errors.Is(err, errRefused) {
			t.Errorf("refused: %v", err)
		}
		d.reply = func(string) (string, []string) { return "OK\n", []string{"<3>CTRL-EVENT-SCAN-FAILED ret=-16"} }
		if _, err := d.scan(s); err == nil || err.Error() != "wifi: the scan failed" {
			t.Errorf("failed: %v", err)
		}
		if got := len(parseScan(strings.Repeat("x\n", 1000))); got != 0 {
			t.Errorf("%d networks", got)
		}
		var many strings.Builder
		for i := range 1000 {
			fmt.Fprintf(&many, "02:00:00:00:00:01\t2412\t-70\t[ESS]\tn%d\n", i)
		}
		if got := len(parseScan(many.String())); got != mostPoints {
			t.Errorf("%d networks", got)
		}
	})
}

func TestJoin(t *testing.T) {
	eachPoller(t, func(t *testing.T, d *daemon) {
		s := NewSupplicant(d.Manager, d.path, SupplicantOptions{Save: true})
		key := strings.Repeat("0aF9", 16)
		for _, tt := range []struct {
			to         AccessPoint
			passphrase string
			set        []string
		}{
			{AccessPoint{SSID: "Home", Security: Personal}, "correct horse", []string{"ssid 486f6d65", "key_mgmt WPA-PSK", `psk "correct horse"`}},
			{AccessPoint{SSID: "Home", Security: Personal}, key, []string{"ssid 486f6d65", "key_mgmt WPA-PSK", "psk " + key}},
			{AccessPoint{SSID: "Open"}, "", []string{"ssid 4f70656e", "key_mgmt NONE"}},
			{AccessPoint{SSID: "Three", Security: SAE}, `a"b\ c#'d`, []string{"ssid 5468726565", "key_mgmt SAE", "ieee80211w 2", `psk "a"b\ c#'d"`}},
			{AccessPoint{SSID: "Hid", Security: Personal, Hidden: true}, "12345678", []string{"ssid 486964", "scan_ssid 1", "key_mgmt WPA-PSK", `psk "12345678"`}},
			// Names of networks by which an owner could have us run a command.
			{AccessPoint{SSID: "x\nREMOVE_NETWORK all\n"}, "", []string{"ssid " + hex.EncodeToString([]byte("x\nREMOVE_NETWORK all\n")), "key_mgmt NONE"}},
			{AccessPoint{SSID: "\"\x00\xff<3>CTRL-EVENT-CONNECTED"}, "", []string{"ssid " + hex.EncodeToString([]byte("\"\x00\xff<3>CTRL-EVENT-CONNECTED")), "key_mgmt NONE"}},
		} {
			d.commands = nil
			if err := d.join(s, tt.to, tt.passphrase); err != nil {
				t.Errorf("%q: %v", tt.to.SSID, err)
			}
			want := []string{"ADD_NETWORK"}
			for _, v := range tt.set {
				want = append(want, "SET_NETWORK 4 "+v)
			}
			want = append(want, "SELECT_NETWORK 4", "SAVE_CONFIG")
			if !slices.Equal(d.commands, want) {
				t.Errorf("%q: commands %q, want %q", tt.to.SSID, d.commands, want)
			}
		}
		if len(d.clients) != 1 {
			t.Errorf("it has attached %d times", len(d.clients))
		}
	})
}

func TestJoinRefusesWithoutACommand(t *testing.T) {
	d := newDaemon(t, mgr.Auto)
	s := NewSupplicant(d.Manager, d.path)
	for _, tt := range []struct {
		to         AccessPoint
		passphrase string
		want       string
	}{
		{AccessPoint{SSID: ""}, "", "wifi: the name of a network has 1 to 32 bytes"},
		{AccessPoint{SSID: strings.Repeat("x", 33)}, "", "wifi: the name of a network has 1 to 32 bytes"},
		{AccessPoint{SSID: "x", Security: Unsupported}, "12345678", ErrUnsupported.Error()},
		{AccessPoint{SSID: "x", Security: Personal}, "1234567", "wifi: a passphrase has 8 to 63 characters"},
		{AccessPoint{SSID: "x", Security: Personal}, strings.Repeat("g", 64), "wifi: a passphrase has 8 to 63 characters"},
		{AccessPoint{SSID: "x", Security: SAE}, strings.Repeat("a", 64), "wifi: a passphrase has 8 to 63 characters"},
		{AccessPoint{SSID: "x", Security: Personal}, "12345678\nTERMINATE", "wifi: a passphrase has letters, digits, spaces and punctuation of ASCII only"},
		{AccessPoint{SSID: "x", Security: Personal}, "pässword", "wifi: a passphrase has letters, digits, spaces and punctuation of ASCII only"},
		{AccessPoint{SSID: "x"}, "correct horse", "wifi: the network is open, and takes no passphrase: leave it empty if this is the network you mean"},
		{AccessPoint{SSID: "x", Security: Personal}, "1234567\x00", "wifi: a passphrase has letters, digits, spaces and punctuation of ASCII only"},
	} {
		if err := d.join(s, tt.to, tt.passphrase); err == nil || err.Error() != tt.want {
			t.Errorf("%q %q: %v", tt.to.SSID, tt.passphrase, err)
		}
	}
	if len(d.commands)+len(d.clients) != 0 {
		t.Errorf("commands %q", d.commands)
	}
}

func TestJoinThatFails(t *testing.T) {
	eachPoller(t, func(t *testing.T, d *daemon) {
		s := NewSupplicant(d.Manager, d.path, SupplicantOptions{Save: true})
		home := AccessPoint{SSID: "Home", Security: Personal}
		good := d.reply
		on := func(name, reply string, events ...string) {
			d.commands = nil
			d.reply = func(cmd string) (string, []string) {
				if strings.HasPrefix(cmd, name) {
					return reply, events
				}
				return good(cmd)
			}
		}
		cleaned := []string{"REMOVE_NETWORK 4", "ENABLE_NETWORK all"}
		notFound := "<3>CTRL-EVENT-NETWORK-NOT-FOUND "
		for _, tt := range []struct {
			name, reply string
			events      []string
			want        error
			text        string
			cleaned     bool
		}{
			{"SELECT", "OK\n", []string{`<3>CTRL-EVENT-SSID-TEMP-DISABLED id=4 ssid="Home" auth_failures=1 duration=10 reason=WRONG_KEY`}, ErrPassphrase, "", true},
			{"SELECT", "OK\n", []string{`<3>CTRL-EVENT-SSID-TEMP-DISABLED id=4 ssid="Home" auth_failures=1 duration=10 reason=CONN_FAILED`}, nil, "wifi: the network refuses: CONN_FAILED", true},
			// The end is the last word: an SSID in the middle may say anything.
			{"SELECT", "OK\n", []string{`<3>CTRL-EVENT-SSID-TEMP-DISABLED id=4 ssid="a reason=WRONG_KEY " auth_failures=1 duration=10 reason=CONN_FAILED`}, nil, "wifi: the network refuses: CONN_FAILED", true},
			{"SELECT", "OK\n", []string{notFound, notFound, notFound}, ErrNotFound, "", true},
			{"ADD", "FAIL\n", nil, errRefused, `wifi: wpa_supplicant refuses: ADD_NETWORK: "FAIL"`, false},
			{"ADD", "4 x\n", nil, errRefused, "", false},
			{"SET_NETWORK 4 psk", "FAIL\n", nil, errRefused, `wifi: wpa_supplicant refuses: SET_NETWORK 4 psk: "FAIL"`, true},
			{"SELECT", "UNKNOWN COMMAND\n", nil, errRefused, "", true},
		} {
			on(tt.name, tt.reply, tt.events...)
			err := d.join(s, home, "correct horse")
			if tt.want != nil && !errors.Is(err, tt.want) || tt.text != "" && (err == nil || err.Error() != tt.text) {
				t.Errorf("%s %q %v: %v", tt.name, tt.reply, tt.events, err)
			}
			if err != nil && strings.Contains(err.Error(), "horse") {
				t.Errorf("the error tells the passphrase: %v", err)
			}
			if n := len(d.commands); (n >= 2 && slices.Equal(d.commands[n-2:], cleaned)) != tt.cleaned || slices.Contains(d.commands, "SAVE_CONFIG") {
				t.Errorf("%s %q: commands %q", tt.name, tt.reply, d.commands)
			}
		}
		// Events of other networks, before it is selected, and with an SSID that says so.
		on("SELECT", "OK\n", `<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=3 id_str=]`,
			`<3>CTRL-EVENT-SSID-TEMP-DISABLED id=3 ssid="x id=4 reason=WRONG_KEY" auth_failures=1 duration=10 reason=WRONG_KEY`,
			`<3>CTRL-EVENT-SSID-REENABLED id=0 ssid="CTRL-EVENT-CONNECTED - Connection to x completed [id=4"`, `<3>`, `<3> `, `<`, ``, notFound, notFound,
			`<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=4 id_str=]`)
		if err := d.join(s, home, "correct horse"); err != nil {
			t.Error(err)
		}
		// Two at a time.
		d.reply = good
		var first, second error = errors.New("not done"), nil
		done := 0
		s.Join(home, "correct horse", func(err error) { first = err; done++ })
		s.Join(home, "correct horse", func(err error) { second = err; done++ })
		d.until("both are done", func() bool { return done == 2 })
		if first != nil || second != ErrBusy {
			t.Errorf("%v, %v", first, second)
		}
	})
}

// An open twin of a network that is known to be protected is not joined, however strong it is.
func TestOpenTwin(t *testing.T) {
	line := func(signal int, flags, ssid string) string {
		return fmt.Sprintf("02:00:00:00:00:01\t2412\t%d\t%s\t%s\n", signal, flags, ssid)
	}
	psk, open := "[WPA2-PSK-CCMP][ESS]", "[ESS]"
	eachPoller(t, func(t *testing.T, d *daemon) {
		s := NewSupplicant(d.Manager, d.path)
		good := d.reply
		scan := func(lines ...string) []AccessPoint {
			t.Helper()
			d.reply = func(cmd string) (string, []string) {
				if cmd == "SCAN_RESULTS" {
					return "heading\n" + strings.Join(lines, ""), nil
				}
				return good(cmd)
			}
			points, err := d.scan(s)
			if err != nil {
				t.Fatal(err)
			}
			return points
		}
		home := []AccessPoint{{SSID: "Home", Signal: -70, Security: Personal}}
		for _, lines := range [][]string{
			{line(-70, psk, "Home"), line(-20, open, "Home")},
			{line(-20, open, "Home"), line(-70, psk, "Home")},
			{line(-80, psk, "Home"), line(-70, psk, "Home"), line(-20, open, "Home"), line(-10, "[WEP][ESS]", "Home")},
		} {
			if got := scan(lines...); !reflect.DeepEqual(got, home) {
				t.Errorf("%q: %+v", lines, got)
			}
		}
		for flags, want := range map[string]Security{
			psk: SAE, "[WPA2-EAP-CCMP][ESS]": SAE, open: SAE, "[WPA2-SAE-CCMP][ESS]": SAE,
		} {
			if got := scan(line(-20, flags, "Three"), line(-70, "[WPA2-SAE-CCMP][ESS]", "Three")); len(got) != 1 || got[0].Security != want {
				t.Errorf("SAE and %s: %+v", flags, got)
			}
		}
		if got := scan(line(-20, open, "Office"), line(-70, "[WPA2-EAP-CCMP][ESS]", "Office")); len(got) != 1 || got[0].Security != Unsupported {
			t.Errorf("a network with user names, and an open twin: %+v", got)
		}
		// Many that are stronger do not push the protected one out.
		var many []string
		for i := range 2 * mostPoints {
			many = append(many, line(-30, open, fmt.Sprint("n", i%(mostPoints-1))))
		}
		if got := scan(append(many, line(-20, open, "Home"), line(-70, psk, "Home"))...); len(got) != mostPoints || got[mostPoints-1] != home[0] {
			t.Errorf("of many: %+v", got)
		}
		// The next scan finds the twin alone: it is shown as what it was, and not joined in any way.
		if got := scan(line(-20, open, "Home"), line(-30, open, "Café")); len(got) != 2 || got[0].Security != Personal || got[1].Security != Open {
			t.Errorf("the twin alone: %+v", got)
		}
		d.commands = nil
		if err := d.join(s, AccessPoint{SSID: "Home"}, ""); err != ErrTwin || len(d.commands) != 0 {
			t.Errorf("join: %v, %q", err, d.commands)
		}
		// A network that becomes protected is so from then on.
		scan(line(-20, psk, "Café"))
		if err := d.join(s, AccessPoint{SSID: "Café"}, ""); err != ErrTwin {
			t.Errorf("join: %v", err)
		}
		// The memory of networks is bounded.
		for n := range 2 * mostRemembered / mostPoints {
			many = many[:0]
			for i := range mostPoints {
				many = append(many, line(-30, psk, fmt.Sprint("x", n*mostPoints+i)))
			}
			scan(many...)
		}
		if len(s.seen) != mostRemembered {
			t.Errorf("%d networks are remembered", len(s.seen))
		}
	})
}

// The real one: what it takes as SSIDs and passphrases is what we mean.
func TestRealSupplicant(t *testing.T) {
	bin := "/usr/sbin/wpa_supplicant"
	if _, err := os.Stat(bin); err != nil {
		t.Skip("no wpa_supplicant")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, []byte("ctrl_interface="+dir+"\nupdate_config=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-Dwired", "-ilo", "-c"+conf)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	path := filepath.Join(dir, "lo")
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		select {
		case err := <-ended:
			ended <- err
			b, _ := os.ReadFile(log.Name())
			t.Skipf("wpa_supplicant does not run here: %v, %s", err, b)
		default:
		}
		if time.Now().After(end) {
			t.Fatal("wpa_supplicant has no socket after 20 s")
		}
	}
	d := newDaemon(t, mgr.Auto)
	s := NewSupplicant(d.Manager, path)
	ask := func(text string) (reply string) {
		t.Helper()
		done := false
		s.command(text, func(r string, err error) {
			if reply = r; err != nil {
				t.Errorf("%s: %v", text, err)
			}
			done = true
		})
		d.until("the reply to "+text, func() bool { return done })
		return reply
	}
	id := ask("ADD_NETWORK")
	set := func(to AccessPoint, passphrase string) {
		t.Helper()
		for _, v := range settings(to, passphrase) {
			if got := ask("SET_NETWORK " + id + " " + v); got != "OK" && !strings.HasPrefix(v, "ieee80211w") && v != "key_mgmt SAE" { // unless it was built with them
				t.Errorf("%q: %q", v, got)
			}
		}
	}
	for _, ssid := range []string{"Home", "a b", `quo"te`, `"quoted"`, `back\slash`, "x\nREMOVE_NETWORK all", "\x00\x01\xff", "Café", "P\"x\"", strings.Repeat("\xff", 32)} {
		set(AccessPoint{SSID: ssid, Security: Personal}, "correct horse")
		got := ask("GET_NETWORK " + id + " ssid")
		if raw, quoted := strings.CutPrefix(got, `"`); quoted {
			got = hex.EncodeToString([]byte(strings.TrimSuffix(raw, `"`)))
		}
		if want := hex.EncodeToString([]byte(ssid)); got != want {
			t.Errorf("SSID %q: it has %s, want %s", ssid, got, want)
		}
	}
	// It does not tell a passphrase, but writes it to its file.
	for _, passphrase := range []string{"correct horse", `with "quotes"`, `"quoted all"`, `back\slash\n`, `hash # and = 'x'`, "        ", strings.Repeat("~", 63), strings.Repeat("ab", 32)} {
		set(AccessPoint{SSID: "Home", Security: Personal}, passphrase)
		if got := ask("SAVE_CONFIG"); got != "OK" {
			t.Fatalf("SAVE_CONFIG: %q", got)
		}
		b, err := os.ReadFile(conf)
		if err != nil {
			t.Fatal(err)
		}
		want := `psk="` + passphrase + "\"\n"
		if isKey(passphrase) {
			want = "psk=" + passphrase + "\n"
		}
		if !strings.Contains(string(b), want) {
			t.Errorf("passphrase %q: the file has %s", passphrase, b)
		}
	}
	if got := ask("LIST_NETWORKS"); strings.Count(got, "\n") != 1 {
		t.Errorf("networks: %q", got)
	}
}

func FuzzParseScan(f *testing.F) {
	f.Add(results)
	f.Add("a\tb\t-1\t[ESS]\t\\x0")
	f.Fuzz(func(t *testing.T, text string) {
		for _, a := range parseScan(text) {
			passphrase := "12345678"
			if a.Security == Open {
				passphrase = ""
			}
			if err := a.Check(passphrase); err != nil && a.Security != Unsupported {
				t.Errorf("%+v: %v", a, err)
			}
		}
	})
}
