package main

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/examples/internal/web/webtest"
	"github.com/seed4930a636/mangusta/mgr"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

func TestMain(m *testing.M) { programtest.Main(m, main) }

var brokerAt = regexp.MustCompile(`MQTT broker at (\S+)`)

// start starts the program with its own broker, and returns the address of that too.
func start(t *testing.T) (p *programtest.Program, broker string) {
	t.Helper()
	p = programtest.Start(t, "-listen", "127.0.0.1:0", "-mqtt-listen", "127.0.0.1:0")
	at := brokerAt.FindStringSubmatch(p.Said)
	if at == nil {
		t.Fatalf("the program does not say where its broker is: %q", p.Said)
	}
	return p, at[1]
}

// command makes a command of mosquitto-clients, for the broker at that address.
func command(t *testing.T, name, broker string, args ...string) *exec.Cmd {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: there is no %s here (apt-get install mosquitto-clients)", name)
	}
	host, port, err := net.SplitHostPort(broker)
	if err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), name, append([]string{"-V", "5", "-q", "1", "-h", host, "-p", port}, args...)...)
}

func pub(t *testing.T, broker, topic, data string, args ...string) {
	t.Helper()
	args = append(args, "-t", topic, "-m", data)
	if data == "" {
		args = append(args[:len(args)-2], "-n")
	}
	if out, err := command(t, "mosquitto_pub", broker, args...).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_pub: %v %s", err, out)
	}
}

// sub returns the lines "TOPIC DATA" of mosquitto_sub, which has subscribed: that it has, it shows
// by a retained message.
func sub(t *testing.T, broker string, filters ...string) <-chan string {
	t.Helper()
	pub(t, broker, "test/ready", "1", "-r")
	args := []string{"-v", "-t", "test/ready"}
	for _, f := range filters {
		args = append(args, "-t", f)
	}
	cmd := command(t, "mosquitto_sub", broker, args...)
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
	lines := make(chan string, 1000)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	want(t, lines, "test/ready 1")
	return lines
}

// want fails unless these lines come next.
func want(t *testing.T, from <-chan string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		select {
		case got := <-from:
			if got != line {
				t.Fatalf("got %q, want %q", got, line)
			}
		case <-time.After(patience):
			t.Fatalf("%q does not come", line)
		}
	}
}

// A visitor is a client of the program's hub.
type visitor struct {
	t      *testing.T
	m      *mgr.Manager
	remote *broadcast.Remote
	got    chan string // "TOPIC DATA"
}

func visit(t *testing.T, addr string, patterns ...string) *visitor {
	t.Helper()
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{t: t, m: m, got: make(chan string, 1000)}
	v.remote, err = broadcast.Dial(m, "ws://"+addr+"/hub", broadcast.DialOptions{Message: func(m *broadcast.Message) {
		text := m.Topic + " " + string(m.Data)
		if m.Deleted {
			text = m.Topic + " deleted"
		}
		v.got <- text
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range patterns {
		if err := v.remote.Subscribe(p, broadcast.All); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.Run(t.Context())
	}()
	t.Cleanup(func() {
		m.Close()
		<-ended
	})
	return v
}

// publish returns what the program says to it: "" is fine.
func (v *visitor) publish(topic, data string) string {
	v.t.Helper()
	said := make(chan string, 1)
	v.m.Do(func() {
		err := v.remote.Publish(topic, []byte(data), func(_ broadcast.Receipt, err error) {
			if err != nil {
				said <- err.Error()
				return
			}
			said <- ""
		})
		if err != nil {
			said <- err.Error()
		}
	})
	select {
	case text := <-said:
		return text
	case <-time.After(patience):
		v.t.Fatal("no reply to a message")
		return ""
	}
}

// connected waits until the bridge has subscribed.
func (v *visitor) connected() {
	v.t.Helper()
	for {
		select {
		case text := <-v.got:
			if text == away+" false" {
				return
			}
		case <-time.After(patience):
			v.t.Fatal("the bridge does not connect")
		}
	}
}

func TestSensorsAndCommands(t *testing.T) {
	p, broker := start(t)
	visit(t, p.Addr, away).connected()
	v := visit(t, p.Addr, "sensors/#", lamp)
	lines := sub(t, broker, "commands/#", "mangusta/status")
	want(t, lines, "mangusta/status online")

	pub(t, broker, "sensors/kitchen/temperature", "21")
	want(t, v.got, "sensors/kitchen/temperature 21")
	newcomer := visit(t, p.Addr, "sensors/#") // though the broker does not keep it
	want(t, newcomer.got, "sensors/kitchen/temperature 21")
	pub(t, broker, "sensors/kitchen/door", "open", "-r")
	pub(t, broker, "sensors/kitchen/door", "", "-r")
	want(t, v.got, "sensors/kitchen/door open", "sensors/kitchen/door deleted")

	if said := v.publish(lamp, "on"); said != "" {
		t.Fatal(said)
	}
	want(t, lines, lamp+" on")
	want(t, v.got, lamp+" on")
	pub(t, broker, lamp, "off") // somebody else
	want(t, lines, lamp+" off")
	want(t, v.got, lamp+" off")
	for _, topic := range []string{"sensors/kitchen/temperature", "commands/door", away} {
		if v.publish(topic, "1") == "" {
			t.Errorf("a page may publish to %s", topic)
		}
	}

	if err := p.Terminate(10 * time.Second); err != nil {
		t.Errorf("the program ends with %v", err)
	}
	want(t, lines, "mangusta/status offline")
	if log := p.Log(); log != "" {
		t.Errorf("it said %q", log)
	}
}

// outside is Mosquitto, as a program of its own that comes and goes.
type outside struct {
	t          *testing.T
	addr, conf string
	binary     string
	cmd        *exec.Cmd
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{t: t, binary: "/usr/sbin/mosquitto", conf: filepath.Join(t.TempDir(), "conf")}
	if _, err := os.Stat(o.binary); err != nil {
		t.Skip("SKIPPED, NOT TESTED: there is no mosquitto here (apt-get install mosquitto)")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // mosquitto does not say which port it has got
	if err != nil {
		t.Fatal(err)
	}
	o.addr = l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(o.addr)
	if err := os.WriteFile(o.conf, []byte("listener "+port+" 127.0.0.1\nallow_anonymous true\nlog_dest none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *outside) start() {
	o.t.Helper()
	o.cmd = exec.Command(o.binary, "-c", o.conf)
	if err := o.cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	cmd := o.cmd
	o.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

func (o *outside) kill() {
	o.cmd.Process.Kill()
	o.cmd.Wait()
}

// A broker elsewhere that is not there yet, comes, goes and comes back.
func TestABrokerThatComesAndGoes(t *testing.T) {
	o := newOutside(t)
	p := programtest.Start(t, "-listen", "127.0.0.1:0", "-broker", "mqtt://"+o.addr)
	v := visit(t, p.Addr, away)
	want(t, v.got, away+" true")
	o.start()
	want(t, v.got, away+" false")
	o.kill()
	want(t, v.got, away+" true")
	if said := v.publish(lamp, "on"); said != "" {
		t.Fatal(said)
	}
	o.start()
	want(t, v.got, away+" false")
	lines := sub(t, o.addr, "commands/#")
	v.publish(lamp, "off")
	for line := ""; line != lamp+" off"; { // "on", which waited, may have come before mosquitto_sub did
		select {
		case line = <-lines:
		case <-time.After(patience):
			t.Fatal("no command comes")
		}
	}
	if err := p.Terminate(10 * time.Second); err != nil {
		t.Errorf("the program ends with %v: %s", err, p.Log())
	}
}

// Without the broker the end is a clean one if nothing is lost by it.
func TestTheEndWhileTheBrokerIsAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	url := "mqtt://" + l.Addr().String()
	p := programtest.Start(t, "-listen", "127.0.0.1:0", "-broker", url)
	v := visit(t, p.Addr, away)
	want(t, v.got, away+" true")
	if err := p.Terminate(10 * time.Second); err != nil {
		t.Errorf("the program ends with %v: %s", err, p.Log())
	}

	p = programtest.Start(t, "-listen", "127.0.0.1:0", "-broker", url)
	v = visit(t, p.Addr, away)
	want(t, v.got, away+" true") // and the link is up
	if said := v.publish(lamp, "on"); said != "" {
		t.Fatal(said)
	}
	if err, log := p.Terminate(10*time.Second), p.Log(); err == nil || !strings.Contains(log, "1 messages did not get to the broker") {
		t.Errorf("the program ends with %v: %s", err, log)
	}
}

func TestWrongCommandLines(t *testing.T) {
	for args, says := range map[string]string{
		"-broker http://x":              "is not mqtt://HOST:PORT",
		"-mqtt-listen nonsense":         "broker: ",
		"-mqtt-listen 127.0.0.1:0 more": `unexpected argument "more"`,
	} {
		if out, err := programtest.Run(t, append(strings.Fields(args), "-listen", "127.0.0.1:0")...); err == nil || !strings.Contains(out, says) {
			t.Errorf("%s: %v %q", args, err, out)
		}
	}
}

func TestThePageIsStrict(t *testing.T) { webtest.WantStrict(t, files, "page") }

func TestThePage(t *testing.T) {
	browser := browsertest.Start(t)
	p, broker := start(t)
	proxy := browsertest.NewProxy(t, p.Addr)
	b := browsertest.Open(t, browser, proxy.URL)
	b.Until(`document.getElementById("status").textContent === "live"`)
	lines := sub(t, broker, "commands/#")

	shows := func(topic, value string) {
		t.Helper()
		b.Until(`[...values.rows].some((r) => r.cells[0].textContent === "` + topic + `" && r.cells[1].textContent === "` + value + `")`)
	}
	pub(t, broker, "sensors/kitchen/temperature", "21", "-r")
	shows("kitchen/temperature", "21")
	pub(t, broker, "sensors/kitchen/temperature", "21.5", "-r")
	shows("kitchen/temperature", "21.5")
	pub(t, broker, "sensors/<b>door</b>", "<i>open</i>")
	shows("<b>door</b>", "<i>open</i>")

	b.Do(chromedp.Click("#lamp"))
	want(t, lines, lamp+" on")
	b.Until(`document.getElementById("lamp").getAttribute("aria-pressed") === "true"`)
	b.Do(chromedp.Click("#lamp"))
	want(t, lines, lamp+" off")

	proxy.Cut()
	pub(t, broker, "sensors/kitchen/temperature", "", "-r")
	b.Until(`values.rows.length === 1`)
	b.Until(`document.getElementById("status").textContent === "live"`)
	b.WantContrast()
	b.WantNoErrors()
}

func TestThePageSaysThatTheBrokerIsAway(t *testing.T) {
	browser := browsertest.Start(t)
	o := newOutside(t)
	p := programtest.Start(t, "-listen", "127.0.0.1:0", "-broker", "mqtt://"+o.addr)
	b := browsertest.OpenUntil(t, browser, "http://"+p.Addr+"/", `document.getElementById("status").textContent.startsWith("broker away")`)
	o.start()
	b.Until(`document.getElementById("status").textContent === "live"`)
	p.Signal(syscall.SIGKILL)
	b.Until(`document.getElementById("status").textContent.startsWith("offline")`)
}
