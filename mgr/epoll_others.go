//go:build !linux

package mgr

import "errors"

const haveEpoll = false

func newEpoll() (poller, error) {
	return nil, errors.New("mgr: epoll: only Linux has it")
}
