package wifi

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestSupplicantThatIsAway(t *testing.T) {
	eachPoller(t, func(t *testing.T, d *daemon) {
		s := NewSupplicant(d.Manager, d.path, SupplicantOptions{Reply: 50 * time.Millisecond})
		if _, err := d.scan(s); err != nil {
			t.Fatal(err)
		}
		// It ends, and is started again: its socket is a new one, at the same path.
		d.c.Close()
		d.Poll(0)
		if _, err := d.scan(s); err == nil {
			t.Error("a scan without wpa_supplicant")
		}
		home := AccessPoint{SSID: "Home", Security: Personal}
		if err := d.join(s, home, "correct horse"); err == nil {
			t.Error("joined without wpa_supplicant")
		}
		d.clients = nil
		d.begin()
		if points, err := d.scan(s); err != nil || len(points) == 0 {
			t.Errorf("started again: %v, %v", points, err)
		}
		// It hangs. A reply that comes late is none to the next command.
		good := d.reply
		d.reply = func(string) (string, []string) { return "", nil }
		if err := d.join(s, home, "correct horse"); err == nil || err.Error() != "wifi: wpa_supplicant does not reply" {
			t.Errorf("no reply: %v", err)
		}
		old := d.clients[len(d.clients)-1]
		d.reply = good
		d.c.SendToPath([]byte("77\n"), old)
		if err := d.join(s, home, "correct horse"); err != nil {
			t.Error(err)
		}
		for _, c := range d.commands {
			if strings.Contains(c, "77") {
				t.Errorf("command %q", c)
			}
		}
		// It says that it ends, in the middle of a join.
		d.reply = func(cmd string) (string, []string) {
			if strings.HasPrefix(cmd, "SELECT") {
				return "OK\n", []string{"<3>CTRL-EVENT-TERMINATING "}
			}
			return good(cmd)
		}
		if err := d.join(s, home, "correct horse"); err == nil || err.Error() != "wifi: wpa_supplicant has ended" {
			t.Errorf("terminating: %v", err)
		}
		// Close in the middle.
		d.reply = func(cmd string) (string, []string) {
			if strings.HasPrefix(cmd, "SELECT") {
				s.Close()
			}
			return good(cmd)
		}
		if err := d.join(s, home, "correct horse"); err != conn.ErrClosed {
			t.Errorf("Close: %v", err)
		}
		d.until("one connection is left", func() bool { return d.Stats().Conns <= 1 })
	})
}

// wpa_supplicant goes silent, or is killed, at each command and while an event is awaited. What waits
// for it ends soon, with an error that says so; one that goes on later has the attempt undone.
func TestSupplicantThatStalls(t *testing.T) {
	const silent = "wifi: wpa_supplicant does not reply"
	home := AccessPoint{SSID: "Home", Security: Personal}
	// Only the wait for a reply can end what waits, and it ends when the test says so (expire).
	o := SupplicantOptions{Reply: time.Hour, Scan: time.Hour, Join: time.Hour}
	start := func(d *daemon) *Supplicant {
		s := NewSupplicant(d.Manager, d.path, o)
		s.ping = time.Millisecond
		return s
	}
	expire := func(s *Supplicant) {
		s.timer.Stop()
		s.timer = s.m.AfterFunc(0, s.silent)
	}
	run := func(d *daemon, s *Supplicant, scan bool) error {
		if scan {
			_, err := d.scan(s)
			return err
		}
		return d.join(s, home, "correct horse")
	}
	eachPoller(t, func(t *testing.T, d *daemon) {
		good := d.reply
		for _, tt := range []struct {
			scan  bool
			at    string // the first command without a reply
			after string // the command after which no event comes
		}{
			{true, "SCAN", ""}, {true, "SCAN_RESULTS", ""}, {true, "PING", "SCAN"},
			{false, "ADD_NETWORK", ""}, {false, "SET_NETWORK 4 ssid", ""}, {false, "SET_NETWORK 4 psk", ""}, {false, "SELECT_NETWORK", ""}, {false, "PING", "SELECT_NETWORK"},
		} {
			for _, killed := range []bool{false, true} {
				if killed && tt.after == "" {
					continue
				}
				d.commands = nil
				var held []string // that a stalled one has not read yet
				gone := false
				s := start(d)
				d.reply = func(cmd string) (string, []string) {
					if strings.HasPrefix(cmd, tt.at) && (tt.at != "SCAN" || cmd == "SCAN") {
						gone = true
					}
					if gone {
						if len(held) == 0 {
							expire(s)
						}
						held = append(held, cmd)
						return "", nil
					}
					reply, events := good(cmd)
					if tt.after != "" && strings.HasPrefix(cmd, tt.after) {
						events = nil
						if killed {
							d.AfterFunc(0, d.c.Close) // when its reply is out, and without a word
						}
					}
					return reply, events
				}
				err := run(d, s, tt.scan)
				if killed {
					if err == nil || !strings.HasPrefix(err.Error(), "wifi: wpa_supplicant: ") {
						t.Errorf("killed after %s: %v", tt.after, err)
					}
					d.clients = nil
					d.begin()
				} else if err == nil || err.Error() != silent {
					t.Errorf("silent at %s: %v", tt.at, err)
				}
				if undo := []string{"REMOVE_NETWORK 4", "ENABLE_NETWORK all"}; !killed && !tt.scan && tt.at != "ADD_NETWORK" {
					d.until("it has read that the attempt is over", func() bool { return len(held) >= 3 && slices.Equal(held[len(held)-2:], undo) })
				}
				d.reply = good
				if err := run(d, s, tt.scan); err != nil {
					t.Errorf("after it was silent at %s: %v", tt.at, err)
				}
				s.Close()
				d.until("the connections are closed", func() bool { return d.Stats().Conns <= 1 })
			}
		}
		// It has a socket, and reads nothing: its queue fills.
		d.reply = good
		s := start(d)
		if err := run(d, s, true); err != nil {
			t.Fatal(err)
		}
		d.c.Pause()
		s.o.Reply = 10 * time.Millisecond
		for range 300 {
			s.c.Write([]byte("PING"))
		}
		d.Poll(0)
		if _, err := d.scan(s); err == nil || err.Error() != silent {
			t.Errorf("it reads nothing: %v", err)
		}
		d.c.Resume()
		// While it is there, PING changes nothing for one that waits long.
		pings := 0
		d.reply = func(cmd string) (string, []string) {
			switch reply, events := good(cmd); {
			case cmd != "PING" && !strings.HasPrefix(cmd, "SELECT"):
				return reply, events
			case cmd != "PING":
				return reply, nil
			case pings == 2:
				_, events := good("SELECT_NETWORK")
				return "PONG\n", events
			}
			pings++
			return "PONG\n", nil
		}
		s = start(d)
		if err := run(d, s, false); err != nil {
			t.Errorf("after three PINGs: %v", err)
		}
	})
}

func TestTimeouts(t *testing.T) {
	d := newDaemon(t, mgr.Auto)
	d.reply = func(cmd string) (string, []string) {
		if cmd == "ADD_NETWORK" {
			return "4", nil
		}
		return "OK", nil
	}
	s := NewSupplicant(d.Manager, d.path, SupplicantOptions{Scan: 30 * time.Millisecond, Join: 30 * time.Millisecond})
	if _, err := d.scan(s); err == nil || err.Error() != "wifi: the scan takes too long" {
		t.Errorf("scan: %v", err)
	}
	if err := d.join(s, AccessPoint{SSID: "x"}, ""); err != ErrTimeout {
		t.Errorf("join: %v", err)
	}
}

// An attempt ends before wpa_supplicant has made its network: that network does not stay.
func TestANetworkThatIsMadeTooLate(t *testing.T) {
	eachPoller(t, func(t *testing.T, d *daemon) {
		was := d.reply
		d.reply = func(cmd string) (string, []string) {
			if cmd == "ADD_NETWORK" {
				return "", nil // for now
			}
			return was(cmd)
		}
		s := NewSupplicant(d.Manager, d.path, SupplicantOptions{Join: 20 * time.Millisecond, Reply: time.Minute})
		var got error
		s.Join(AccessPoint{SSID: "x"}, "", func(err error) { got = err })
		d.until("the attempt has ended", func() bool { return got != nil })
		d.until("the command has come", func() bool { return slices.Contains(d.commands, "ADD_NETWORK") })
		d.event("4\n")
		d.until("the network is removed", func() bool { return slices.Contains(d.commands, "REMOVE_NETWORK 4") })
		if got != ErrTimeout {
			t.Error(got)
		}
		s.Close()
	})
}
