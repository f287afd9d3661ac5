package healthcheck

import (
	"errors"
	"strings"
	"syscall"
)

// Exhausted reports whether an attempt failed because this machine or process has
// run out of something, such as file descriptors: that tells nothing of the
// upstream.
func Exhausted(err error) bool {
	if err == nil {
		return false
	}
	for _, lack := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		// What Caddy makes of a failed dial does not show what it wraps.
		if errors.Is(err, lack) || strings.HasSuffix(err.Error(), ": "+lack.Error()) {
			return true
		}
	}
	return false
}
