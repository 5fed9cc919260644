package update

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/device/internal/disk/disksim"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// A site serves an Updater.
type site struct {
	t   *testing.T
	url string
	mu  sync.Mutex
	has []string // of Progress
}

func serve(t *testing.T, p mgr.Poller, m *machine, more ...func(u *Updater, loop *mgr.Manager, x *http.Mux)) *site {
	t.Helper()
	s := &site{t: t}
	u, _, err := m.boot("a", func(o *Options) {
		o.Progress = func(now Status) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.has = append(s.has, fmt.Sprint(now.State, " ", now.Offset, "/", now.Size))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	loop, x := looptest.New(t, p), http.NewMux()
	u.Mount(x, "/update", looptest.Unless("Nobody"), looptest.Unless("Stranger"))
	for _, f := range more {
		f(u, loop, x)
	}
	s.url = "http://" + looptest.Listen(t, loop, "http://127.0.0.1:0", x.Serve) + "/update"
	looptest.Run(t, loop)
	return s
}

// ask sends a request; fields are names and values.
func (s *site) ask(method, query string, body io.Reader, fields ...string) (code int, text string) {
	s.t.Helper()
	resp, text := looptest.Ask(s.t, nil, method, s.url+query, body, fields...)
	return resp.StatusCode, text
}

// want is ask, and checks the code, the state, the offset and the error.
func (s *site) want(code int, want, method, query string, body []byte, fields ...string) {
	s.t.Helper()
	got, text := s.ask(method, query, bytes.NewReader(body), fields...)
	var r struct {
		Status
		Error string
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil && code != 403 {
		s.t.Fatalf("%s: %v", text, err)
	}
	if said := fmt.Sprintf("%s %d %s", r.State, r.Offset, r.Error); got != code || said != want && code != 403 {
		s.t.Errorf("%s %s: %d %s, want %d %s", method, query, got, said, code, want)
	}
}

func TestAnUpdateOverHTTP(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			key := newSigner(t)
			m := newMachine(t, disk.OS, t.TempDir(), key)
			s := serve(t, p, m)
			program := bytes.Repeat([]byte("0123456789"), 100_000)
			sig, size := key.version(program, "2.0"), "?size="+strconv.Itoa(len(program))
			const other = "update: this is not the offset to go on from"
			s.want(200, "settled 0 ", "GET", "", nil)
			s.want(200, "settled 0 ", "GET", "", nil, "Stranger", "1")
			s.want(403, "", "GET", "", nil, "Nobody", "1")
			for _, method := range []string{"POST", "PATCH", "DELETE"} {
				s.want(403, "", method, size, sig, "Sec-Fetch-Site", "cross-site", "Upload-Offset", "0")
				s.want(403, "", method, size, sig, "Origin", "https://evil.example", "Upload-Offset", "0")
			}
			s.want(403, "", "POST", size, sig, "Stranger", "1")
			s.want(403, "", "PATCH", "", program, "Stranger", "1", "Upload-Offset", "0")
			s.want(409, "settled 0 "+other, "PATCH", "", program[:10], "Upload-Offset", "0")
			s.want(400, "settled 0 update: the size is missing", "POST", "", sig)
			s.want(422, "settled 0 "+ErrSignature.Error(), "POST", size, []byte("x"))
			s.want(413, "settled 0 update: the size is not acceptable: 99999999999 bytes, of 67108864 at most", "POST", "?size=99999999999", sig)
			s.want(200, "settled 0 ", "POST", size, sig)
			s.want(409, "settled 0 "+other, "PATCH", "", program[:10], "Upload-Offset", "5")
			s.want(409, "settled 0 update: Upload-Offset is missing, or another upload is under way", "PATCH", "", program[:10])
			s.want(200, "settled 400000 ", "PATCH", "", program[:400_000], "Upload-Offset", "0")
			s.want(200, "settled 400000 ", "POST", size, sig)
			s.want(413, "settled 0 update: the size is not acceptable: there are more bytes than were announced", "PATCH", "", program, "Upload-Offset", "400000")
			s.want(200, "settled 0 ", "POST", size, sig)
			s.want(200, "settled 10 ", "PATCH", "", program[:10], "Upload-Offset", "0")
			s.want(200, "settled 0 ", "DELETE", "", nil)
			s.want(409, "settled 0 update: none is being received", "DELETE", "", nil)
			s.want(200, "settled 0 ", "POST", size, sig)
			s.want(200, "ready 1000000 ", "PATCH", "", program, "Upload-Offset", "0")
			s.want(409, "ready 1000000 "+other, "PATCH", "", nil, "Upload-Offset", "1000000")
			m.want(m.on(), OnTrial, "b", "2.0")
			s.mu.Lock()
			defer s.mu.Unlock()
			if n := len(s.has); n < 20 || n > 300 || s.has[n-1] != "ready 1000000/1000000" {
				t.Errorf("%d times, the last is %s", n, s.has[n-1])
			}
		})
	}
}

func TestAnUploadThatBreaksOffGoesOn(t *testing.T) {
	key := newSigner(t)
	m := newMachine(t, disk.OS, t.TempDir(), key)
	s := serve(t, 0, m)
	sig, size := key.version(programTwo, "2.0"), "?size="+strconv.Itoa(len(programTwo))
	s.want(200, "settled 0 ", "POST", size, sig)
	r, w := io.Pipe()
	req, err := nethttp.NewRequest("PATCH", s.url, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Upload-Offset", "0")
	broken := make(chan error)
	go func() {
		_, err := nethttp.DefaultClient.Do(req)
		broken <- err
	}()
	if _, err := w.Write(programTwo[:9]); err != nil {
		t.Fatal(err)
	}
	for { // the nine bytes have arrived when the status says so
		if _, text := s.ask("GET", "", nil); bytes.Contains([]byte(text), []byte(`"offset":9`)) {
			break
		}
	}
	// While it is under way there is no other.
	s.want(409, "settled 9 update: Upload-Offset is missing, or another upload is under way", "PATCH", "", programTwo[9:], "Upload-Offset", "9")
	w.CloseWithError(io.ErrClosedPipe)
	if err := <-broken; err == nil {
		t.Fatal("the request was answered")
	}
	for {
		code, _ := s.ask("PATCH", "", bytes.NewReader(programTwo[9:]), "Upload-Offset", "9")
		if code == 200 {
			break
		}
		if code != 409 { // the server has not seen the end of the other connection yet
			t.Fatal(code)
		}
	}
	m.want(m.on(), OnTrial, "b", "2.0")
}

// The bytes of an upload do not get into the update that another client has begun meanwhile.
func TestAnUploadIsForItsOwnUpdate(t *testing.T) {
	key := newSigner(t)
	m := newMachine(t, disk.OS, t.TempDir(), key)
	s := serve(t, 0, m)
	size := "?size=" + strconv.Itoa(len(programTwo))
	s.want(200, "settled 0 ", "POST", size, key.version(programTwo, "2.0"))
	c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), "/update"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "PATCH /update HTTP/1.1\r\nHost: box\r\nUpload-Offset: 0\r\nContent-Length: %d\r\n\r\n%s", len(programTwo), programTwo[:9])
	for { // the nine bytes have arrived when the status says so
		if _, text := s.ask("GET", "", nil); strings.Contains(text, `"offset":9`) {
			break
		}
	}
	three := []byte("the program of version 3.0, which has more bytes than those which are still to come of 2.0")
	s.want(200, "settled 0 ", "POST", "?size="+strconv.Itoa(len(three)), key.version(three, "3.0"))
	if _, err := c.Write(programTwo[9:20]); err != nil {
		t.Fatal(err)
	}
	resp, err := nethttp.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 409 {
		t.Fatal(resp, err)
	}
	if _, err := c.Write(programTwo[20:]); err != nil { // it has its reply
		t.Fatal(err)
	}
	s.want(200, "settled 0 ", "GET", "", nil)
	for code := 409; code == 409; { // the other request may not be over yet
		code, _ = s.ask("PATCH", "", bytes.NewReader(three), "Upload-Offset", "0")
	}
	m.want(m.on(), OnTrial, "b", "3.0")
}

// A part that an earlier run has left can be dropped. One that has filled the disk is dropped at once:
// without room no setting can be saved.
func TestPartsOfUpdatesMakeRoom(t *testing.T) {
	key := newSigner(t)
	m := newMachine(t, disk.OS, t.TempDir(), key)
	sig, size := key.version(programTwo, "2.0"), "?size="+strconv.Itoa(len(programTwo))
	first := serve(t, 0, m)
	first.want(200, "settled 0 ", "POST", size, sig)
	first.want(200, "settled 9 ", "PATCH", "", programTwo[:9], "Upload-Offset", "0")
	second := serve(t, 0, m) // the next process
	second.want(200, "settled 0 ", "DELETE", "", nil)
	m.wantNoPart()
	second.want(409, "settled 0 update: none is being received", "DELETE", "", nil)

	sim := disksim.New()
	m = newMachine(t, sim, "/box", key)
	u := m.on()
	if _, err := u.Begin(sig, int64(len(programTwo)), false); err != nil {
		t.Fatal(err)
	}
	sim.FailAt, sim.Fail = sim.Ops()+1, syscall.ENOSPC
	if _, err := u.Write(programTwo); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	m.wantNoPart()
	if s := u.Status(); s.Next != nil || s.Size != 0 {
		t.Errorf("the status is %+v", s)
	}
}

func (m *machine) wantNoPart() {
	m.t.Helper()
	names, err := m.fs.List(m.dir)
	if err != nil || slices.Contains(names, "incoming") || slices.Contains(names, "incoming.minisig") {
		m.t.Error(names, err)
	}
}

func TestAFullDiskIs507(t *testing.T) {
	key := newSigner(t)
	sim := disksim.New()
	m := newMachine(t, sim, "/box", key)
	const opsOfBegin = 6 // the file, and its signature, which is replaced
	sim.FailAt, sim.Fail = sim.Ops()+opsOfBegin+1, syscall.ENOSPC
	s := serve(t, 0, m)
	sig, size := key.version(programTwo, "2.0"), "?size="+strconv.Itoa(len(programTwo))
	s.want(200, "settled 0 ", "POST", size, sig)
	s.want(507, "settled 0 update: no space left on device", "PATCH", "", programTwo, "Upload-Offset", "0")
	s.want(200, "settled 0 ", "POST", size, sig)
	s.want(200, fmt.Sprintf("ready %d ", len(programTwo)), "PATCH", "", programTwo, "Upload-Offset", "0")
}
