package audit_test

import (
	"os"

	"github.com/seed4930a636/mangusta/device/audit"
)

// A firmware that was started with the wrong settings.
func ExampleRun() {
	r := audit.Run(audit.Options{
		Listeners: []audit.Listener{{URL: "http://0.0.0.0:80"}},
		Proc:      "-", // not this machine's ports
	})
	r.Versions = nil
	r.Print(os.Stdout)
	// Output:
	// ports of this program
	//   http://0.0.0.0:80
	// unsafe: http://0.0.0.0:80 speaks HTTP without TLS
	//   why: everybody on the way can read passwords and change pages
	//   do: use HTTPS there, or listen on a loopback address
}
