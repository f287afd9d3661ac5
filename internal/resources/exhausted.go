// Package resources is about what this process and its machine can run out of.
package resources

import (
	"errors"
	"strings"
	"syscall"
)

// Exhausted reports whether a request or probe failed because this process or its
// machine has run out of something, such as file descriptors. Such a failure says
// nothing of the upstream.
func Exhausted(err error) bool {
	if err == nil {
		return false
	}
	for _, lack := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		// Caddy's error for a failed dial does not unwrap.
		if errors.Is(err, lack) || strings.HasSuffix(err.Error(), ": "+lack.Error()) {
			return true
		}
	}
	return false
}
