package tlsconn

import (
	"crypto"
	"crypto/rsa"
	"io"
	"runtime"
	"sync"
)

// Nice is a Config.Signer. It has RSA keys sign on threads of their own with the nice value n, 1 to
// 19 (setpriority(2); Linux), as many as handshakes compute at once: GOMAXPROCS-1. A signature of
// RSA-2048 takes a millisecond, and when all processors are busy the loop need not wait for it.
// Other keys sign so fast that it would not pay.
//
// A thread of Go may hold the others up: a garbage collection begins when each thread has noticed
// it. On a machine whose processors are all busy, one of nice 19 is late by tens of milliseconds. 5
// is a good value; bench/README.md has figures. With GOMAXPROCS=1 Nice does nothing: the loop could
// not run while such a thread does.
func Nice(n int) func(crypto.Signer) crypto.Signer {
	n = min(max(n, 1), 19)
	return func(key crypto.Signer) crypto.Signer {
		if _, ok := key.(*rsa.PrivateKey); !ok || runtime.GOMAXPROCS(0) == 1 {
			return key
		}
		return niceSigner{key, niceThreads(n)}
	}
}

// A niceSigner is an RSA key whose signatures are made on threads that wait for jobs.
type niceSigner struct {
	crypto.Signer
	jobs chan<- func()
}

// Sign implements crypto.Signer.
func (s niceSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	s.do(func() { sig, err = s.Signer.Sign(rand, digest, opts) })
	return sig, err
}

// SignMessage implements crypto.MessageSigner.
func (s niceSigner) SignMessage(rand io.Reader, msg []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	s.do(func() { sig, err = crypto.SignMessage(s.Signer, rand, msg, opts) })
	return sig, err
}

// do has sign run on one of the threads. If it panics, so does do: the handshake survives that.
func (s niceSigner) do(sign func()) {
	var panicked any
	done := make(chan struct{})
	s.jobs <- func() {
		defer close(done)
		defer func() { panicked = recover() }()
		sign()
	}
	<-done
	if panicked != nil {
		panic(panicked)
	}
}

// nices are the threads of each nice value that is in use. They live as long as the program.
var nices struct {
	sync.Mutex
	jobs [20]chan func()
}

func niceThreads(n int) chan<- func() {
	nices.Lock()
	defer nices.Unlock()
	if nices.jobs[n] == nil {
		jobs := make(chan func())
		for range runtime.GOMAXPROCS(0) - 1 {
			go func() {
				runtime.LockOSThread() // for ever: nobody but root may raise the priority again
				setNice(n)
				for job := range jobs {
					job()
				}
			}()
		}
		nices.jobs[n] = jobs
	}
	return nices.jobs[n]
}
