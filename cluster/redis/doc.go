// Package redis is the engine of a broadcast.Hub over a stream of Valkey or Redis, 7.0 or later:
// several programs share topics. The stream puts all messages in one order and keeps them; each
// node delivers only what comes back from it.
//
// The entry 777-3 has the offset 777<<32 + 4. 777 is the epoch, a random number that the store gets
// when it is empty, and another one when it may have lost its end; see Open.
package redis
