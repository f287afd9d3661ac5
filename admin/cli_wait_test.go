package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// script is an admin API that answers by what the function says of the time since the
// start.
type script func(since time.Duration) (answer string, err error)

func (s script) client(start time.Time) *client {
	return &client{at: "test", origin: "http://test", patience: patience, transport: roundTrips(func(*http.Request) (*http.Response, error) {
		answer, err := s(time.Since(start))
		if err != nil {
			return nil, err
		}
		code := 200
		if answer == "gone" {
			code, answer = 404, `{"error":"no pool has it"}`
		}
		return &http.Response{StatusCode: code, Body: io.NopCloser(strings.NewReader(answer))}, nil
	})}
}

type roundTrips func(*http.Request) (*http.Response, error)

func (f roundTrips) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// inPools is what the API answers of an upstream that is in the pools web and api.
func inPools(web, api int, stateInAPI string) string {
	return fmt.Sprintf(`[{"pool":"web","address":"a:1","state":"draining","in_flight":%d},
		{"pool":"api","address":"a:1","state":"%s","in_flight":%d}]`, web, stateInAPI, api)
}

func TestWait(t *testing.T) {
	const forever = time.Hour
	until := func(end time.Duration, before, after string) script {
		return func(since time.Duration) (string, error) {
			if since < end {
				return before, nil
			}
			return after, nil
		}
	}
	for name, c := range map[string]struct {
		api     script
		in      string
		timeout time.Duration
		code    int
		took    time.Duration
		says    string // in the output or the error
	}{
		"idle at once":                   {until(forever, inPools(0, 0, "draining"), ""), "", 0, 0, pollEvery, "nothing is in flight"},
		"until all pools are idle":       {until(time.Minute, inPools(0, 1, "maintenance"), inPools(0, 0, "maintenance")), "", 0, 0, time.Minute + pollEvery, "still in flight: 1"},
		"of one pool":                    {until(forever, inPools(0, 5, "up"), ""), "web", 0, 0, pollEvery, "nothing is in flight"},
		"in time":                        {until(59*time.Second, inPools(3, 4, "draining"), inPools(0, 0, "draining")), "", time.Minute, 0, 59*time.Second + pollEvery, "still in flight: 7"},
		"times out":                      {until(forever, inPools(3, 4, "draining"), ""), "", time.Minute, exitTimedOut, time.Minute, "after 1m0s, still in flight on a:1: 7; the order stays"},
		"a pool does not obey":           {until(forever, inPools(0, 4, "up"), ""), "", 0, exitConflict, obeyWithin, "not drained in api (up; no orders)"},
		"one that is idle does not obey": {until(forever, inPools(0, 0, "up"), ""), "", 0, exitConflict, obeyWithin, "not drained in api"},
		"a pool obeys a little later":    {until(obeyWithin/2, inPools(0, 4, "up"), inPools(0, 0, "draining")), "", 0, 0, obeyWithin/2 + pollEvery, "nothing"},
		"readied by somebody else":       {until(time.Minute, inPools(0, 4, "draining"), inPools(0, 4, "up")), "", 0, exitConflict, time.Minute + obeyWithin, "not drained"},
		"no longer configured":           {until(time.Minute, inPools(0, 4, "draining"), "gone"), "", 0, exitNotFound, time.Minute, "no pool has it"},
		"no longer in the pool":          {until(forever, inPools(0, 4, "draining"), ""), "other", 0, exitNotFound, 0, "the pool 'other' has no upstream 'a:1'"},
		"one that only passes by":        {flicker, "", 0, 0, 3 * pollEvery, "nothing"},
		"Caddy is away for nine seconds": {away(9 * time.Second), "", 0, 0, 9*time.Second + pollEvery, "nothing"},
		"Caddy is away for good":         {away(forever), "", 0, exitUnreachable, waitPatient, "no answer from Caddy at test"},
		"Caddy is away, and time is up":  {away(forever), "", time.Second, exitTimedOut, time.Second, "after 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var out strings.Builder
				err := waitIdle(t.Context(), c.api.client(start), &out, "a:1", c.in, c.timeout)
				code := 0
				if err != nil {
					code = exitCode(err)
					out.WriteString(err.Error())
				}
				if took := time.Since(start); code != c.code || took != c.took || !strings.Contains(out.String(), c.says) {
					t.Errorf("exits with %d after %s, want %d after %s; says %q, want %q", code, took, c.code, c.took, out.String(), c.says)
				}
			})
		})
	}
}

// flicker has nothing in flight at the first poll, but a request that had chosen the
// upstream by then at the second.
func flicker(since time.Duration) (string, error) {
	if since == pollEvery {
		return inPools(1, 0, "draining"), nil
	}
	return inPools(0, 0, "draining"), nil
}

// away refuses connections until the time.
func away(until time.Duration) script {
	return func(since time.Duration) (string, error) {
		if since < until {
			return "", syscall.ECONNREFUSED
		}
		return inPools(0, 0, "draining"), nil
	}
}

// An interrupted wait is no timeout.
func TestInterruptedWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		busy := script(func(time.Duration) (string, error) { return inPools(1, 0, "draining"), nil })
		if err := waitIdle(ctx, busy.client(time.Now()), io.Discard, "a:1", "", time.Minute); exitCode(err) != exitOther {
			t.Error(err)
		}
	})
}

// A connection that is refused or reset for a moment is made again; one that fails
// otherwise is not.
func TestRetries(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		until time.Duration
		code  int
		took  time.Duration
	}{
		"reset once":       {syscall.ECONNRESET, 1, 0, retryEvery},
		"closed for a bit": {io.EOF, patience / 2, 0, patience / 2},
		"refused for long": {syscall.ECONNREFUSED, time.Hour, exitUnreachable, patience},
		"no route":         {syscall.EHOSTUNREACH, time.Hour, exitUnreachable, 0},
		"slow":             {context.DeadlineExceeded, time.Hour, exitUnreachable, 0},
		"not HTTP":         {errors.New("malformed HTTP response"), time.Hour, exitUnreachable, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				api := script(func(since time.Duration) (string, error) {
					if since < c.until {
						return "", c.err
					}
					return "[]", nil
				})
				err, code := api.client(start).call(t.Context(), http.MethodGet, "pools", nil, nil), 0
				if err != nil {
					code = exitCode(err)
				}
				if took := time.Since(start); code != c.code || took != c.took {
					t.Errorf("%v after %s, want code %d after %s", err, took, c.code, c.took)
				}
			})
		})
	}
}
