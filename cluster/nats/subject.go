package nats

import (
	"errors"
	"strings"
)

// Subjects of NATS have tokens, which are separated by "." and may neither be empty nor have white
// space in them; "*" and ">" stand for others. So the levels of a topic become tokens in which
// these bytes, and "%", are %XX. An empty level is the token "%", which stands for nothing else.
const hexDigits = "0123456789ABCDEF"

// escaped reports whether b stands as %XX in a token. Of white space only the space is in topics.
func escaped(b byte) bool { return b == '.' || b == '*' || b == '>' || b == '%' || b == ' ' }

// appendSubject appends the subject of topic, which must be valid, to b.
func appendSubject(b []byte, topic string) []byte {
	empty := true // the level has no bytes yet
	for i := range len(topic) {
		switch x := topic[i]; {
		case x == '/':
			if empty {
				b = append(b, '%')
			}
			b = append(b, '.')
			empty = true
			continue
		case escaped(x):
			b = append(b, '%', hexDigits[x>>4], hexDigits[x&15])
		default:
			b = append(b, x)
		}
		empty = false
	}
	if empty {
		b = append(b, '%')
	}
	return b
}

var errSubject = errors.New("nats: the subject is of no topic")

// topicOf returns the topic of subject. It takes only what appendSubject makes.
func topicOf(subject string) (string, error) {
	if strings.IndexByte(subject, '%') < 0 {
		return strings.ReplaceAll(subject, ".", "/"), nil
	}
	b := make([]byte, 0, len(subject))
	for rest, more := subject, true; more; {
		var token string
		token, rest, more = strings.Cut(rest, ".")
		if token != "%" {
			var err error
			if b, err = unescape(b, token); err != nil {
				return "", err
			}
		}
		if more {
			b = append(b, '/')
		}
	}
	return string(b), nil
}

func unescape(b []byte, token string) ([]byte, error) {
	for i := 0; i < len(token); i++ {
		if token[i] != '%' {
			b = append(b, token[i])
			continue
		}
		if len(token)-i < 3 {
			return nil, errSubject
		}
		high, low := strings.IndexByte(hexDigits, token[i+1]), strings.IndexByte(hexDigits, token[i+2])
		if high < 0 || low < 0 || !escaped(byte(high<<4|low)) {
			return nil, errSubject
		}
		b = append(b, byte(high<<4|low))
		i += 2
	}
	return b, nil
}
