package healthcheck

import (
	"errors"
	"syscall"
)

// Exhausted reports whether an attempt failed because this machine or process has
// run out of something, such as file descriptors: that tells nothing of the
// upstream.
func Exhausted(err error) bool {
	for _, lack := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, lack) {
			return true
		}
	}
	return false
}
