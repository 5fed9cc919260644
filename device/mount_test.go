package device

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws/wsutil"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device/internal/disk/disksim"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestREST(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := start(t, p, Options{File: filepath.Join(t.TempDir(), "settings.json")})
		r.want("GET", "/api/settings", "", 200, atFirst)
		r.want("PATCH", "/api/settings", `{"name":"new","wifi":{"ssid":"home"}}`, 200, `{"version":2,"saved":true,"restart":["wifi.ssid"]}`)
		r.want("GET", "/api/settings", "", 200, strings.Replace(strings.Replace(atFirst, "box", "new", 1), `""`, `"home"`, 1))
		r.want("PUT", "/api/settings", atFirst, 200, `{"version":3,"saved":true}`)
		r.want("PATCH", "/api/settings", `{}`, 200, `{"version":3,"saved":true}`)
		r.want("PATCH", "/api/settings", `{"name":"","mode":"x"}`, 422,
			`{"title":"the settings were refused","status":422,"code":"settings","errors":[{"path":"name","error":"must have 1 to 8 characters","code":"length"},{"path":"mode","error":"must be one of auto, on, off","code":"choice"}]}`)
		r.want("PATCH", "/api/settings", `{"name":"x"}`, 415, `{"title":"send application/json","status":415,"code":"not-json"}`, "Content-Type", "text/plain")
		r.want("PUT", "/api/settings", atFirst, 415, `{"title":"send application/json","status":415,"code":"not-json"}`, "Content-Type", "application/merge-patch+json")
		r.want("PATCH", "/api/settings", `{"mode":"on"}`, 200, `{"version":4,"saved":true}`, "Content-Type", "Application/Merge-Patch+JSON; charset=utf-8")
		r.want("PATCH", "/api/settings", `{"name":"`+strings.Repeat("x", maxDocument)+`"}`, 413, `{"title":"the document is too large","status":413,"code":"too-long"}`)
		r.want("DELETE", "/api/settings", "", 405, "405 Method Not Allowed\n")
	})
}

func TestConditions(t *testing.T) {
	r := start(t, 0, Options{})
	resp, _ := r.ask("GET", "/api/settings", "")
	tag := resp.Header.Get("ETag")
	r.want("GET", "/api/settings", "", 304, "", "If-None-Match", tag)
	r.want("PATCH", "/api/settings", `{"fan":true}`, 200, `{"version":2,"saved":true}`, "If-Match", tag)
	for _, stale := range []string{tag, `"77"`, `"x"`, `W/"2"`, `2`, `"0"`} {
		r.want("PATCH", "/api/settings", `{"fan":false}`, 412, `{"title":"device: the settings have changed meanwhile","status":412,"code":"changed"}`, "If-Match", stale)
	}
	r.want("PATCH", "/api/settings", `{"fan":false}`, 200, `{"version":3,"saved":true}`, "If-Match", "*")
}

func TestRolesOverREST(t *testing.T) {
	r := start(t, 0, Options{}, func(d *Device[settings]) {
		d.Action(Action{Name: "beep", Role: User, Run: func(Who) error { return nil }})
	})
	const forbidden = `{"title":"this is for a higher role","status":403,"code":"role"}`
	for _, path := range []string{"/api/settings", "/api/schema", "/api/actions", "/api/audit", "/api/rpc"} {
		r.want("GET", path, "", 403, forbidden, "Role", "nobody")
	}
	r.want("GET", "/api/audit", "", 403, forbidden, "Role", "user")
	r.want("PATCH", "/api/settings", `{"fan":true}`, 403, forbidden, "Role", "nobody")
	r.want("PATCH", "/api/settings", `{"fan":true,"name":""}`, 403, `{"title":"this is for a higher role","status":403,"code":"role","errors":[`+
		`{"path":"name","error":"can be set by the role user only","code":"setting-role"},{"path":"fan","error":"can be set by the role user only","code":"setting-role"}]}`, "Role", "viewer")
	r.want("PUT", "/api/settings", atFirst, 200, `{"version":1,"saved":true}`, "Role", "viewer") // nothing changes
	r.want("POST", "/api/actions/beep", "{}", 403, forbidden, "Role", "viewer")
	r.want("GET", "/api/actions", "", 200, `[]`, "Role", "viewer")
	r.want("GET", "/api/actions", "", 200, `[{"name":"beep"}]`, "Role", "user")
}

// RFC 9110 §11.6.1: a 401 says how one can log in. 403 is for a caller that is known, and for a device
// without a way to log in.
func TestCallersThatAreNotKnown(t *testing.T) {
	for _, x := range []struct {
		who       func(c *conn.Conn, r *http.Request) Who
		challenge string
		want      string
	}{
		{func(*conn.Conn, *http.Request) Who { return Who{} }, "", "401 Bearer"},
		{func(*conn.Conn, *http.Request) Who { return Who{} }, `Basic realm="box"`, `401 Basic realm="box"`},
		{func(*conn.Conn, *http.Request) Who { return Who{Name: "bob"} }, "", "403 "},
	} {
		r := start(t, 0, Options{Who: x.who, Challenge: x.challenge})
		for _, route := range []string{"GET /api/settings", "PUT /api/settings", "PATCH /api/settings", "GET /api/schema", "GET /api/actions", "POST /api/actions/beep", "GET /api/audit", "GET /api/rpc"} {
			method, path, _ := strings.Cut(route, " ")
			resp, _ := r.ask(method, path, "")
			if got := fmt.Sprintf("%d %s", resp.StatusCode, resp.Header.Get("WWW-Authenticate")); got != x.want {
				t.Errorf("%s: %s, want %s", route, got, x.want)
			}
		}
	}
	if d, err := New(looptest.New(t, 0), defaults()); err != nil || d.opts.Challenge != "" {
		t.Error(d.opts.Challenge, err)
	}
}

// A text that is not UTF-8 would become another one: RFC 8259 §8.1 and §8.2.
func TestRefusesWhatIsNotUTF8(t *testing.T) {
	r := start(t, 0, Options{}, func(d *Device[settings]) {
		d.Action(Action{Name: "beep", Run: func(Who) error { return nil }})
	})
	for name, why := range map[string]string{
		"b\xff":   "the JSON is not UTF-8 (RFC 8259 §8.1)",
		`b\ud800`: `the JSON has half of a surrogate pair: \ud800 (RFC 8259 §8.2)`,
		"b\"":     "this is no JSON",
	} {
		text := `{"name":"` + name + `"}`
		problem := fmt.Sprintf(`{"title":%q,"status":400,"code":"malformed"}`, why)
		r.want("PATCH", "/api/settings", text, 400, problem)
		r.want("PUT", "/api/settings", strings.Replace(atFirst, "box", name, 1), 400, problem)
		r.want("POST", "/api/actions/beep", text, 400, problem)
		if err := r.dev.Patch(Program, []byte(text)); err == nil || err.Error() != "device: "+why {
			t.Errorf("%q: %v", text, err)
		}
		p := r.dial()
		call := `{"jsonrpc":"2.0","method":"set","params":{"patch":` + text + `},"id":1}`
		if err := wsutil.WriteClientBinary(p.c, []byte(call)); err != nil { // package websocket checks texts
			t.Fatal(err)
		}
		p.want(fmt.Sprintf(`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":%q}}`, why))
	}
	if err := r.dev.Set(Program, func(s *settings) { s.Name = "b\xff" }); err == nil || err.Error() != "device: name must be UTF-8" {
		t.Error(err)
	}
	r.want("GET", "/api/settings", "", 200, atFirst)
}

func TestActions(t *testing.T) {
	by := make(chan Who, 10)
	r := start(t, 0, Options{}, func(d *Device[settings]) {
		d.Action(Action{Name: "reboot", Help: "Restarts.", Confirm: "Restart the device?", Run: func(who Who) error {
			by <- who
			return nil
		}})
		d.Action(Action{Name: "fail", Run: func(Who) error { return errors.New("the lamp is broken") }})
		d.Action(Action{Name: "panic", Run: func(Who) error { panic("oops") }})
	})
	r.want("POST", "/api/actions/reboot", ``, 415, `{"title":"send application/json","status":415,"code":"not-json"}`)
	r.want("POST", "/api/actions/reboot", `{}`, 428, `{"title":"Restart the device?","status":428}`)
	r.want("POST", "/api/actions/reboot", `{"confirm":1}`, 400, `{"title":"the body is {\"confirm\": true}, or empty","status":400,"code":"malformed"}`)
	r.want("POST", "/api/actions/reboot", `{"confirm":true}`, 204, "")
	r.want("POST", "/api/actions/fail", `{}`, 500, `{"title":"the lamp is broken","status":500}`)
	r.want("POST", "/api/actions/none", `{}`, 404, `{"title":"there is no such action","status":404,"code":"no-action"}`)
	r.want("POST", "/api/actions/panic", `{}`, 500, `{"title":"the action broke off","status":500,"code":"action"}`)
	if who := <-by; who.Name != "ann" || len(by) != 0 {
		t.Error(who, len(by))
	}
	var audit []string
	for _, e := range r.dev.Audit() {
		audit = append(audit, e.Who+" "+e.What+" "+e.To)
	}
	if got := strings.Join(audit, "; "); got != "ann action reboot done; ann action fail the lamp is broken; ann action panic the action broke off" {
		t.Error(got)
	}
}

func TestEntriesOfOthersAreInTheAudit(t *testing.T) {
	r := start(t, 0, Options{})
	r.ask("PATCH", "/api/settings", `{"name":"new"}`)
	for i := range 2*maxAudit + 3 { // a flood
		r.dev.Record(Entry{Time: time.Now(), Who: "", What: "login", To: strconv.Itoa(i)})
		if n := len(r.dev.Audit()); n != 1+min(i+1, maxAudit) {
			t.Fatalf("%d entries after %d", n, i+1)
		}
	}
	list := r.dev.Audit()
	if list[0].What != "name" || list[1].To != strconv.Itoa(maxAudit+3) || list[maxAudit].To != strconv.Itoa(2*maxAudit+2) {
		t.Errorf("from %v and %v to %v", list[0], list[1], list[maxAudit])
	}
	r.dev.ClearAudit()
	if list := r.dev.Audit(); len(list) > 0 {
		t.Errorf("%v remain", list)
	}
}

func TestTheAuditNamesWhoWhatFromAndTo(t *testing.T) {
	r := start(t, 0, Options{})
	r.ask("PATCH", "/api/settings", `{"name":"new","wifi":{"password":"pw"}}`)
	if err := r.dev.Set(Program, func(s *settings) { s.Celsius = 30 }); err != nil { // no act of anybody
		t.Fatal(err)
	}
	if _, text := r.ask("GET", "/api/audit", ""); strings.Contains(text, "pw") ||
		!strings.Contains(text, `"who":"ann","via":"test","what":"name","from":"\"box\"","to":"\"new\"`) ||
		!strings.Contains(text, `"what":"wifi.password","from":"***","to":"***"`) || strings.Contains(text, "celsius") {
		t.Error(text)
	}
}

func TestAChangeThatIsNotSavedIsTold(t *testing.T) {
	sim := disksim.New()
	sim.CutAt = 1
	r := start(t, 0, Options{File: "/s", disk: sim})
	r.want("PATCH", "/api/settings", `{"fan":true}`, 200,
		`{"version":2,"saved":false,"warning":"The change took effect, but could not be saved: a restart will forget it."}`)
}

func TestTheSchema(t *testing.T) {
	r := start(t, 0, Options{})
	_, text := r.ask("GET", "/api/schema", "")
	for _, part := range []string{
		`"$schema":"https://json-schema.org/draft/2020-12/schema"`,
		`"x-order":["name","interval","mode","wifi","celsius","fan"]`,
		`"additionalProperties":false`,
		`"name":{"type":"string","description":"How it is called.","minLength":1,"maxLength":8,"default":"box","x-role":"user"}`,
		`"interval":{"type":"number","minimum":200,"maximum":10000,"default":1000,"x-unit":"ms","x-step":100,"x-group":"Sampling","x-role":"user"}`,
		`"mode":{"type":"string","enum":["auto","on","off"],"default":"auto","x-role":"user"}`,
		`"password":{"type":"string","writeOnly":true,"x-group":"Network","x-role":"admin"}`,
		`"celsius":{"type":"number","readOnly":true,"default":0,"x-unit":"°C","x-role":"user"}`,
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%s\nis not in %s", part, text)
		}
	}
}
