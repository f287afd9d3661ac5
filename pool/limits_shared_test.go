package pool

import (
	"net/http"
	"testing"
	"testing/synctest"
)

// A handler without a limit that sends to the same upstream takes no slot of one
// that has a limit: its attempt is not the one that a pick waits for.
func TestAttemptOfAnotherHandlerFillsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limited := newPool(t, Options{DefaultMaxRequests: 2}, 1)
		other := reloaded(t, Options{}, 1)
		u := limited.statics[0]
		other.statics[0].Host = u.Host
		if limited.handle.Select(limited.statics, get(), nil) == nil {
			t.Fatal("nothing picked")
		}
		busy(u, 1) // Caddy counts the other's
		_, _ = other.send(get(), 0, func(r *http.Request) (*http.Response, error) {
			if limited.handle.Select(limited.statics, get(), nil) != nil {
				t.Error("two of two requests are on their way, and a third is picked")
			}
			return nil, errRefused
		})
	})
}
