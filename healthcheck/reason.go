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

// maxReason is the greatest length of a reason, in characters. Parts of it may come
// from an upstream that sends anything.
const maxReason = 300

// errClosed is the error of a probe whose connection ended.
var errClosed = errors.New("connection closed by the upstream")

// budgetKey is the context key of a probe's timeout.
type budgetKey struct{}

// withBudget adds the probe's timeout to the context, for its [reason].
func withBudget(ctx context.Context) context.Context {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx
	}
	return context.WithValue(ctx, budgetKey{}, time.Until(deadline))
}

// reason wraps an error of a probe in one whose text is short and made for
// operators.
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

// failure is the reason why a target did not pass.
type failure struct {
	text  string
	cause error // may be nil
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

// bounded returns the error with a text that is short and on one line. The checker
// may be a third party's, and its text the upstream's.
func bounded(err error) error {
	if _, ok := err.(*failure); ok || err == nil {
		return err
	}
	return &failure{text: clip(err.Error(), maxReason), cause: err}
}

// expired reports whether the probe's time is up. The deadline of a connection may
// fire a moment before the context does, which it was taken from.
func expired(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return errors.Is(ctx.Err(), context.DeadlineExceeded) ||
		ok && ctx.Err() == nil && !time.Now().Before(deadline)
}

// timeout is the text for a probe whose time is up. The budget was taken some
// microseconds late, so it is rounded to three digits.
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

	// The local end of a connection differs from probe to probe, and the name
	// server is of no interest.
	localEnd   = regexp.MustCompile(`(read|write) (\w+) \S*->`)
	nameServer = regexp.MustCompile(`(lookup \S+) on \S+: `)
)

// maxPlain is how much of a text plain reads, in bytes: more than a reason has,
// since plain makes it shorter.
const maxPlain = 16 * maxReason

// plain removes from an error's text what only Go programmers need.
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
