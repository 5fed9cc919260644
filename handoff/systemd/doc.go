// Package systemd speaks with the service manager that has started the program: listening sockets
// that it has opened (LISTEN_FDS, sd_listen_fds(3)), and what the program tells it (NOTIFY_SOCKET,
// sd_notify(3)). Other managers know the same conventions. Without them, everything here does
// nothing.
//
//	sockets, err := systemd.Listeners()
//	m, err := mgr.New(mgr.Options{Inherit: sockets}) // or mgr.Inherits{up, sockets}, with package handoff
//	http.Listen(m, "tcp://:80", mux)                 // takes the socket of ListenStream=80
//
//	n, err := systemd.NewNotifier()
//	n.Watchdog(m)                // WatchdogSec=: a loop that hangs is restarted
//	n.OnReload(m, func() error { return server.Reload() })
//	n.Ready()
//	m.Run(ctx)
//	n.Stopping()
//
// The unit has Type=notify or notify-reload. A program that replaces itself with package handoff
// calls MainPID in the new process, and its unit has NotifyAccess=all.
package systemd
