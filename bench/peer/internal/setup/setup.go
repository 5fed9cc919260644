// Package setup is what the peers have in common: their flags, their payloads, and who publishes.
package setup

import (
	"flag"
	"log"
)

// Hello is the body of /plaintext.
var Hello = []byte("Hello, World!")

// Flags are those of every peer. One that does not serve files, or does not broadcast, ignores what is for that.
type Flags struct {
	Listen string
	Dir    string
	Buffer int // bytes, for reading and for writing, where a library has buffers for each connection; 0 means its default
	InLoop bool
}

// Parse reads the command line.
func Parse() Flags {
	var f Flags
	publisher := flag.String("publisher", "loop", "`who` publishes what comes on /sub: loop, the handler that read it, or goroutine, another one")
	flag.StringVar(&f.Listen, "listen", "127.0.0.1:9001", "`address` to listen on")
	flag.StringVar(&f.Dir, "dir", "", "`directory` whose files /static/ serves")
	flag.IntVar(&f.Buffer, "buffer", 0, "`bytes` of each connection's read and write buffers")
	flag.Parse()
	if *publisher != "loop" && *publisher != "goroutine" {
		log.Fatalf("-publisher %s", *publisher)
	}
	f.InLoop = *publisher == "loop"
	return f
}

// Publisher returns the function for the handler of a message on /sub: publish itself, or one that hands a copy of the message
// to a goroutine which calls publish.
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

// AppendPost appends the reply of GET /users/{user}/posts/{post}, in JSON. Both are numbers in what the load asks for, so nothing is quoted.
func AppendPost[T string | []byte](dst []byte, user, post T) []byte {
	dst = append(dst, `{"user":`...)
	dst = append(dst, user...)
	dst = append(dst, `,"post":`...)
	dst = append(dst, post...)
	return append(dst, `,"title":"A title","tags":["one","two","three"],"likes":12}`...)
}
