package device_test

import (
	"fmt"
	"io"
	nethttp "net/http"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// One declaration gives a REST interface that checks what it is sent.
func Example() {
	type Settings struct {
		Name     string        `device:"name,max=32" help:"How the device is called."`
		Interval time.Duration `device:"interval,unit=ms,min=200,max=10000"`
	}
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	dev, err := device.New(m, Settings{Name: "box", Interval: time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	dev.OnChange(func(c *device.Change) { fmt.Println("version", c.Version, "by", c.Who.Name, dev.Get().Interval) })
	x := http.NewMux()
	dev.Mount(x, "/api")
	l, err := http.Listen(m, "http://127.0.0.1:0", x.Serve)
	if err != nil {
		fmt.Println(err)
		return
	}
	url := "http://" + l.LocalAddr().String() + "/api/settings"

	told := make(chan struct{})
	go func() {
		defer close(told)
		for _, patch := range []string{`{"interval": 500}`, `{"interval": 5}`} {
			req, err := nethttp.NewRequest("PATCH", url, strings.NewReader(patch))
			if err != nil {
				fmt.Println(err)
				return
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := nethttp.DefaultClient.Do(req)
			if err != nil {
				fmt.Println(err)
				return
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			fmt.Println(resp.StatusCode, string(text), err)
		}
	}()
	for done := false; !done; {
		if err := m.Poll(10 * time.Millisecond); err != nil {
			fmt.Println(err)
			return
		}
		select {
		case <-told:
			done = true
		default:
		}
	}
	// Output:
	// version 2 by local 500ms
	// 200 {"version":2,"saved":true} <nil>
	// 422 {"title":"the settings were refused","status":422,"code":"settings","errors":[{"path":"interval","error":"must be 200 to 10000 ms","code":"limits"}]} <nil>
}
