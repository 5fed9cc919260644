// Package device serves the settings of a device from one declaration: a Go struct with tags.
//
//	type Settings struct {
//		Name     string        `device:"name,max=32" help:"How the device is called."`
//		Interval time.Duration `device:"interval,unit=ms,min=200,max=10000" group:"Sampling"`
//		Mode     string        `device:"mode,enum=auto|on|off"`
//		WiFi     struct {
//			SSID     string `device:"ssid,max=32,restart"`
//			Password string `device:"password,secret,max=63,role=admin,restart"`
//		} `device:"wifi" group:"Network"`
//		Temperature float64 `device:"temperature,unit=°C,readonly"`
//	}
//
//	dev, err := device.New(m, Settings{Name: "box", Interval: time.Second, Mode: "auto"},
//		device.Options{File: "/var/lib/box/settings.json"})
//	dev.OnChange(func(c *device.Change) { … dev.Get() … })
//	dev.Action(device.Action{Name: "reboot", Confirm: "Restart the device?", Run: reboot})
//	dev.Mount(mux, "/api")
//
// The package derives from it: a document with GET, PUT and PATCH, whose errors name the settings;
// JSON-RPC 2.0 over a WebSocket, with a push of each change; a JSON Schema, from which a page makes
// its form; the file on disk; gauges for Prometheus; and an audit of the changes.
//
// # Tags
//
// The tag "device" has the name, followed by options. The tag "-" leaves the field out. Without a
// tag the name is the field's, in small letters with underscores. A struct in the struct is an
// object in the document; its options apply to all of its fields. The options are
//
//	unit=TEXT       shown beside the value; of a time.Duration: us, ms, s (the default), min or h, in which it is in the document
//	min=N, max=N    of a number; of the characters of a string
//	step=N          a number goes by steps, from its min
//	enum=A|B|C      what a string may be
//	readonly        a reading, which the program sets, and which is not kept
//	secret          a string that is written and never shown
//	restart         takes effect after a restart
//	role=NAME       who may change it: viewer, user (the default) or admin
//
// The tags "help" and "group" are texts for the page. A field is a bool, a number, a string, a
// time.Duration, or what has MarshalText and UnmarshalText, such as netip.Addr.
//
// # Goroutines
//
// Get and Set are for any goroutine. OnChange, the actions and Options.Audit run on the loop of the
// group's first manager. The file is written by a goroutine that ends when there is nothing to
// write.
package device
