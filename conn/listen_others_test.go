//go:build !linux

package conn

// unixBacklogRefuses says whether a full backlog gives ECONNREFUSED, which cannot be told from a stale socket.
const unixBacklogRefuses = true
