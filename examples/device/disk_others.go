//go:build !linux

package main

import "errors"

func statfs(path string) (usage, error) { return usage{}, errors.ErrUnsupported }
