package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// maxReason is how long a reason gets, in characters. Parts of it may come
// from an upstream that sends whatever it likes.
const maxReason = 300

// errClosed is what the end of a connection means to a probe.
var errClosed = errors.New("connection closed by the upstream")

// budgetKey is the context key of the time that a probe has from its start.
type budgetKey struct{}

// withBudget notes how much time the probe has, for its [reason].
func withBudget(ctx context.Context) context.Context {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx
	}
	return context.WithValue(ctx, budgetKey{}, time.Until(deadline))
}

// reason turns an error met during a probe into one whose text is short and
// means something to operators. The error itself stays in its chain.
func reason(ctx context.Context, err error) error {
	if expired(ctx) {
		return &failure{text: timeout(ctx), cause: context.DeadlineExceeded}
	}
	if ctx.Err() != nil {
		return &failure{text: "probe was cut off", cause: ctx.Err()}
	}
	var request *url.Error // repeats method and URL
	if errors.As(err, &request) {
		err = request.Err
	}
	text := err.Error()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		text = errClosed.Error()
	}
	return &failure{text: clip(plain(text), maxReason), cause: err}
}

// failf returns a failure with a text of its own.
func failf(format string, args ...any) error {
	return &failure{text: clip(fmt.Sprintf(format, args...), maxReason)}
}

// failure is why a target did not pass.
type failure struct {
	text  string
	cause error // may be nil
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

// bounded returns the error with a text that is short and on one line: a checker
// may come from anywhere, and what it says from the upstream.
func bounded(err error) error {
	if _, ok := err.(*failure); ok || err == nil {
		return err
	}
	return &failure{text: clip(err.Error(), maxReason), cause: err}
}

// expired reports whether the probe's time is up. A connection's deadline may
// fire a moment before the context's, from which it was taken.
func expired(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return errors.Is(ctx.Err(), context.DeadlineExceeded) ||
		ok && ctx.Err() == nil && !time.Now().Before(deadline)
}

// timeout is the text for a probe whose time is up. The budget was noted some
// microseconds late: three digits of it are what the configuration has.
func timeout(ctx context.Context) string {
	budget, ok := ctx.Value(budgetKey{}).(time.Duration)
	if !ok || budget <= 0 {
		return "timeout"
	}
	unit := time.Nanosecond
	for budget/unit >= 1000 {
		unit *= 10
	}
	return "timeout after " + budget.Round(unit).String()
}

var (
	// The system call repeats the operation: dial tcp 10.0.0.1:80: connect:
	// connection refused.
	goNoise = strings.NewReplacer(
		": connect: ", ": ",
		": read: ", ": ",
		": write: ", ": ",
		"net/http: ", "",
		"HTTP/1.x transport connection broken: ", "",
		"dialing backend: ", "",
	)

	// What differs from probe to probe, or is of no interest: the local end
	// of a connection, and the name server.
	localEnd   = regexp.MustCompile(`(read|write) (\w+) \S*->`)
	nameServer = regexp.MustCompile(`(lookup \S+) on \S+: `)
)

// maxPlain is how much of a text is looked at, in bytes: more than a reason gets,
// since what is taken out is short.
const maxPlain = 16 * maxReason

// plain takes out of an error's text what only Go programmers care for.
func plain(text string) string {
	text = text[:min(len(text), maxPlain)]
	text = goNoise.Replace(text)
	text = localEnd.ReplaceAllString(text, "$1 $2 ")
	return nameServer.ReplaceAllString(text, "$1: ")
}

// clip shortens a text to at most max characters, on one line.
func clip(text string, max int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text[:min(len(text), 4*(max+1))]) // no character takes more than 4 bytes
	runes := []rune(text)
	if len(runes) > max {
		return string(runes[:max-1]) + "…"
	}
	return text
}
