package device_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// pushed are the settings of a device with twenty of them, and ten readings.
type pushed struct {
	Name       string        `device:"name,min=1,max=32"`
	Location   string        `device:"location,max=64"`
	Interval   time.Duration `device:"interval,unit=ms,min=200,max=10000,step=100"`
	Mode       string        `device:"mode,enum=auto|heat|off"`
	Target     float64       `device:"target,unit=°C,min=5,max=30,step=0.5"`
	Hysteresis float64       `device:"hysteresis,unit=°C,min=0.1,max=5,step=0.1"`
	LED        struct {
		On         bool   `device:"on"`
		Brightness int    `device:"brightness,unit=%,min=0,max=100,step=5"`
		Colour     string `device:"colour,enum=white|amber|green"`
	} `device:"led"`
	Alarm struct {
		On   bool    `device:"on"`
		Low  float64 `device:"low,min=-40,max=100"`
		High float64 `device:"high,min=-40,max=100"`
	} `device:"alarm"`
	Network struct {
		Hostname string `device:"hostname,min=1,max=63"`
		DHCP     bool   `device:"dhcp"`
		Address  string `device:"address"`
		SSID     string `device:"ssid,max=32"`
		Password string `device:"password,secret,max=63"`
	} `device:"network"`
	NTP struct {
		On     bool          `device:"on"`
		Server string        `device:"server,max=253"`
		Every  time.Duration `device:"every,unit=min,min=2,max=1440"`
	} `device:"ntp"`
	Readings struct {
		Temperature float64       `device:"temperature,unit=°C"`
		Humidity    float64       `device:"humidity,unit=%"`
		Heating     bool          `device:"heating"`
		Alarm       bool          `device:"alarm"`
		Uptime      time.Duration `device:"uptime"`
		Identifying bool          `device:"identifying"`
		Update      string        `device:"update"`
		Host        string        `device:"host"`
		State       string        `device:"clock_state"`
		Offset      float64       `device:"clock_offset,unit=ms"`
	} `device:"readings,readonly"`
}

// inUse returns settings as they are on a device that is in use.
func inUse() pushed {
	p := pushed{Name: "Living room", Location: "First floor", Interval: time.Second, Mode: "auto", Target: 21, Hysteresis: 0.5}
	p.LED.On, p.LED.Brightness, p.LED.Colour = true, 60, "white"
	p.Alarm.Low, p.Alarm.High = 5, 35
	p.Network.Hostname, p.Network.DHCP, p.Network.SSID = "living-room", true, "home"
	p.NTP.On, p.NTP.Server, p.NTP.Every = true, "pool.ntp.org", time.Hour
	p.Readings.Temperature, p.Readings.Humidity, p.Readings.Update = 21.3, 45.2, "settled"
	p.Readings.Host, p.Readings.State, p.Readings.Offset = "living-room.local", "answered at 2026-11-29T14:00:00Z", 1.25
	p.Readings.Uptime = 123456 * time.Second
	return p
}

// BenchmarkPush compares the processor time of this process for a change that is pushed to a number
// of WebSockets with that for SendPrepared of as many bytes to as many. Each iteration is a pair of
// many changes and as many messages, one a turn of the loop; the median of the ratios is reported. The
// clients are in another process. "rpc" is JSON-RPC's subscribe, "hub" a Door with Delta.
func BenchmarkPush(b *testing.B) {
	for _, clients := range []int{1, 10, 100, 1000} {
		for _, way := range []string{"rpc", "hub"} {
			b.Run(fmt.Sprint(way, "/", clients), func(b *testing.B) { benchmarkPush(b, way, clients) })
		}
	}
}

func benchmarkPush(b *testing.B, way string, clients int) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		b.Fatal(err)
	}
	hub := broadcast.NewHub(broadcast.Options{Encode: broadcast.Framed, Retain: true, History: broadcast.History{Count: 64, Bytes: 64 << 10}}, m)
	o := device.Options{}
	if way == "hub" {
		o.Hub = hub
	}
	dev, err := device.New(m, inUse(), o)
	if err != nil {
		b.Fatal(err)
	}
	x := http.NewMux()
	dev.Mount(x, "/api")
	x.MustHandle("/hub", broadcast.NewDoor(hub, broadcast.DoorOptions{}).Serve)
	var plain []*conn.Conn
	x.MustHandle("/plain", func(c *conn.Conn, m *http.Message) {
		if err := websocket.Upgrade(c, m, nil); err != nil {
			b.Error(err)
		}
		plain = append(plain, c)
	})
	l, err := http.Listen(m, "http://127.0.0.1:0", x.Serve)
	if err != nil {
		b.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); m.Run(ctx) }()
	defer func() { end(); <-ended; m.Close() }()

	addr := "ws://" + l.LocalAddr().String()
	paths := map[string]string{"rpc": "/api/rpc", "hub": "/hub"}
	first := map[string]string{"rpc": `{"jsonrpc":"2.0","id":1,"method":"subscribe"}`, "hub": `{"delta":true,"subscribe":{"settings":null}}`}
	startSink(b, addr+paths[way], first[way], clients)
	startSink(b, addr+"/plain", "", clients)

	changes := max(50, 1000/clients) // a client falls behind by so many at most: nothing is dropped
	n := 0
	change := func() {
		n++
		if err := dev.Set(device.Program, func(s *pushed) { s.Target = 5 + float64(n%50)/2 }); err != nil {
			b.Error(err)
		}
	}
	size, whole := sizeOfAChange(b, addr+paths[way], first[way], func() { m.Do(change) })
	text := []byte(strings.Repeat("x", size))
	send := func() {
		p := websocket.Prepare(websocket.Text, text)
		for _, c := range plain {
			websocket.SendPrepared(c, p)
		}
	}
	// cost returns the processor time of f, called once a turn.
	cost := func(f func()) time.Duration {
		done := make(chan struct{})
		left := changes
		var step func()
		step = func() {
			if left--; left < 0 {
				close(done)
				return
			}
			f()
			m.Do(step)
		}
		before := cpu(b)
		m.Do(step)
		<-done
		return cpu(b) - before
	}
	cost(change)
	cost(send)
	var ratios []float64
	var pushing, sending time.Duration
	b.ResetTimer()
	for b.Loop() {
		p, s := cost(change), cost(send)
		pushing, sending = pushing+p, sending+s
		ratios = append(ratios, float64(p)/float64(s))
	}
	b.StopTimer()
	slices.Sort(ratios)
	per := float64(len(ratios) * changes * clients)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(float64(pushing.Nanoseconds())/per, "ns/change")
	b.ReportMetric(float64(sending.Nanoseconds())/per, "ns/prepared")
	b.ReportMetric(float64(size), "bytes/change")
	b.ReportMetric(float64(whole), "bytes/document")
	b.ReportMetric(0, "ns/op")
}

// cpu returns the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// sizeOfAChange returns the bytes of the messages with a change, and with the whole document.
func sizeOfAChange(b *testing.B, url, first string, change func()) (size, whole int) {
	c, r := dialSink(b, url, first)
	defer c.Close()
	in := struct {
		io.Reader
		io.Writer
	}{r, c}
	for size == 0 {
		c.SetReadDeadline(time.Now().Add(time.Minute))
		text, err := wsutil.ReadServerText(in)
		if err != nil {
			b.Fatal(err)
		}
		switch s := string(text); {
		case strings.Contains(s, `"location"`):
			whole = len(s)
			change()
		case strings.Contains(s, `"patch"`):
			size = len(s)
		case strings.Contains(s, `"live"`) && whole == 0: // nothing has been published yet
			change()
		}
	}
	return size, whole
}

func dialSink(t testing.TB, url, first string) (net.Conn, *bufio.Reader) {
	c, r, _, err := ws.Dialer{Header: ws.HandshakeHeaderHTTP(nethttp.Header{})}.Dial(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	if r == nil {
		r = bufio.NewReader(c)
	}
	if first != "" {
		if err := wsutil.WriteClientText(c, []byte(first)); err != nil {
			t.Fatal(err)
		}
	}
	return c, r
}

// startSink starts a process with clients, which read and drop what they get.
func startSink(b *testing.B, url, first string, clients int) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestSink$")
	cmd.Env = append(os.Environ(), "MANGUSTA_SINK="+url, "MANGUSTA_SINK_FIRST="+first, "MANGUSTA_SINK_CLIENTS="+strconv.Itoa(clients))
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		b.Fatalf("%q %v", line, err)
	}
}

// TestSink is the process of BenchmarkPush's clients.
func TestSink(t *testing.T) {
	url := os.Getenv("MANGUSTA_SINK")
	if url == "" {
		t.Skip("it is a process of BenchmarkPush")
	}
	clients, err := strconv.Atoi(os.Getenv("MANGUSTA_SINK_CLIENTS"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	for range clients {
		c, r := dialSink(t, url, os.Getenv("MANGUSTA_SINK_FIRST"))
		go func() {
			_, err := io.Copy(io.Discard, r)
			c.Close()
			ended <- err
		}()
	}
	time.Sleep(200 * time.Millisecond) // the last ones subscribe
	fmt.Println("ready")
	for range clients {
		<-ended
	}
}
