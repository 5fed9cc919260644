package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// machine is a made-up one: a tree of files in place of /proc and /sys, and answers in place of
// system calls.
type machine struct {
	*sampler
	t    *testing.T
	root string
	ring *logRing
}

// wholeMachine has everything that the sampler looks for.
var wholeMachine = map[string]string{
	"proc/stat":    "cpu  200 0 100 700 0 0 0 0 0 0\ncpu0 100 0 50 350 0 0 0 0 0 0\ncpu1 100 0 50 350 0 0 0 0 0 0\nbtime 1700000000\n",
	"proc/loadavg": "0.50 0.25 0.10 1/100 4242\n",
	"proc/uptime":  "93784.25 180000.00\n",
	"proc/meminfo": "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 600 kB\nBuffers: 10 kB\nCached: 400 kB\n" +
		"SwapTotal: 200 kB\nSwapFree: 150 kB\nSReclaimable: 20 kB\n",
	"proc/net/dev": devHeader + "    lo:  500  5 0 0 0 0 0 0  500  5 0 0 0 0 0 0\n  eth0: 1000 10 1 2 0 0 0 0 2000 20 0 3 0 0 0 0\n",
	"proc/77/stat": "77 (device) S 1 77 77 0 -1 4194560 900 0 0 0 30 20 0 0 20 0 6 0 100 1234567 2500 18446744073709551615 " +
		"0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
	"proc/77/mountinfo": "21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n" +
		"22 21 0:5 / /proc rw - proc proc rw\n" +
		"23 21 8:2 / /data rw,relatime - f2fs /dev/sda2 rw\n" +
		"24 21 8:2 /sub /srv/bind rw,relatime - f2fs /dev/sda2 rw\n" +
		"25 21 0:40 / /mnt/server rw - nfs4 server:/x rw\n",
	"proc/77/fd/0":                         "",
	"proc/77/fd/1":                         "",
	"sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
	"sys/class/thermal/thermal_zone0/temp": "48312\n",
	"sys/class/net/eth0/device/vendor":     "0x1af4\n",
}

const devHeader = "Inter-|   Receive                                                |  Transmit\n" +
	" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"

func newMachine(t *testing.T) *machine {
	root := t.TempDir()
	ring := newLogRing()
	s := newSampler(filepath.Join(root, "proc"), filepath.Join(root, "sys"), slog.New(ring.handler(slog.DiscardHandler)))
	s.nics = func() ([]nic, error) {
		return []nic{
			{Interface: net.Interface{Index: 1, Name: "lo", MTU: 65536, Flags: net.FlagUp | net.FlagLoopback}, addrs: []string{"127.0.0.1/8"}},
			{Interface: net.Interface{Index: 2, Name: "eth0", MTU: 1500, Flags: net.FlagUp | net.FlagBroadcast,
				HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}, addrs: []string{"192.0.2.7/24"}},
			{Interface: net.Interface{Index: 3, Name: "eth1", MTU: 1500}, addrs: []string{}},
		}, nil
	}
	s.statfs = func(path string) (usage, error) { return usage{total: 1000, free: 400, avail: 300}, nil }
	m := &machine{sampler: s, t: t, root: root, ring: ring}
	for name, text := range wholeMachine {
		m.put(name, text)
	}
	if err := os.Symlink("77", filepath.Join(root, "proc/self")); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) put(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) remove(name string) {
	m.t.Helper()
	if err := os.RemoveAll(filepath.Join(m.root, name)); err != nil {
		m.t.Fatal(err)
	}
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// second reads twice, two seconds apart, with the counters moved on in between, and returns the
// second sample.
func (m *machine) second() *Sample {
	m.sample(noon)
	m.put("proc/stat", "cpu  240 0 120 840 0 0 0 0 0 0\ncpu0 140 0 70 390 0 0 0 0 0 0\ncpu1 100 0 50 450 0 0 0 0 0 0\nbtime 1700000000\n")
	m.put("proc/net/dev", devHeader+"    lo:  900  5 0 0 0 0 0 0  900  5 0 0 0 0 0 0\n  eth0: 4000 10 1 2 0 0 0 0 2500 20 0 3 0 0 0 0\n")
	m.put("proc/77/stat", strings.Replace(wholeMachine["proc/77/stat"], " 30 20 ", " 31 21 ", 1))
	return m.sample(noon.Add(2 * time.Second))
}

// asJSON is the document that the page gets, less the figures of this very process.
func asJSON(t *testing.T, s *Sample) string {
	t.Helper()
	if s.Process != nil {
		s.Process.Goroutines = 5
		s.Process.RSS /= os.Getpagesize()
	}
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSampleOfAWholeMachine(t *testing.T) {
	got := asJSON(t, newMachine(t).second())
	var compact strings.Builder
	for line := range strings.Lines(got) {
		compact.WriteString(strings.TrimSpace(line))
	}
	const want = `{"time": 1767355202000,"interval": 0,"uptime": 93784.3,"load": [0.5,0.25,0.1],` +
		`"cpu": {"total": 30,"cores": [{"id": 0,"used": 60},{"id": 1,"used": 0}]},` +
		`"memory": {"total": 1024000,"used": 409600,"cache": 440320,"swap_total": 204800,"swap_used": 51200},` +
		`"disks": [{"path": "/","fs": "ext4","total": 1000,"used": 600,"free": 300,"ro": false},` +
		`{"path": "/data","fs": "f2fs","total": 1000,"used": 600,"free": 300,"ro": false}],` +
		`"interfaces": [{"name": "eth0","index": 2,"flags": ["up","broadcast"],"mac": "02:00:00:00:00:01","mtu": 1500,` +
		`"addresses": ["192.0.2.7/24"],"rx": 4000,"tx": 2500,"rx_rate": 1500,"tx_rate": 250,"errors": 1,"drops": 5},` +
		`{"name": "lo","index": 1,"flags": ["up","loopback"],"mac": "","mtu": 65536,"addresses": ["127.0.0.1/8"],` +
		`"rx": 900,"tx": 900,"rx_rate": 200,"tx_rate": 200,"errors": 0,"drops": 0},` +
		`{"name": "eth1","index": 3,"flags": null,"mac": "","mtu": 1500,"addresses": [],` +
		`"rx": null,"tx": null,"rx_rate": null,"tx_rate": null,"errors": null,"drops": null}],` +
		`"traffic": {"rx": 1500,"tx": 250},"sensors": [{"name": "cpu-thermal","celsius": 48.3}],` +
		`"process": {"pid": 77,"rss": 2500,"cpu": 1,"threads": 6,"fds": 2,"goroutines": 5},"loop": null,"clock": null}`
	if compact.String() != want {
		t.Errorf("sample is\n%s\nwant\n%s", compact.String(), want)
	}
}

// Each source that is gone takes its own figures with it and no others.
func TestMissingFilesAreNull(t *testing.T) {
	tests := []struct {
		remove string
		null   []string
	}{
		{"proc/stat", []string{"cpu"}},
		{"proc/loadavg", []string{"load"}},
		{"proc/uptime", []string{"uptime"}},
		{"proc/meminfo", []string{"memory"}},
		{"proc/net", []string{"traffic"}},
		{"proc/77", []string{"process"}},
		{"proc/self", []string{"process"}},
		{"sys/class/thermal", []string{"sensors"}},
		{"sys", []string{"sensors"}},
		{"proc", []string{"cpu", "load", "memory", "process", "traffic", "uptime"}},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.remove, "/", "_"), func(t *testing.T) {
			m := newMachine(t)
			m.sample(noon)
			m.remove(tt.remove)
			s := m.sample(noon.Add(time.Second))
			want := map[string]bool{"loop": true, "clock": true}
			for _, name := range tt.null {
				want[name] = true
			}
			var fields map[string]any
			if err := json.Unmarshal([]byte(asJSON(t, s)), &fields); err != nil {
				t.Fatal(err)
			}
			for name, value := range fields {
				if (value == nil) != want[name] {
					t.Errorf("%s is %v", name, value)
				}
			}
		})
	}
}

// The output of a broken kernel must neither crash the sampler nor make a document that JSON cannot
// hold.
func TestMalformedFilesNeverCrash(t *testing.T) {
	texts := []string{"", "\n", "\x00\xff", "cpu", "cpu  1\ncpu0\n", "cpu  a b c\n", "NaN NaN NaN\n", "Inf -Inf 1e999\n", "-1 -1 -1\n",
		"MemTotal:\n", "MemTotal: -5 kB\n", "MemTotal: 99999999999999999999 kB\n", "eth0:\n", "a\nb\nc: 1 2\n", "77 (a", "77 () S\n",
		strings.Repeat("9", 1<<16), strings.Repeat("\n", 1000), "1 2 3 4 5 6 - - -\n", "21 1 8:1 / /\n"}
	for name := range wholeMachine {
		t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			m, now := newMachine(t), noon
			for _, text := range texts {
				for _, content := range []string{wholeMachine[name], text, text} {
					m.put(name, content)
					now = now.Add(time.Second)
					if _, err := json.Marshal(m.sample(now)); err != nil {
						t.Errorf("%q: %v", text, err)
					}
				}
			}
		})
	}
}

func TestAReaderThatPanicsIsOnlyMissing(t *testing.T) {
	m := newMachine(t)
	m.statfs = func(string) (usage, error) { panic("boom") }
	s := m.second()
	if s.Disks != nil || s.CPU == nil {
		t.Errorf("disks %v, cpu %v", s.Disks, s.CPU)
	}
	if lines := m.ring.since(0); len(lines) != 1 || !strings.Contains(lines[0].Text, "boom") {
		t.Errorf("log is %v", lines)
	}
}

func TestASourceIsLoggedWhenItGoesAndWhenItIsBack(t *testing.T) {
	m := newMachine(t)
	m.remove("proc/loadavg")
	for i := range 3 {
		m.sample(noon.Add(time.Duration(i) * time.Second))
	}
	m.put("proc/loadavg", wholeMachine["proc/loadavg"])
	for i := range 3 {
		m.sample(noon.Add(time.Duration(3+i) * time.Second))
	}
	lines := m.ring.since(0)
	if len(lines) != 2 || !strings.HasPrefix(lines[0].Text, "load is not available why=") || lines[1].Text != "load is available again" {
		t.Errorf("log is %v", lines)
	}
}

func TestInterfacesWithoutNetlinkComeFromProc(t *testing.T) {
	m := newMachine(t)
	m.nics = func() ([]nic, error) { return nil, errors.New("netlink: permission denied") }
	s := m.second()
	if len(s.Interfaces) != 2 || s.Interfaces[0].Name != "eth0" || *s.Interfaces[0].RxRate != 1500 {
		t.Errorf("interfaces are %+v", s.Interfaces)
	}
	if s.Interfaces[0].Flags != nil || s.Interfaces[0].Addresses != nil {
		t.Error("unknown flags and addresses must be null")
	}
}

func TestTrafficWithoutHardwareIsThatOfAllButLoopback(t *testing.T) {
	m := newMachine(t)
	m.remove("sys/class/net")
	if s := m.second(); s.Traffic == nil || s.Traffic.Rx != 1500 {
		t.Errorf("traffic is %+v", s.Traffic)
	}
}

// A driver that is loaded again starts its counters at 0.
func TestACounterThatWentBackHasNoRate(t *testing.T) {
	m := newMachine(t)
	m.sample(noon)
	m.put("proc/net/dev", devHeader+"  eth0: 10 1 0 0 0 0 0 0 2500 20 0 0 0 0 0 0\n")
	s := m.sample(noon.Add(time.Second))
	if i := s.Interfaces[0]; i.RxRate != nil || *i.TxRate != 500 || s.Traffic != nil {
		t.Errorf("rates are %v, %v, traffic %v", i.RxRate, *i.TxRate, s.Traffic)
	}
}

// proc(5): iowait "may decrease in certain conditions".
func TestProcessorTimeThatWentBackCountsAsUnchanged(t *testing.T) {
	m := newMachine(t)
	m.put("proc/stat", "cpu  0 0 0 100 50 0 0 0 0 0\ncpu0 0 0 0 100 50 0 0 0 0 0\n")
	m.sample(noon)
	m.put("proc/stat", "cpu  20 0 0 100 10 0 0 0 0 0\ncpu0 0 0 0 100 50 0 0 0 0 0\n")
	s := m.sample(noon.Add(time.Second))
	if s.CPU == nil || s.CPU.Total == nil || *s.CPU.Total != 100 || s.CPU.Cores[0].Used != nil {
		t.Errorf("cpu is %+v", s.CPU)
	}
}

func TestHwmonStandsInForThermalZones(t *testing.T) {
	m := newMachine(t)
	m.remove("sys/class/thermal")
	m.put("sys/class/hwmon/hwmon0/name", "nvme\n")
	m.put("sys/class/hwmon/hwmon0/temp1_input", "38850\n")
	m.put("sys/class/hwmon/hwmon0/temp1_label", "Composite\n")
	m.put("sys/class/hwmon/hwmon0/temp2_input", "-273150\n") // an absent sensor
	m.put("sys/class/hwmon/hwmon1/temp1_input", "30000\n")
	want := []Sensor{{"nvme Composite", 38.9}, {"hwmon1", 30}}
	got := m.sample(noon).Sensors
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("sensors are %v, want %v", got, want)
	}
}

func TestOldKernelsHaveNoMemAvailable(t *testing.T) {
	m := newMachine(t)
	m.put("proc/meminfo", "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 10 kB\nCached: 400 kB\n")
	if got := m.sample(noon).Memory; got == nil || got.Used != 490<<10 || got.SwapTotal != nil {
		t.Errorf("memory is %+v", got)
	}
}

func TestAnyMachineCanBeSampled(t *testing.T) {
	s := newSampler("/proc", "/sys", slog.New(slog.DiscardHandler))
	s.sample(time.Now())
	got := s.sample(time.Now().Add(time.Second))
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
	if len(got.Disks) == 0 {
		t.Skip("no file system could be measured here")
	}
}

func TestHostFacts(t *testing.T) {
	m := newMachine(t)
	m.put("proc/sys/kernel/osrelease", "6.12.25\n")
	m.put("proc/device-tree/model", "Board Rev 1.4\x00")
	h := readHost(m.proc, m.sys)
	if h.Kernel != "6.12.25" || h.Model != "Board Rev 1.4" || h.Arch == "" {
		t.Errorf("host is %+v", h)
	}
	if h := readHost("/nowhere", "/nowhere"); h.Kernel != "" || h.Model != "" {
		t.Errorf("host without files is %+v", h)
	}
}
