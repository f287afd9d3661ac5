package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/pool"
)

// Exit codes of the commands. Scripts rely on them.
const (
	exitOther       = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitConflict    = 4
	exitUnreachable = 5
	exitTimedOut    = 6
)

// failure is an error of a command, and the code that the process exits with.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(code int, format string, args ...any) error {
	return &failure{code, fmt.Errorf(format, args...)}
}

// exitCode returns what the process exits with after the error.
func exitCode(err error) int {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	return exitOther
}

const (
	patience    = time.Second            // for a connection that is refused or reset, while Caddy replaces its admin server
	retryEvery  = 100 * time.Millisecond // within the patience
	dialTimeout = 5 * time.Second
	callTimeout = 15 * time.Second // the storage of orders may be slow
	maxAnswer   = 1 << 30          // bytes
)

// client talks to the admin API of a running Caddy, by a new connection for each request:
// a reload replaces the admin server, and what is connected to the old one soon ends.
type client struct {
	at        string // for people: where Caddy is administered
	origin    string // what requests go to
	patience  time.Duration
	transport http.RoundTripper
}

// newClient returns a client of the admin API at the address, as Caddy writes it.
func newClient(address string) (*client, error) {
	parsed, err := caddy.ParseNetworkAddress(address)
	if err == nil && parsed.PortRangeSize() > 1 {
		err = errors.New("it has more than one port")
	}
	if err != nil {
		return nil, failed(exitUsage, "the admin address '%s' makes no sense: %v", address, err)
	}
	origin, dialled := "http://"+parsed.JoinHostPort(0), parsed.JoinHostPort(0)
	if parsed.IsUnixNetwork() {
		// Caddy takes this host from a socket. The permissions behind | are the server's.
		origin = "http://127.0.0.1"
		dialled, _, _ = strings.Cut(dialled, "|")
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	return &client{at: address, origin: origin, patience: patience, transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, parsed.Network, dialled)
		},
	}}, nil
}

// call makes a request at the path below the API's. It sends the body as JSON unless that
// is nil, and decodes the answer, unless into is nil or there is none.
func (c *client) call(ctx context.Context, method, path string, body, into any) error {
	var sent []byte
	if body != nil {
		sent, _ = json.Marshal(body) // texts and integers: no error
	}
	status, answer, err := c.try(ctx, method, path, sent)
	for deadline := time.Now().Add(c.patience); err != nil && passing(err) && time.Now().Before(deadline); {
		if err := pause(ctx, retryEvery); err != nil {
			return err
		}
		status, answer, err = c.try(ctx, method, path, sent)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return failed(exitUnreachable, "no answer from Caddy at %s: %v", c.at, err)
	case status < 200 || status > 299:
		return refused(status, answer)
	case into == nil || len(answer) == 0:
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return failed(exitOther, "the answer of Caddy at %s makes no sense: %v", c.at, err)
	}
	return nil
}

// try makes a request once.
func (c *client) try(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.origin+root+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Origin", c.origin)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.transport.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res.StatusCode, answer, err
}

// passing reports whether the error may be that of an admin server that is just being
// replaced.
func passing(err error) bool {
	for _, target := range []error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, syscall.ENOENT, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// pause waits for the time, or until the context ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refused returns the error that the API has answered with.
func refused(status int, answer []byte) error {
	var said struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(answer, &said); err != nil || said.Error == "" {
		if status == http.StatusNotFound {
			return failed(exitOther, "this Caddy has no %s: it is built without this plugin, or with an older one", root)
		}
		text := strings.TrimSpace(string(answer[:min(len(answer), 1000)]))
		return failed(exitOther, "Caddy answers %d %s: %s", status, http.StatusText(status), text)
	}
	switch status {
	case http.StatusBadRequest:
		return failed(exitUsage, "%s", said.Error)
	case http.StatusNotFound:
		return failed(exitNotFound, "%s", said.Error)
	case http.StatusConflict, http.StatusPreconditionFailed:
		return failed(exitConflict, "%s", said.Error)
	}
	return failed(exitOther, "%s", said.Error)
}

// upstream returns the upstream as the pools have it: as the one pool does, unless that
// is empty.
func (c *client) upstream(ctx context.Context, address, in string) ([]pool.UpstreamView, error) {
	var all, some []pool.UpstreamView
	if err := c.call(ctx, http.MethodGet, upstreamPath(address), nil, &all); err != nil {
		return nil, err
	}
	for _, u := range all {
		if in == "" || u.Pool == in {
			some = append(some, u)
		}
	}
	if len(some) == 0 && in != "" {
		return nil, failed(exitNotFound, "the pool '%s' has no upstream '%s'", in, address)
	}
	return some, nil
}

func upstreamPath(address string) string { return "upstreams/" + url.PathEscape(address) }

func poolPath(name string) string { return "pools/" + url.PathEscape(name) }
