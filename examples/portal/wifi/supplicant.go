package wifi

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// SupplicantOptions are the settings of a Supplicant. The zero value works.
type SupplicantOptions struct {
	Reply time.Duration // for the reply to a command, and between two PINGs while a scan or a join waits; default 5 s
	Scan  time.Duration // for a scan; default 20 s
	Join  time.Duration // for an attempt to join; default 30 s
	Save  bool          // write what was joined to wpa_supplicant's file (update_config=1 there)
}

// A Supplicant is a Network by the control socket of wpa_supplicant, one for each wireless interface.
// wpa_supplicant may be started later, and again. If it stops replying or ends, what waits for it
// fails within two Reply times: no event tells of that, so it is asked (PING) while one is awaited.
//
// Commands are datagrams, each with one reply; events are datagrams that begin with their level, as
// in "<3>CTRL-EVENT-CONNECTED". SSIDs and passphrases are chosen by others, and cannot become part of a
// command: an SSID goes in hexadecimal digits, a passphrase has been checked to have no control
// characters, and wpa_supplicant ends its quotes at the last quotation mark of the line.
type Supplicant struct {
	m   *mgr.Manager
	url string
	o   SupplicantOptions

	c     *conn.Conn
	queue []command
	timer *mgr.Timer // of the first command

	scans    []func([]AccessPoint, error)
	scanning *mgr.Timer
	join     *join
	watch    *mgr.Timer    // asks whether wpa_supplicant is there, while a scan or a join waits,
	ping     time.Duration // each ping
	seen     memory
}

// command waits for its reply.
type command struct {
	text string
	done func(reply string, err error)
}

// join is an attempt to join.
type join struct {
	id       string // of wpa_supplicant's network, "" before there is one
	misses   int    // scans that did not find it
	selected bool
	timer    *mgr.Timer
	done     func(error)
}

var errRefused = errors.New("wifi: wpa_supplicant refuses")

// NewSupplicant makes the Network of the socket at path, such as /run/wpa_supplicant/wlan0.
func NewSupplicant(m *mgr.Manager, path string, opts ...SupplicantOptions) *Supplicant {
	s := &Supplicant{m: m, url: "unixgram://" + path, seen: memory{}}
	if len(opts) > 0 {
		s.o = opts[0]
	}
	if s.o.Reply <= 0 {
		s.o.Reply = 5 * time.Second
	}
	if s.o.Scan <= 0 {
		s.o.Scan = 20 * time.Second
	}
	if s.o.Join <= 0 {
		s.o.Join = 30 * time.Second
	}
	s.ping = s.o.Reply
	return s
}

// Close ends what is under way with conn.ErrClosed, and the connection to wpa_supplicant.
func (s *Supplicant) Close() { s.lost(conn.ErrClosed) }

// command sends a command, after those before it have their replies.
func (s *Supplicant) command(text string, done func(reply string, err error)) {
	s.queue = append(s.queue, command{text, done})
	if len(s.queue) == 1 {
		s.next()
	}
}

// expect is a command whose reply has to be OK.
func (s *Supplicant) expect(text string, done func(err error)) {
	s.command(text, func(reply string, err error) {
		if err == nil && reply != "OK" {
			// Of the command only its name and the variable: the rest may be secret.
			f := strings.Fields(text)
			err = fmt.Errorf("%w: %s: %.40q", errRefused, strings.Join(f[:min(len(f), 3)], " "), reply)
		}
		done(err)
	})
}

// next sends the first command of the queue.
func (s *Supplicant) next() {
	if s.c == nil && !s.dial() {
		return
	}
	s.timer = s.m.AfterFunc(s.o.Reply, s.silent)
	s.c.Write([]byte(s.queue[0].text))
}

// silent is the end of the time for a reply.
func (s *Supplicant) silent() { s.lost(errors.New("wifi: wpa_supplicant does not reply")) }

// dial connects, and asks for events before all else.
func (s *Supplicant) dial() bool {
	c, err := s.m.Connect(s.url, s.handle)
	if err != nil {
		s.m.AfterFunc(0, func() { s.lost(fmt.Errorf("wifi: wpa_supplicant: %w", err)) })
		return false
	}
	s.c = c
	s.queue = append([]command{{"ATTACH", func(reply string, err error) {}}}, s.queue...)
	return true
}

func (s *Supplicant) handle(c *conn.Conn, ev conn.Event) {
	if c != s.c {
		return
	}
	switch ev := ev.(type) {
	case *conn.Datagram:
		s.take(strings.TrimRight(string(ev.Data), "\n"))
	case *conn.Undelivered: // it has ended, or its socket is another one by now
		s.lost(fmt.Errorf("wifi: wpa_supplicant: %w", ev.Err))
	case *conn.Error:
		s.lost(fmt.Errorf("wifi: wpa_supplicant: %w", ev.Err))
	case *conn.Close:
		s.lost(conn.ErrClosed)
	}
}

// lost gives the connection up: a reply that comes late would be taken for that of another command.
// All that waits has failed; the next command connects again.
//
// One that merely stalls finds the commands that undo an attempt to join when it goes on.
func (s *Supplicant) lost(err error) {
	if c := s.c; c != nil {
		s.c = nil
		if s.join != nil && s.join.id != "" {
			for _, text := range undo(s.join.id) {
				c.Write([]byte(text))
			}
		}
		c.Drain()
	}
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	queue := s.queue
	s.queue = nil
	for _, q := range queue {
		s.m.Try(func() { q.done("", err) })
	}
	s.scanned(nil, err)
	s.joined(err)
}

// take takes a datagram: an event, or the reply to the first command.
func (s *Supplicant) take(text string) {
	if strings.HasPrefix(text, "<") {
		if _, event, ok := strings.Cut(text, ">"); ok {
			s.event(event)
		}
		return
	}
	if len(s.queue) == 0 {
		return
	}
	q := s.queue[0]
	s.queue = s.queue[1:]
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	more := len(s.queue) > 0
	s.m.Try(func() { q.done(text, nil) })
	if more && s.timer == nil && len(s.queue) > 0 {
		s.next()
	}
}

// await has wpa_supplicant asked whether it is there, until no scan and no join waits. A reply that
// does not come ends these (see next), as does a socket that nobody reads any more.
func (s *Supplicant) await() {
	if s.watch != nil {
		return
	}
	s.watch = s.m.Every(s.ping, func() {
		switch {
		case s.scanning == nil && s.join == nil:
			s.watch.Stop()
			s.watch = nil
		case len(s.queue) == 0:
			s.command("PING", func(string, error) {})
		}
	})
}

// Scan implements Network.
func (s *Supplicant) Scan(done func([]AccessPoint, error)) {
	s.scans = append(s.scans, done)
	if s.scanning != nil {
		return
	}
	s.scanning = s.m.AfterFunc(s.o.Scan, func() { s.scanned(nil, errors.New("wifi: the scan takes too long")) })
	s.await()
	s.command("SCAN", func(reply string, err error) {
		if err == nil && reply != "OK" && reply != "FAIL-BUSY" { // busy: one goes on, and will tell
			err = fmt.Errorf("%w: SCAN: %.40q", errRefused, reply)
		}
		if err != nil {
			s.scanned(nil, err)
		}
	})
}

// scanned ends the scans that wait.
func (s *Supplicant) scanned(points []AccessPoint, err error) {
	if s.scanning == nil {
		return
	}
	s.scanning.Stop()
	s.scanning = nil
	scans := s.scans
	s.scans = nil
	for _, done := range scans {
		s.m.Try(func() { done(points, err) })
	}
}

// event takes an event. SSIDs in it are chosen by others, and may look like any other part of it: so
// what counts is read from where no SSID can be, the beginning and the end.
func (s *Supplicant) event(text string) {
	f := strings.Fields(text)
	if len(f) == 0 {
		return
	}
	last := f[len(f)-1]
	switch f[0] {
	case "CTRL-EVENT-SCAN-RESULTS":
		if s.scanning != nil {
			s.command("SCAN_RESULTS", func(reply string, err error) {
				if err == nil {
					points := parseScan(reply)
					s.seen.apply(points)
					s.scanned(points, nil)
				}
			})
		}
	case "CTRL-EVENT-SCAN-FAILED":
		s.scanned(nil, errors.New("wifi: the scan failed"))
	case "CTRL-EVENT-TERMINATING":
		s.lost(errors.New("wifi: wpa_supplicant has ended"))
	case "CTRL-EVENT-CONNECTED": // … - Connection to 02:00:00:00:01:00 completed [id=0 id_str=]
		if len(f) > 6 && s.joins() && f[6] == "[id="+s.join.id {
			s.joined(nil)
		}
	case "CTRL-EVENT-SSID-TEMP-DISABLED": // … id=0 ssid="…" auth_failures=1 duration=10 reason=WRONG_KEY
		if len(f) > 1 && s.joins() && f[1] == "id="+s.join.id {
			if last == "reason=WRONG_KEY" {
				s.joined(ErrPassphrase)
			} else {
				s.joined(fmt.Errorf("wifi: the network refuses: %.40s", strings.TrimPrefix(last, "reason=")))
			}
		}
	case "CTRL-EVENT-NETWORK-NOT-FOUND":
		if s.joins() {
			if s.join.misses++; s.join.misses == 3 {
				s.joined(ErrNotFound)
			}
		}
	}
}

// joins reports whether an attempt waits for its outcome.
func (s *Supplicant) joins() bool { return s.join != nil && s.join.selected }

// Join implements Network.
func (s *Supplicant) Join(to AccessPoint, passphrase string, done func(error)) {
	err := to.Check(passphrase)
	switch _, protected := s.seen[to.SSID]; {
	case err != nil:
	case to.Security == Open && protected:
		err = ErrTwin
	case s.join != nil:
		err = ErrBusy
	}
	if err != nil {
		s.m.AfterFunc(0, func() { done(err) })
		return
	}
	j := &join{done: done}
	s.join = j
	j.timer = s.m.AfterFunc(s.o.Join, func() {
		if s.join == j {
			s.joined(ErrTimeout)
		}
	})
	s.await()
	s.command("ADD_NETWORK", func(reply string, err error) {
		_, bad := strconv.ParseUint(reply, 10, 16)
		if s.join != j { // the attempt has ended: nobody else knows of this network
			if err == nil && bad == nil {
				s.command("REMOVE_NETWORK "+reply, func(string, error) {})
			}
			return
		}
		if err == nil && bad != nil {
			err = fmt.Errorf("%w: ADD_NETWORK: %.40q", errRefused, reply)
		}
		if err != nil {
			s.joined(err)
			return
		}
		j.id = reply
		s.setUp(j, settings(to, passphrase))
	})
}

// settings returns the variables of wpa_supplicant's network.
func settings(to AccessPoint, passphrase string) []string {
	set := []string{"ssid " + hex.EncodeToString([]byte(to.SSID))}
	if to.Hidden {
		set = append(set, "scan_ssid 1")
	}
	switch {
	case to.Security == Open:
		return append(set, "key_mgmt NONE")
	case to.Security == SAE:
		set = append(set, "key_mgmt SAE", "ieee80211w 2") // WPA3 protects management frames
	default:
		set = append(set, "key_mgmt WPA-PSK")
	}
	if to.Security == Personal && isKey(passphrase) {
		return append(set, "psk "+passphrase)
	}
	return append(set, `psk "`+passphrase+`"`)
}

// setUp sets the variables that are left, one after the other, then selects the network.
func (s *Supplicant) setUp(j *join, left []string) {
	text := "SELECT_NETWORK " + j.id
	if len(left) > 0 {
		text = "SET_NETWORK " + j.id + " " + left[0]
	} else {
		j.selected = true // events may come before the reply
	}
	s.expect(text, func(err error) {
		switch {
		case s.join != j:
		case err != nil:
			s.joined(err)
		case len(left) > 0:
			s.setUp(j, left[1:])
		}
	})
}

// undo is what ends an attempt that failed: its network is forgotten, and those before, which
// SELECT_NETWORK has disabled, are tried again.
func undo(id string) []string { return []string{"REMOVE_NETWORK " + id, "ENABLE_NETWORK all"} }

// joined ends the attempt.
func (s *Supplicant) joined(err error) {
	j := s.join
	if j == nil {
		return
	}
	s.join = nil
	j.timer.Stop()
	ignore := func(string, error) {}
	switch {
	case s.c == nil:
	case err == nil && s.o.Save:
		s.command("SAVE_CONFIG", ignore)
	case err != nil && j.id != "":
		for _, text := range undo(j.id) {
			s.command(text, ignore)
		}
	}
	s.m.Try(func() { j.done(err) })
}

// parseScan reads the reply to SCAN_RESULTS: a line for each access point, of address, frequency,
// signal, flags and SSID, with tabs between them.
func parseScan(text string) []AccessPoint {
	var all []AccessPoint
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 5)
		if len(f) < 5 {
			continue // the heading, or a line that was cut off
		}
		signal, err := strconv.Atoi(f[2])
		ssid, ok := unescape(f[4])
		if err != nil || !ok || len(ssid) == 0 || len(ssid) > 32 || strings.Trim(ssid, "\x00") == "" {
			continue // hidden, or not sound
		}
		all = append(all, AccessPoint{SSID: ssid, Signal: signal, Security: securityOf(f[3])})
	}
	return best(all)
}

// securityOf reads flags such as "[WPA2-PSK-CCMP][ESS]".
func securityOf(flags string) Security {
	switch {
	case strings.Contains(flags, "PSK"):
		return Personal
	case strings.Contains(flags, "SAE"):
		return SAE
	case strings.Contains(flags, "EAP"), strings.Contains(flags, "WEP"), strings.Contains(flags, "OWE"), strings.Contains(flags, "WPA"), strings.Contains(flags, "RSN"):
		return Unsupported
	}
	return Open
}

// unescape undoes wpa_supplicant's printf_encode: \" \\ \e \n \r \t and \xNN.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", false
		}
		switch s[i] {
		case '"', '\\':
			b = append(b, s[i])
		case 'e':
			b = append(b, 27)
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'x':
			if i+2 >= len(s) {
				return "", false
			}
			v, err := hex.DecodeString(s[i+1 : i+3])
			if err != nil {
				return "", false
			}
			b = append(b, v[0])
			i += 2
		default:
			return "", false
		}
	}
	return string(b), true
}
