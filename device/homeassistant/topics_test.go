package homeassistant_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/homeassistant"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestRemove(t *testing.T) {
	r := newRig(t, 0, homeassistant.Options{})
	r.ha.Announce()
	announced := map[string]bool{}
	for _, s := range r.took() {
		topic, _, _ := strings.Cut(s, " ")
		announced[topic] = true
	}
	r.ha.Remove()
	for _, s := range r.took() {
		topic, text, _ := strings.Cut(s, " ")
		if !announced[topic] || text != "deleted" {
			t.Error(s)
		}
		delete(announced, topic)
	}
	if len(announced) > 0 {
		t.Errorf("still there: %v", announced)
	}
	r.set(func(s *settings) { s.Fan = true })
	r.want()
	r.ha.Announce()
	if got := r.took(); len(got) < 20 {
		t.Errorf("sent %q", got)
	}
}

// An entity of an earlier version of the program is taken out, once; the topics of others stay.
func TestOrphans(t *testing.T) {
	file := filepath.Join(t.TempDir(), "topics")
	const orphan, foreign = "homeassistant/switch/box-1/pump/config", "homeassistant/switch/box-2/pump/config"
	const other = "homeassistant/sensor/box-1/fan/config" // of what is a switch by now
	if err := os.WriteFile(file, []byte(orphan+"\n"+foreign+"\n"+other+"\nhomeassistant/switch/box-1/fan/config\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gone := []string{orphan + " deleted", "box-1/state/pump deleted", other + " deleted"}
	r := newRig(t, 0, homeassistant.Options{File: file})
	r.ha.Remove() // before anything was announced
	if sent := r.took(); len(sent) < 3 || !slices.Equal(sent[:3], gone) {
		t.Errorf("Remove: %q", sent)
	}
	for _, want := range []bool{true, false} {
		r := newRig(t, 0, homeassistant.Options{File: file})
		r.ha.Announce()
		r.ha.Announce()
		sent := r.took()
		deleted := slices.DeleteFunc(slices.Clone(sent), func(s string) bool { return !strings.HasSuffix(s, " deleted") })
		if want && !slices.Equal(deleted, gone) || !want && len(deleted) != 0 {
			t.Errorf("deleted %q", deleted)
		}
		for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			text, err := os.ReadFile(file)
			if err == nil && !bytes.Contains(text, []byte("pump")) && bytes.Contains(text, []byte("/fan/")) {
				break
			} else if time.Now().After(end) {
				t.Fatalf("%s %v", text, err)
			}
		}
	}
}

// A disk that is full at the first connection may have room at a later one.
func TestTopicsAreNotedLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	r := newRig(t, 0, homeassistant.Options{File: filepath.Join(dir, "topics")})
	r.ha.Announce()
	r.turn()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		r.ha.Announce()
		r.turn()
		if _, err := os.Stat(filepath.Join(dir, "topics")); err == nil {
			return
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// A device that is announced, or removed, while the loop has much to do is so all the same.
func TestAnnounceWhileTheQueueIsFull(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := newRig(t, p, homeassistant.Options{})
		for r.m.Do(func() {}) == nil {
		}
		r.ha.Announce()
		if got := r.took(); len(got) < 20 {
			t.Errorf("sent %q", got)
		}
		for r.m.Do(func() {}) == nil {
		}
		r.ha.Remove()
		if got := r.took(); len(got) < 20 {
			t.Errorf("sent %q", got)
		}
	})
}

// After the end of the loop nothing is said, and nothing hangs.
func TestAfterTheEnd(t *testing.T) {
	r := newRig(t, 0, homeassistant.Options{})
	r.m.Close()
	r.ha.Announce()
	r.ha.Remove()
	if n := strings.Count(r.log.String(), "level=ERROR"); n != 2 {
		t.Errorf("%d errors: %s", n, r.log.String())
	}
	if err := r.dev.Call(device.Program, "identify", true, nil); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
