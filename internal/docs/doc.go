// Package docs has tests that read the source of this module: of its examples and of its events.
package docs
