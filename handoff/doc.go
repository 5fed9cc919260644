// Package handoff replaces a running program by a new version of itself, without a client that
// notices: the new process takes the listening sockets of the old one, and, if the program wants
// that, its idle connections.
//
//	up, err := handoff.Begin(handoff.Options{Path: "/run/app/handoff.sock"})
//	m, err := mgr.New(mgr.Options{Inherit: up})
//	http.Listen(m, "tcp://:8080", mux)
//	err = up.Ready(m) // the process before, if there is one, stops accepting now
//	m.Run(ctx)        // returns nil when a later process has taken over, and all is finished
//
// The same program serves for the first start and for each one after it. Whoever starts the new
// process, an operator, a service manager or the program itself (Spawn), does nothing special.
//
// # Steps
//
// The two processes talk over a unix socket, Options.Path. Each checks the other's user by
// SO_PEERCRED.
//
//  1. Begin connects. If nobody listens, this is the first process.
//  2. The old process sends its listening sockets (SCM_RIGHTS). It goes on serving.
//  3. The new process opens its listeners: Listen takes the inherited socket where the address is
//     the same, and opens one where it is new. A socket that nobody takes is closed.
//  4. Ready says so. The old process stops accepting, and tells the new one to begin. The peers that
//     wait in the backlogs belong to the sockets, so none is lost.
//  5. The old process finishes what is under way. HTTP connections serve one more request, whose
//     reply says that it was the last; WebSockets are closed with 1012 (Service Restart), each after
//     a delay of its own, at most Options.Spread, so that their clients do not come back at once.
//     With Options.Move, idle connections pass to the new process instead.
//  6. The old process ends when it has no connections left, or at Options.Deadline: Run returns nil.
//
// Until step 4 the new process may fail in any way, or be too slow (Options.Patience): the old one
// goes on as if nothing had been. It even comes back, and accepts again, if the new process ends
// before step 6 is over, unless a third one has replaced that by then.
//
// # What can move
//
// Plain HTTP/1.1 between two requests, and WebSockets between two messages, unless their
// compression remembers earlier messages (permessage-deflate with takeover). The descriptor passes
// with a small record: kind, negotiated options, what had been read already, and bytes of the
// program's own (Options.Save, Options.Restore). TLS never moves: its keys are in the process. It
// is drained like all that cannot move.
//
// A connection has one owner at each moment: until the new process has said that it took it, which
// it does before it reads a byte, the old one keeps the descriptor, and takes the connection back
// if the new process dies.
package handoff
