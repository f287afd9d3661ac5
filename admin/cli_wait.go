package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool"
)

const (
	pollEvery   = 250 * time.Millisecond
	tellEvery   = 10 * time.Second // how much is still in flight
	waitPatient = 10 * time.Second // with a Caddy that does not answer, while waiting

	// obeyWithin is how long a pool may take to obey an order, such as one that is just
	// being loaded.
	obeyWithin = 2 * time.Second
)

// waitIdle waits until nothing is in flight on the upstream, in the pool or, where that is
// empty, in all. A timeout of 0 is none.
func waitIdle(ctx context.Context, c *client, out io.Writer, address, in string, timeout time.Duration) error {
	patiently := *c
	patiently.patience = waitPatient
	var inFlight int
	limited, cancel := ctx, context.CancelFunc(func() {})
	if timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, timeout)
	}
	defer cancel()
	idle, serving, told := 0, time.Time{}, time.Now()
	for {
		views, err := patiently.upstream(limited, address, in)
		if err == nil {
			err = undrained(views, &serving)
		}
		if err == nil {
			if inFlight = total(views); inFlight > 0 || !serving.IsZero() {
				idle = 0
			} else if idle++; idle == 2 {
				// Twice: a request may have chosen the upstream just before the order.
				fmt.Fprintf(out, "%s: nothing is in flight\n", printable(address))
				return nil
			}
			if inFlight > 0 && time.Since(told) >= tellEvery {
				told = time.Now()
				fmt.Fprintf(out, "%s: still in flight: %d\n", printable(address), inFlight)
			}
			err = pause(limited, pollEvery)
		}
		switch {
		case err == nil:
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return failed(exitTimedOut, "after %s, still in flight on %s: %d; the order stays in force", timeout, address, inFlight)
		default:
			return err
		}
	}
}

// total returns how many requests are in flight on the upstream, of all handlers of the
// instance.
func total(views []pool.UpstreamView) int {
	ofPools, ofAddress := 0, 0
	for _, u := range views {
		ofPools += u.InFlight
		ofAddress = max(ofAddress, u.AddressInFlight)
	}
	return max(ofPools, ofAddress)
}

// undrained returns an error if a pool has sent the upstream new requests for longer than it
// takes to obey an order: then the wait may never end. since is when that was first seen.
func undrained(views []pool.UpstreamView, since *time.Time) error {
	var pools []string
	for _, u := range views {
		if u.State != pool.Draining && u.State != pool.Maintenance {
			pools = append(pools, fmt.Sprintf("%s (%s%s)", u.Pool, u.State, orderText(&u)))
		}
	}
	switch {
	case len(pools) == 0:
		*since = time.Time{}
	case since.IsZero():
		*since = time.Now()
	case time.Since(*since) >= obeyWithin:
		return failed(exitConflict, "not drained in %s, so the wait may never end", strings.Join(pools, ", "))
	}
	return nil
}
