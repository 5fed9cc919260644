// Package unixonly is empty. Where there is no poll loop, above all on Windows, it does not
// compile, so that building a program ends with one sentence instead of a list of undefined system
// calls.
package unixonly
