// Package audit looks for unsafe settings of a device: open ports, users, tokens, certificates, keys
// of updates, permissions of files, versions. It is for a command of the firmware:
//
//	r := audit.Run(audit.Options{
//		Listeners: []audit.Listener{{URL: "https://0.0.0.0:443"}, {URL: "http://0.0.0.0:80", Redirects: true}},
//		Users:     "/var/lib/box/users.json", Private: []string{"/var/lib/box"},
//	})
//	r.Print(os.Stdout)
//	if r.Unsafe() {
//		os.Exit(1)
//	}
//
// Each Finding tells what it is, why that matters, and what to do. The audit reads files and /proc;
// it sends nothing and changes nothing, and may run beside the firmware.
package audit
