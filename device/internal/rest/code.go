package rest

import (
	"errors"
	"fmt"
)

// A coded is an error for a client. Its text is for people who read English; its code is for
// programs, and for pages in other languages.
type coded struct {
	error
	code string
}

func (e *coded) Unwrap() error { return e.error }
func (e *coded) Code() string  { return e.code }

// Coded is fmt.Errorf for an error that has a code.
func Coded(code, format string, args ...any) error {
	return &coded{fmt.Errorf(format, args...), code}
}

// Code returns the code of the first error of the tree that has one, or "".
func Code(err error) string {
	var c interface {
		error
		Code() string
	}
	if !errors.As(err, &c) {
		return ""
	}
	return c.Code()
}
