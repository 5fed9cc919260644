package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

// A pump has registers, and speaks as much Modbus/TCP as the program needs.
type pump struct {
	mu      sync.Mutex
	holding [10]uint16
	input   [10]uint16
	coil    bool
}

func (p *pump) serve(c net.Conn) {
	defer c.Close()
	be := binary.BigEndian
	for {
		head := make([]byte, 12)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		addr, n := be.Uint16(head[8:]), be.Uint16(head[10:])
		p.mu.Lock()
		var pdu []byte
		switch head[7] {
		case 1, 2:
			pdu = []byte{head[7], 1, 0}
			if p.coil && head[7] == 1 {
				pdu[2] = 1
			}
		case 3, 4:
			pdu = []byte{head[7], byte(2 * n)}
			regs := p.holding[:]
			if head[7] == 4 {
				regs = p.input[:]
			}
			for _, v := range regs[addr : addr+n] {
				pdu = be.AppendUint16(pdu, v)
			}
		case 5:
			p.coil, pdu = n != 0, head[7:]
		case 6:
			p.holding[addr], pdu = n, head[7:]
		}
		p.mu.Unlock()
		out := append([]byte(nil), head[:7]...)
		be.PutUint16(out[4:], uint16(len(pdu)+1))
		c.Write(append(out, pdu...))
	}
}

func TestRegistersAreSettings(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		p := &pump{coil: true}
		p.holding[0], p.holding[1] = 455, 1
		power := math.Float32bits(812.5)
		p.input = [10]uint16{352, 301, 0xfff6, 0, uint16(power >> 16), uint16(power), 1, 2, 2}
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go p.serve(c)
			}
		}()
		prog := programtest.Start(t, "-listen", "127.0.0.1:0", "-poller", poller, "-tcp", ln.Addr().String(), "-every", "20ms")
		programtest.WantOwnHostsOnly(t, prog.Addr, "/api/settings")
		wait(t, prog.Addr, func(s Settings) bool { return s.Unit.Online })
		s := get(t, prog.Addr)
		want := defaults()
		want.Target, want.Mode, want.Boost = 45.5, 1, true
		want.Reading.Flow, want.Reading.Return, want.Reading.Outside = 35.2, 30.1, -1
		want.Reading.Power, want.Reading.Energy, want.Reading.Fault, want.Unit.Online = 812.5, 65538, true, true
		if s != want {
			t.Errorf("%+v\nwant %+v", s, want)
		}
		req, err := http.NewRequest("PATCH", "http://"+prog.Addr+"/api/settings", strings.NewReader(`{"target":50.5,"boost":false}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/merge-patch+json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("PATCH: %s", resp.Status)
		}
		for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			p.mu.Lock()
			done := p.holding[0] == 505 && !p.coil
			p.mu.Unlock()
			if done {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("the registers are %v, %v", p.holding, p.coil)
			}
		}
		p.mu.Lock()
		p.holding[0] = 470
		p.mu.Unlock()
		wait(t, prog.Addr, func(s Settings) bool { return s.Target == 47 && !s.Boost })
		out, err := http.Get("http://" + prog.Addr + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer out.Body.Close()
		if b, _ := io.ReadAll(out.Body); !strings.Contains(string(b), "device_reading_power 812.5") {
			t.Errorf("metrics: %s", b)
		}
	})
}

func get(t *testing.T, addr string) (s Settings) {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/api/settings")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return s
}

func wait(t *testing.T, addr string, f func(Settings) bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(get(t, addr)); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the settings are %+v", get(t, addr))
		}
	}
}

func TestFlagsThatAreRefused(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "either -serial or -tcp is needed"},
		{[]string{"-serial", "/dev/x", "-tcp", "y"}, "either -serial or -tcp is needed"},
		{[]string{"-serial", "/dev/x", "-mode", "fast"}, `serial: mode "fast"`},
		{[]string{"-tcp", "127.0.0.1:1", "-unit", "300"}, "-unit: want 1 to 247"},
	} {
		out, err := programtest.Run(t, append(tt.args, "-listen", "127.0.0.1:0")...)
		if err == nil || !strings.Contains(out, tt.want) {
			t.Errorf("%v: %v, %s", tt.args, err, fmt.Sprint(out))
		}
	}
}
