//go:build !(linux && amd64)

package clockskew

import "time"

// Supported says whether Set works here.
const Supported = false

// Set panics.
func Set(time.Duration) { panic("clockskew: not here") }
