package healthcheck

import (
	"context"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatThisMachineLacksIsNoVerdict(t *testing.T) {
	for _, lack := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		dial := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", lack)}
		synctest.Test(t, func(t *testing.T) {
			c := newConfig(t, `{"fails":2}`, func(ctx context.Context, _ Target) error { return reason(ctx, dial) })
			c.watch(1, nil).start()
			sleep(time.Minute)
			if s := c.own[0].State(); s.Verdict != Healthy || s.Fails > 0 {
				t.Errorf("%v: %v after %d fails", lack, s.Verdict, s.Fails)
			}
		})
	}
}
