package websocket

// Compression is what Options.Deflate takes: a *Deflate.
//
// It is an interface for the linker, which leaves out the methods of types that no reachable code makes interfaces of: a
// program that makes no Deflate is some 130 KB smaller. For that, what every WebSocket needs reaches what compresses and
// inflates through Compression, coder, inflater and writer alone. Nor may its structs have fields of the types behind them, since
// what is converted to an interface takes the types of its fields along. A test of examples/hello watches over it.
type Compression interface {
	request(b []byte) []byte
	reply(b []byte, offer params) ([]byte, *deflation)
	answered(answer params) (agreed *deflation, wrong string)
}

// coder is what a deflation needs of its *Deflate.
type coder interface {
	compress(p, before []byte, window int) *compressor
	inflater() inflater
	giveBack(n int)
}
