// Package setup is what the peers have in common: their flags, their payloads, and who publishes.
package setup

import (
	"flag"
	"log"
	"time"
)

// Hello is the body of /plaintext.
var Hello = []byte("Hello, World!")

// Flags are those of every peer. One that does not serve files, or does not broadcast, ignores what
// is for that.
type Flags struct {
	Listen string
	Dir    string
	Buffer int // bytes, for reading and for writing, where a library has buffers for each connection; 0 means its default
	InLoop bool

	// Cert and Key are PEM files for those that can speak TLS, which they do if they are given.
	Cert, Key string
	// Nice is the nice value of the threads on which RSA keys sign, for mangusta; 0 is none of
	// their own.
	Nice int

	// Wake is how many wake-ups to measure instead of serving, for those that can, and Pause the
	// time between them. The goroutine that wakes the loop sleeps meanwhile, or, if Running, runs.
	Wake    int
	Pause   time.Duration
	Running bool
}

// Parse reads the command line.
func Parse() Flags {
	var f Flags
	publisher := flag.String("publisher", "loop", "`who` publishes what comes on /sub: loop, the handler that read it, or goroutine, another one")
	flag.StringVar(&f.Listen, "listen", "127.0.0.1:9001", "`address` to listen on")
	flag.StringVar(&f.Dir, "dir", "", "`directory` whose files /static/ serves")
	flag.IntVar(&f.Buffer, "buffer", 0, "`bytes` of each connection's read and write buffers")
	flag.StringVar(&f.Cert, "tls-cert", "", "PEM `file` of a certificate: speak TLS alone")
	flag.StringVar(&f.Key, "tls-key", "", "PEM `file` of its key")
	flag.IntVar(&f.Nice, "tls-nice", 0, "`nice` value of the threads on which RSA keys sign, 1 to 19; 0: none of their own (mangusta)")
	flag.IntVar(&f.Wake, "wake", 0, "send `n` wake-ups from a goroutine to a handler, print their latency, and exit")
	flag.DurationVar(&f.Pause, "pause", 0, "time between wake-ups")
	flag.BoolVar(&f.Running, "running", false, "run between wake-ups instead of sleeping")
	flag.Parse()
	if *publisher != "loop" && *publisher != "goroutine" {
		log.Fatalf("-publisher %s", *publisher)
	}
	f.InLoop = *publisher == "loop"
	return f
}

// Publisher returns the function for the handler of a message on /sub: publish itself, or one that
// hands a copy of the message to a goroutine which calls publish.
func (f Flags) Publisher(publish func(p []byte)) func(p []byte) {
	if f.InLoop {
		return publish
	}
	queue := make(chan []byte, 1024)
	go func() {
		for p := range queue {
			publish(p)
		}
	}()
	return func(p []byte) { queue <- append([]byte(nil), p...) }
}

// AppendPost appends the reply of GET /users/{user}/posts/{post}, in JSON. Both are numbers in what
// the load asks for, so nothing is quoted.
func AppendPost[T string | []byte](dst []byte, user, post T) []byte {
	dst = append(dst, `{"user":`...)
	dst = append(dst, user...)
	dst = append(dst, `,"post":`...)
	dst = append(dst, post...)
	return append(dst, `,"title":"A title","tags":["one","two","three"],"likes":12}`...)
}
