package nats

import (
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/broadcast"
)

func TestSubjects(t *testing.T) {
	for _, x := range []struct{ topic, subject string }{
		{"a", "a"},
		{"sensors/kitchen/temperature", "sensors.kitchen.temperature"},
		{"/", "%.%"},
		{"//a/", "%.%.a.%"},
		{"a.b/*/>x/c d/%", "a%2Eb.%2A.%3Ex.c%20d.%25"},
		{"größe/温度", "größe.温度"},
		{"$SYS/x", "$SYS.x"},
	} {
		if got := string(appendSubject(nil, x.topic)); got != x.subject {
			t.Errorf("%q has the subject %q instead of %q", x.topic, got, x.subject)
		}
		if got, err := topicOf(x.subject); got != x.topic || err != nil {
			t.Errorf("%q is of the topic %q instead of %q: %v", x.subject, got, x.topic, err)
		}
	}
	for _, bad := range []string{"%2", "%x", "a%", "%41", "%2e", "%%", "%25%"} {
		if topic, err := topicOf(bad); err == nil {
			t.Errorf("%q is of the topic %q", bad, topic)
		}
	}
}

// FuzzSubject: each topic has a subject that NATS takes, of its own.
func FuzzSubject(f *testing.F) {
	f.Add("a/b", "a.b")
	f.Add("/", "//")
	f.Add("a b/*/>", "%25/%/")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, topic := range []string{a, b} {
			if !broadcast.ValidTopic(topic) {
				continue
			}
			subject := string(appendSubject(nil, topic))
			if back, err := topicOf(subject); back != topic || err != nil {
				t.Fatalf("%q has the subject %q, which is of %q: %v", topic, subject, back, err)
			}
			if strings.ContainsAny(subject, " \t\r\n\f*>") {
				t.Fatalf("%q has the subject %q", topic, subject)
			}
			for token := range strings.SplitSeq(subject, ".") {
				if token == "" {
					t.Fatalf("%q has the subject %q, with an empty token", topic, subject)
				}
			}
		}
		// A subject that is of a topic is the one that the topic has.
		if topic, err := topicOf(a); err == nil && a != "" && !strings.Contains(a, "/") && !strings.Contains("."+a+".", "..") && !strings.ContainsAny(a, " *>") {
			if back := string(appendSubject(nil, topic)); back != a {
				t.Fatalf("the subject %q is of %q, which has the subject %q", a, topic, back)
			}
		}
	})
}
