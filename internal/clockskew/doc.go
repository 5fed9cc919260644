// Package clockskew gives a process a wall clock that is off, for tests of programs on several
// machines. The kernel has no such thing: a time namespace moves the monotonic clock alone, and
// libfaketime needs a C library, which Go does not ask for the time.
//
// No program imports it, but for its tests.
package clockskew
