package resources

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestExhausted(t *testing.T) {
	for _, lack := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		dial := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", lack)}
		if !Exhausted(dial) || !Exhausted(fmt.Errorf("%v", dial)) {
			t.Errorf("%v does not count", lack)
		}
	}
	if Exhausted(syscall.ECONNREFUSED) || Exhausted(errors.New("too many open files")) || Exhausted(nil) {
		t.Error("an upstream's own failure counts as this machine's")
	}
}
