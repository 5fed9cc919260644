package sntp

import (
	"errors"
	"fmt"
	"time"
)

// The errors of an answer that is not good. Those of Check and of Query wrap one of them, or are a
// *KissError, or the errno of the network, such as ECONNREFUSED.
var (
	ErrTimeout        = errors.New("the server has not answered in time")
	ErrBogus          = errors.New("not an answer to our question") // never told: see Query
	ErrMode           = errors.New("not an answer of a server")
	ErrUnsynchronized = errors.New("the server's clock is not synchronized")
	ErrDistance       = errors.New("the server is too far from its source of time")
	ErrTimestamps     = errors.New("timestamps that cannot be")
)

// A KissError is a server's wish not to be asked like that (RFC 4330 §8).
type KissError struct {
	Code string // four letters
}

func (e *KissError) Error() string { return fmt.Sprintf("the server says %q (kiss-o'-death)", e.Code) }

// Final reports whether the server does not want to be asked any more: DENY and RSTR. RATE means
// less often.
func (e *KissError) Final() bool { return e.Code == "DENY" || e.Code == "RSTR" }

// A Sample is what a good answer says.
type Sample struct {
	Offset   time.Duration // what to add to this machine's clock to have the server's
	Delay    time.Duration // on the way to the server and back
	Distance time.Duration // by how much Offset may be wrong: half of all delays up to the reference clock, and dispersion
	Stratum  int           // how many servers are between it and a reference clock, plus 1
	RefID    string        // of the source of the server: letters if Stratum is 1, else an address or a hash in hexadecimal
	Leap     int           // 1: the last minute of this day has 61 seconds, 2: it has 59
	Server   string        // as it was asked
	At       time.Time     // when the answer came, by this machine's clock
}

// Check makes a Sample of p, the answer to a question with the Transmit nonce that was sent at sent,
// by this machine's clock, and answered after took. most is the largest Distance that counts.
func (p *Packet) Check(nonce Timestamp, sent time.Time, took, most time.Duration) (Sample, error) {
	switch {
	case p.Originate != nonce || nonce == 0:
		return Sample{}, ErrBogus
	case p.Mode != 4 || p.Version < 1 || p.Version > 4:
		return Sample{}, ErrMode
	case p.Stratum == 0:
		return Sample{}, &KissError{Code: printable(p.RefID)}
	case p.Leap == 3 || p.Stratum > 15:
		return Sample{}, ErrUnsynchronized
	case p.Transmit == 0 || p.Receive == 0:
		return Sample{}, ErrTimestamps
	}
	t2, t3 := p.Receive.Time(), p.Transmit.Time()
	inside := t3.Sub(t2)
	if inside < 0 || inside > took+time.Second/4 {
		// The server's clock may go at a somewhat other rate, or may have been set.
		return Sample{}, ErrTimestamps
	}
	s := Sample{
		Delay: max(took-inside, 0), Stratum: int(p.Stratum), Leap: int(p.Leap), At: sent.Add(took),
	}
	// ((T2-T1)+(T3-T4))/2, without a sum that could overflow (RFC 4330 §5).
	a, b := t2.Sub(sent), t3.Sub(s.At)
	s.Offset = a/2 + b/2 + (a%2+b%2)/2
	s.Distance = s.Delay/2 + p.RootDelay/2 + p.RootDispersion
	if s.Stratum == 1 {
		s.RefID = printable(p.RefID)
	} else {
		s.RefID = fmt.Sprintf("%x", p.RefID)
	}
	if s.Distance > most {
		return Sample{}, ErrDistance
	}
	return s, nil
}

// printable returns the letters of a code: an answer may hold anything.
func printable(id [4]byte) string {
	n := 0
	for n < len(id) && id[n] > ' ' && id[n] < 0x7f {
		n++
	}
	return string(id[:n])
}
