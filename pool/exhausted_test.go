package pool

import (
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
)

func TestWhatThisMachineLacksIsNobodysFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 2)
		for range 2 * consecutive {
			_, _ = b.send(get(), 0, func(*http.Request) (*http.Response, error) {
				return nil, os.NewSyscallError("socket", syscall.EMFILE)
			})
		}
		b.expect(t, "ten attempts lacked a file descriptor", "ss")
	})
}
