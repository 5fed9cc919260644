package handoff

// SetStep has f called at each step.
func SetStep(f func(name string)) { step = f }

// Frame returns a frame of the two processes.
func Frame(k byte, files int, payload []byte) []byte {
	return appendFrame(nil, kind(k), files, payload)
}

// Hello is the first frame of a new process.
func Hello() []byte { return appendFrame(nil, kindHello, 0, hello()) }

// SetRefusals changes how often a path is tried on which no process listens, and returns what it was.
func SetRefusals(n int) int {
	was := refusals
	refusals = n
	return was
}

// Moved is a frame with an HTTP connection at rest that the listener has accepted.
func Moved(id uint64, listener string) []byte {
	r := record{id: id, listener: listener, kind: plainHTTP}
	return appendFrame(nil, kindMove, 1, r.append(nil))
}
