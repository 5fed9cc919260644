// Package mgr is the poll loop. A Manager waits for all its connections with epoll or select, in
// one goroutine, and calls their handlers.
//
// # One turn
//
// Poll waits, then takes, in this order: the connections that the poller says are ready (one accept
// batch, one read each); the messages of other goroutines (Do, Wakeup, Broadcast), 1,024 at most;
// the timers and timeouts that are due; the Poll events. Last, it settles the connections that were
// touched: what was written goes out, gathered, in one system call for each connection, and what is
// over is closed. Nothing is closed before that, so handlers may close any connection at any time.
//
// # Goroutines
//
// A handler runs on the goroutine that calls Poll or Run, and so does everything else of the
// manager and its connections. Only Do, Wakeup, Broadcast, Shutdown and Conn.ID are safe for
// concurrent use.
//
// A program that needs more than one processor has several managers, as Loops.
package mgr
