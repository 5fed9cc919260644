// Package exhaustive tells tests whether to run their long forms: all cases instead of a sample,
// ten thousand connections instead of hundreds, gigabytes instead of megabytes. CI sets
// MANGUSTA_EXHAUSTIVE=1; without it `go test ./... ./examples/...` takes two minutes.
package exhaustive

import "os"

// On reports whether MANGUSTA_EXHAUSTIVE is set.
func On() bool { return os.Getenv("MANGUSTA_EXHAUSTIVE") != "" }
