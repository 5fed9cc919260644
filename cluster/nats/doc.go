// Package nats is the engine of a broadcast.Hub over NATS JetStream: several programs share topics.
// The stream of the engine puts all messages in one order and keeps them; each node delivers only
// what comes back from it.
//
// The zero Options embed a nats-server in the program, without a listener. Options.Listen lets
// other nodes connect to it, Options.Cluster joins three or more embedded servers, and Options.URLs
// connects to a server that stands elsewhere.
//
// The sequence number of the stream is the offset of the hub. A stream begins at a random epoch, so
// an offset of one stream is none of the next.
package nats
