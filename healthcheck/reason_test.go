package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func TestHTTPReasonText(t *testing.T) {
	here, there := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 40000}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 80}
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: there, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	reset := &net.OpError{Op: "read", Net: "tcp", Source: here, Addr: there, Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	broken := &net.OpError{Op: "write", Net: "tcp", Source: here, Addr: there, Err: os.NewSyscallError("write", syscall.EPIPE)}
	lookup := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "app.invalid", Server: "10.0.0.53:53"}}
	for name, test := range map[string]struct {
		err  error
		text string
	}{
		"refused":            {refused, "dial tcp 10.0.0.2:80: connection refused"},
		"refused to Caddy":   {reverseproxy.NewDialError(refused), "dial tcp 10.0.0.2:80: connection refused"},
		"refused to FastCGI": {reverseproxy.NewDialError(fmt.Errorf("dialing backend: %w", refused)), "dial tcp 10.0.0.2:80: connection refused"},
		"with the request":   {&url.Error{Op: "Get", URL: "http://10.0.0.2/", Err: refused}, "dial tcp 10.0.0.2:80: connection refused"},
		"reset":              {reset, "read tcp 10.0.0.2:80: connection reset by peer"},
		"broken":             {broken, "write tcp 10.0.0.2:80: broken pipe"},
		"lookup":             {lookup, "dial tcp: lookup app.invalid: no such host"},
		"end":                {fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), "connection closed by the upstream"},
		"of net/http":        {errors.New("net/http: HTTP/1.x transport connection broken: malformed HTTP version"), "malformed HTTP version"},
		"its own time":       {errors.New("net/http: timeout awaiting response headers"), "timeout awaiting response headers"},
		"several lines":      {errors.New("one\n\ttwo\x1b[2J"), "one  two [2J"},
	} {
		t.Run(name, func(t *testing.T) {
			err := reason(t.Context(), test.err)
			expectReason(t, err, test.text)
			if !errors.Is(err, test.err) && !errors.Is(err, errors.Unwrap(test.err)) {
				t.Error("the error is no longer in the chain")
			}
		})
	}
}

func TestHTTPReasonLength(t *testing.T) {
	for _, letter := range []string{"x", "é", "😀"} {
		for _, n := range []int{maxReason, maxReason + 1, 10 * maxReason} {
			got := failf("%s", strings.Repeat(letter, n)).Error()
			want := strings.Repeat(letter, maxReason)
			if n > maxReason {
				want = strings.Repeat(letter, maxReason-1) + "…"
			}
			if got != want {
				t.Errorf("%d × %s: got %d characters, %q", n, letter, utf8.RuneCountInString(got), got)
			}
		}
	}
}

func TestHTTPTimeoutText(t *testing.T) {
	for budget, want := range map[time.Duration]string{
		2 * time.Second:         "timeout after 2s",
		250 * time.Millisecond:  "timeout after 250ms",
		1500 * time.Millisecond: "timeout after 1.5s",
		75 * time.Second:        "timeout after 1m15s",
		// noted late, as it is outside of a bubble
		2*time.Second - 40*time.Microsecond:        "timeout after 2s",
		100*time.Millisecond - 30*time.Microsecond: "timeout after 100ms",
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), budget)
			defer cancel()
			ctx = withBudget(ctx)
			<-ctx.Done()
			expectReason(t, reason(ctx, ctx.Err()), want)
		})
	}
}

func TestReasonsOfAnyCheckerAreShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("evil\n", 1<<20)
		c := newConfig(t, `{}`, func(context.Context, Target) error { return errors.New(long) }).watch(1, nil).start()
		sleep(2 * time.Second)
		reason := c.own[0].State().Reason
		if n := utf8.RuneCountInString(reason); n > maxReason || strings.Contains(reason, "\n") || !strings.HasPrefix(reason, "evil ") {
			t.Errorf("%d characters: %.20s", n, reason)
		}
	})
}
