// Package route finds the pattern of a request: the patterns of http.Mux, their order from the more
// specific to the less, and the tree they are looked up in. It knows no handlers, only their
// numbers.
package route
