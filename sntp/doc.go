// Package sntp asks time servers how far this machine's clock is off: SNTP version 4 (RFC 4330) on
// the loop of a manager, with no goroutine.
//
//	c, err := sntp.New(m, sntp.Options{
//		Servers:  []string{"udp://192.0.2.1:123"},
//		OnSample: func(s sntp.Sample) { log.Println("the clock is off by", s.Offset) },
//	})
//
// A Client asks again and again, one server after another until one gives a good answer, and obeys
// what servers say (kiss-o'-death, RFC 4330 §8). Query asks one server once. Neither sets the clock:
// that is the program's.
//
// An answer counts only if it passes the checks of RFC 4330 §5: it comes from the server's address,
// repeats a random number that the question carried, and the server says that it is synchronized,
// and not too far from its own source. An answer that repeats no number of ours is ignored, since
// anybody may have sent it.
//
// SNTP does not protect the answers. Whoever sits between the two can shift the clock, by as much as
// he likes; a program that relies on the time compares several servers.
package sntp
