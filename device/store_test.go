package device

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/device/internal/disk/disksim"
	"github.com/seed4930a636/mangusta/mgr"
)

// onDiskDevice starts a device whose settings are kept; log gets what it says.
func onDiskDevice(t *testing.T, o Options, log *bytes.Buffer) (*Device[settings], error) {
	t.Helper()
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	return New(m, defaults(), o)
}

func TestSettingsOutliveARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.json")
	var log bytes.Buffer
	d, err := onDiskDevice(t, Options{File: file, Version: 3}, &log)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Set(Program, func(s *settings) { s.Name, s.WiFi.Password, s.Celsius = "two", "pw", 21 }); err != nil {
		t.Fatal(err)
	}
	if err := d.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	want := `{
  "version": 3,
  "values": {
    "name": "two",
    "interval": 1000,
    "mode": "auto",
    "wifi": {
      "ssid": "",
      "password": "pw"
    },
    "fan": false
  }
}
`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	d, err = onDiskDevice(t, Options{File: file, Version: 3}, &log)
	if err != nil || d.Get().Name != "two" || d.Get().WiFi.Password != "pw" || d.Get().Celsius != 0 || log.Len() > 0 {
		t.Errorf("%+v, %v, %s", d.Get(), err, &log)
	}
}

// A reading changes all the time: it must not wear the flash out.
func TestAReadingIsNotWritten(t *testing.T) {
	sim := disksim.New()
	d, err := onDiskDevice(t, Options{File: "/s", disk: sim}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Set(Program, func(s *settings) { s.Celsius = 30 }); err != nil {
		t.Fatal(err)
	}
	if err := d.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if sim.Ops() != 0 {
		t.Errorf("%d operations", sim.Ops())
	}
}

func TestFilesThatDoNotFit(t *testing.T) {
	for _, x := range []struct {
		name, file, old string
		want            string // the name and the interval
		log             string
		bad             bool // the file is set aside
	}{
		{"whole", `{"version":0,"values":{"name":"x"}}`, "", "x 1s", "", false},
		{"spoilt, with the one before", `{"version":0,"val`, `{"version":0,"values":{"name":"y"}}`, "y 1s", "those before the last change", false},
		{"spoilt, alone", `{"version":0,"val`, "", "box 1s", "the settings are lost", true},
		{"something else", `root:x:0:0`, "", "box 1s", "the settings are lost", true},
		{"zeros", "\x00\x00\x00", `{"version":0,"values":{"name":"y"}}`, "y 1s", "those before the last change", false},
		{"one bit is wrong", "{\"version\":0,\"values\":{\"name\":\"\xf8\"}}", `{"version":0,"values":{"name":"y"}}`, "y 1s", "those before the last change", false},
		{"gone, with the one before", "", `{"version":0,"values":{"name":"y"}}`, "y 1s", "", false},
		{"one value is wrong", `{"version":0,"values":{"name":"x","interval":7}}`, "", "x 1s", "setting=interval", false},
		{"a setting is gone", `{"version":0,"values":{"name":"x","former":7}}`, "", "x 1s", "setting=former", false},
		{"of a later version", `{"version":9,"values":{"name":"x","interval":200}}`, "", "x 200ms", "", false},
	} {
		t.Run(x.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "settings.json")
			for name, text := range map[string]string{file: x.file, file + ".old": x.old} {
				if text != "" {
					if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			var log bytes.Buffer
			d, err := onDiskDevice(t, Options{File: file}, &log)
			if err != nil {
				t.Fatal(err)
			}
			if got := d.Get().Name + " " + d.Get().Interval.String(); got != x.want {
				t.Errorf("%s, want %s", got, x.want)
			}
			if !strings.Contains(log.String(), x.log) || x.log == "" && log.Len() > 0 {
				t.Errorf("the log is %s", &log)
			}
			if text, err := os.ReadFile(file + ".bad"); (err == nil) != x.bad || x.bad && string(text) != x.file {
				t.Errorf("set aside: %s, %v", text, err)
			}
		})
	}
}

func TestAFileOfAnEarlierVersionIsMigrated(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.json")
	if err := os.WriteFile(file, []byte(`{"version":1,"values":{"label":"x","seconds":2}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var steps []int
	d, err := onDiskDevice(t, Options{File: file, Version: 3, Migrate: func(from int, v map[string]any) error {
		steps = append(steps, from)
		switch from {
		case 1:
			v["name"] = v["label"]
			delete(v, "label")
		case 2:
			v["interval"] = v["seconds"].(float64) * 1000
			delete(v, "seconds")
		}
		return nil
	}}, &bytes.Buffer{})
	if err != nil || len(steps) != 2 || d.Get().Name != "x" || d.Get().Interval.Seconds() != 2 {
		t.Errorf("%v, %+v, %v", steps, d.Get(), err)
	}
}

// After a power cut at any point the settings are those that Flush has promised, or later ones.
func TestAPowerCutLosesNothingThatWasFlushed(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	for cut := 1; cut < 40; cut++ {
		for seed := range uint64(20) {
			sim := disksim.New()
			sim.CutAt = cut
			d, err := onDiskDevice(t, Options{File: "/s", disk: sim}, &bytes.Buffer{})
			if err != nil {
				t.Fatal(err)
			}
			durable := -1
			for i, name := range names {
				if err := d.Set(Program, func(s *settings) { s.Name = name }); err != nil {
					t.Fatal(err)
				}
				if d.Flush(context.Background()) == nil {
					durable = i
				}
			}
			var log bytes.Buffer
			after, err := onDiskDevice(t, Options{File: "/s", disk: sim.Restart(rand.New(rand.NewPCG(seed, 1)))}, &log)
			if err != nil {
				t.Fatal(err)
			}
			at := -1
			for i, name := range names {
				if after.Get().Name == name {
					at = i
				}
			}
			if at < durable {
				t.Fatalf("cut at %d, seed %d: %s after the restart, %d was durable: %s", cut, seed, after.Get().Name, durable, &log)
			}
		}
	}
}

// Of the settings of the former owner nothing stays beside the file, from where they could come back.
func TestForgetOld(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "settings.json")
	if err := os.WriteFile(file, []byte("damaged"), 0o600); err != nil { // it is set aside
		t.Fatal(err)
	}
	d, err := onDiskDevice(t, Options{File: file}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []settings{{Name: "hers", Interval: time.Second, Mode: "auto"}, defaults()} {
		if err := d.Set(Program, func(now *settings) { *now = s }); err != nil {
			t.Fatal(err)
		}
		if err := d.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.ForgetOld(context.Background()); err != nil {
		t.Error(err)
	}
	if names, err := disk.OS.List(dir); err != nil || len(names) != 1 || names[0] != "settings.json" {
		t.Error(names, err)
	}
	if text, err := os.ReadFile(file); err != nil || strings.Contains(string(text), "hers") {
		t.Errorf("%s, %v", text, err)
	}
	if d, err = onDiskDevice(t, Options{}, &bytes.Buffer{}); err != nil || d.ForgetOld(context.Background()) != nil {
		t.Error("without a file", err)
	}
}

func TestADiskThatFailsIsToldAndTriedAgain(t *testing.T) {
	sim := disksim.New()
	sim.FailAt, sim.Fail = 1, syscall.ENOSPC
	var log bytes.Buffer
	d, err := onDiskDevice(t, Options{File: "/s", disk: sim}, &log)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Set(Program, func(s *settings) { s.Name = "x" }); err != nil {
		t.Fatal(err)
	}
	// The first try may have failed before Flush asked: it asks for another one then.
	if err := d.Flush(context.Background()); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if err := d.Flush(context.Background()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "could not be saved") {
		t.Error(log.String())
	}
	if text, err := disk.Read(sim, "/s", 1000); err != nil || !strings.Contains(string(text), `"x"`) {
		t.Error(string(text), err)
	}
}

// A slowDisk asks the test before each write.
type slowDisk struct {
	disk.FS
	asks chan chan struct{} // a write goes on when the channel that it sends is closed
}

func (d *slowDisk) Create(name string, perm fs.FileMode) (disk.File, error) {
	goOn := make(chan struct{})
	d.asks <- goOn
	<-goOn
	return d.FS.Create(name, perm)
}

func TestAChangeDuringAWriteIsWrittenTooAndWaitedFor(t *testing.T) {
	asks := make(chan chan struct{})
	sim := disksim.New()
	d, err := onDiskDevice(t, Options{File: "/s", disk: &slowDisk{sim, asks}}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	set := func(name string) {
		if err := d.Set(Program, func(s *settings) { s.Name = name }); err != nil {
			t.Fatal(err)
		}
	}
	set("a")
	first := <-asks // it writes the settings with "a"
	set("b")
	flushed := make(chan error, 1)
	d.mu.Lock()
	d.save(func(err error) { flushed <- err })
	d.mu.Unlock()
	close(first)
	select {
	case second := <-asks:
		if len(flushed) > 0 {
			t.Error("told before the disk had the change")
		}
		close(second)
	case <-time.After(time.Minute):
		t.Fatal("the change is not written")
	}
	if err := <-flushed; err != nil {
		t.Error(err)
	}
	if text, err := disk.Read(sim, "/s", 1000); err != nil || !strings.Contains(string(text), `"b"`) {
		t.Error(string(text), err)
	}
}
