package tlsconn

import (
	"bytes"
	"errors"
	"syscall"
)

var (
	// ErrPlainHTTP is in the error of a connection that began with an HTTP request without TLS. It
	// was answered.
	ErrPlainHTTP = errors.New("tlsconn: an HTTP request without TLS")

	errPreface = errors.New("tlsconn: what comes before TLS has no end")
	errNoHello = errors.New("tlsconn: the first record is not a TLS handshake")
)

const plainReply = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 35\r\nConnection: close\r\n\r\n" +
	"This port speaks HTTPS, not HTTP.\r\n"

// maxPlainHead bounds the head of a request that is to be redirected.
const maxPlainHead = 4096

// listen waits for the first record of a client to be whole. Until then nothing has been allocated
// for the handshake. What is no handshake is refused at its first byte.
func (l *layer) listen(fd int) error {
	for {
		b := l.feed.restore()
		if done, err := l.readPreface(b); err != nil {
			return err
		} else if !done {
			b = nil
		} else {
			b = l.feed.bytes()
		}
		switch reply, what := l.judge(b); {
		case what == errNoHello:
			l.side.stats.records.Add(1)
			return l.alertOff(alertProtocolVersion, what) // the first bytes are no TLS
		case what == ErrPlainHTTP:
			l.side.stats.plain.Add(1)
			l.unsent = append(l.unsent, reply...)
			return l.breakOff(what)
		case len(b) > 0 && b[0] == typeHandshake && l.feed.whole():
			return nil
		}
		n, err := l.feed.fill(func(p []byte) (int, error) { return l.below.Read(fd, p) })
		switch {
		case err == syscall.EAGAIN:
			l.feed.rest()
			return err
		case err != nil:
			return err
		case n == 0:
			l.side.stats.truncated.Add(1)
			return l.breakOff(ErrTruncated)
		}
	}
}

// maxPreface bounds what may come before the first record.
const maxPreface = 8192

// readPreface handles what comes before the first record; b is all that has come. It reports
// whether there is nothing more of it.
func (l *layer) readPreface(b []byte) (done bool, err error) {
	h := l.hs
	if h.preface == nil {
		return true, nil
	}
	n, err := h.preface(b)
	switch {
	case err == nil && n == 0 && len(b) > maxPreface:
		err = errPreface
	case err == nil && n == 0:
		return false, nil
	case n > 0:
		l.feed.skip(n)
	}
	h.preface = nil
	if err != nil {
		l.side.stats.records.Add(1)
		return false, l.breakOff(err)
	}
	return true, nil
}

// judge looks at the first bytes of a client. It returns errNoHello, or ErrPlainHTTP and the reply,
// or nil.
func (l *layer) judge(b []byte) (reply []byte, what error) {
	switch {
	case len(b) == 0:
		return nil, nil
	case 'A' <= b[0] && b[0] <= 'Z':
		return l.judgeRequest(b)
	case b[0] != typeHandshake, len(b) > 1 && b[1] != 3, len(b) > headerLen && b[headerLen] != 1:
		return nil, errNoHello
	case len(b) >= headerLen:
		if n := int(b[3])<<8 | int(b[4]); n == 0 || n > maxPlaintext {
			return nil, errNoHello
		}
	}
	return nil, nil
}

// judgeRequest is judge for what begins with a capital letter: a method of HTTP.
func (l *layer) judgeRequest(b []byte) (reply []byte, what error) {
	line, rest, whole := bytes.Cut(b, []byte("\r\n"))
	method, target, ok := bytes.Cut(line, []byte(" "))
	for _, c := range method {
		if c < 'A' || c > 'Z' {
			return nil, errNoHello
		}
	}
	if len(method) > 20 {
		return nil, errNoHello
	}
	if !ok {
		return nil, nil // more bytes are to come
	}
	if !l.side.redirect {
		return []byte(plainReply), ErrPlainHTTP
	}
	head, _, all := bytes.Cut(rest, []byte("\r\n\r\n"))
	if !whole || !all {
		if len(b) > maxPlainHead {
			return []byte(plainReply), ErrPlainHTTP
		}
		return nil, nil
	}
	target, _, _ = bytes.Cut(target, []byte(" "))
	host := hostOf(head)
	if !plainText(target) || target[0] != '/' || !plainText(host) || bytes.ContainsAny(host, "/@?#\\") {
		return []byte(plainReply), ErrPlainHTTP
	}
	redirect := "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://" + string(host) + string(target) +
		"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	return []byte(redirect), ErrPlainHTTP
}

// hostOf returns the value of the one Host field of head.
func hostOf(head []byte) (host []byte) {
	for len(head) > 0 {
		var line []byte
		line, head, _ = bytes.Cut(head, []byte("\r\n"))
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && bytes.EqualFold(name, []byte("Host")) {
			if host != nil {
				return nil
			}
			host = bytes.TrimSpace(value)
		}
	}
	return host
}

// plainText reports whether b has visible ASCII characters only, and at least one.
func plainText(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(b) > 0
}
