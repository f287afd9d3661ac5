package pool

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// Of many that pick at once no more are let in than there is room for, and each
// counts in the total.
func TestInFlightLetsInAsManyAsItMay(t *testing.T) {
	const most = 7
	var f inFlight
	sum := total{members: []*inFlight{&f}}
	f.join(&sum)
	var let atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 100 {
				if f.take(most) {
					let.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if let.Load() != most || f.count.Load() != most || sum.sum.Load() != most {
		t.Errorf("%d were let in where there is room for %d", let.Load(), most)
	}
	f.leave(&sum)
	f.add(-1)
	if f.count.Load() != most-1 || sum.sum.Load() != most {
		t.Errorf("%d in flight, %d of all that it has left", f.count.Load(), sum.sum.Load())
	}
}

// bounded starts a pool of n upstreams with a bound.
func bounded(t *testing.T, o Options, n int, bound float64) *testPool {
	t.Helper()
	b := newPool(t, o, n)
	b.use(inOrder{}, Features{Bound: bound})
	return b
}

// pick picks for a request, and returns the number of the upstream.
func (b *testPool) pick() int { return b.pickFor(get()) }

func (b *testPool) pickFor(r *http.Request) int {
	u := b.handle.Select(b.statics, r, nil)
	for i := range b.statics {
		if b.statics[i] == u {
			return i
		}
	}
	return None
}

// has returns how many requests the i-th upstream has in flight.
func (b *testPool) has(i int) int64 {
	return b.static.members[i].inFlight.count.Load()
}

// A picker that always prefers the first fills it as far as its bound lets it,
// ⌈1.5 × requests/3⌉, then the second.
func TestBoundIsRoundedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bounded(t, Options{}, 3, 1.5)
		for n, want := range []int{0, 1, 0, 1, 0, 1, 0, 1, 0} {
			if got := b.pick(); got != want {
				t.Errorf("request %d: picked %d, want %d", n+1, got, want)
			}
		}
	})
}

// A pick that no attempt follows counts until its request ends, or is picked for
// anew.
func TestPickThatNoAttemptFollowsIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bounded(t, Options{}, 2, 1.5)
		r, end := until(get())
		b.pickFor(r)
		time.Sleep(time.Hour)
		if n := b.has(0); n != 1 {
			t.Errorf("%d, although the request goes on", n)
		}
		b.pickFor(r)
		if n := b.has(0) + b.has(1); n != 1 {
			t.Errorf("%d, although one request has been picked for twice", n)
		}
		end()
		synctest.Wait()
		if n := b.has(0) + b.has(1); n != 0 {
			t.Errorf("%d, although the request has ended", n)
		}
		b.handle.Select(b.statics, nil, nil)
		if n := b.has(0) + b.has(1); n != 0 {
			t.Errorf("%d, although there is no request", n)
		}
	})
}

// An attempt counts until its response is done with, however long that takes.
func TestAttemptCountsUntilItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streaming := func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("body"))}, nil
		}
		b := bounded(t, Options{}, 2, 1.5)
		r := get()
		b.pickFor(r)
		res, err := b.send(r, 0, streaming)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := b.has(0); n != 1 {
			t.Errorf("%d while the response goes on", n)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		if n := b.has(0); n != 0 {
			t.Errorf("%d once the body has been read", n)
		}
		res.Body.Close()
		res.Body.Close()
		if n := b.has(0); n != 0 {
			t.Errorf("%d after the end", n)
		}
		for _, by := range []answers{
			func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") },
			func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
			},
		} {
			r := get()
			b.pickFor(r)
			_, _ = b.send(r, 0, by)
			if n := b.has(0); n != 0 {
				t.Errorf("%d after an attempt without body", n)
			}
		}
		func() {
			defer func() { _ = recover() }()
			_, _ = b.send(get(), 0, func(*http.Request) (*http.Response, error) { panic("transport") })
		}()
		if n := b.has(0); n != 0 {
			t.Errorf("%d after a transport has panicked", n)
		}
	})
}

// A connection that was upgraded counts until its request ends.
func TestUpgradedConnectionCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bounded(t, Options{}, 2, 1.5)
		r, cancel := until(get())
		defer cancel()
		_, err := b.send(r, 0, func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusSwitchingProtocols, Body: io.NopCloser(strings.NewReader(""))}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := b.has(0); n != 1 {
			t.Errorf("%d while the connection goes on", n)
		}
		cancel()
		synctest.Wait()
		if n := b.has(0); n != 0 {
			t.Errorf("%d after its end", n)
		}
	})
}

// Without a bound nothing is counted, and picks take the short way.
func TestNothingIsCountedWithoutBound(t *testing.T) {
	b := newPool(t, Options{}, 2)
	b.pick()
	if n := b.has(0); n != 0 || b.static.snapshot.Load().plain == nil {
		t.Errorf("%d are counted", n)
	}
}

// intruder is a picker after whose first look other requests come to what it has
// picked.
type intruder struct {
	inOrder
	looks *int
	b     *testPool
}

func (i intruder) Pick(q *Query) int {
	picked := i.inOrder.Pick(q)
	if *i.looks++; *i.looks == 1 {
		for range 3 {
			q.Candidates[picked].member.inFlight.take(100)
		}
	}
	return picked
}

// Between being found and being taken, a place may be lost to others.
func TestBoundIsLookedAtAgainWhenPlaceIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, looks := bounded(t, Options{}, 2, 1.2), 0
		b.use(intruder{b: b, looks: &looks}, Features{Bound: 1.2})
		if got := b.pick(); got != 1 || looks != 2 {
			t.Errorf("picked %d after %d looks", got, looks)
		}
		if n := b.has(0); n != 3 {
			t.Errorf("the other has %d", n)
		}
	})
}

// One on probation that is not had gives back what it was counted for.
func TestPickThatProbationRefusesIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bounded(t, Options{}, 2, 2)
		b.eject(b.static.members[0], outlier.Finding{Rule: outlier.ByLocal})
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := b.pick(); got != 0 {
			t.Fatalf("picked %d, not the one on probation", got)
		}
		var q Query
		q.enter(b.handle, b.static.snapshot.Load().tiers[0])
		if q.claim(0) {
			t.Error("one on probation was picked for two requests")
		}
		if n := b.has(0); n != 1 {
			t.Errorf("%d are counted", n)
		}
	})
}

// A handler that panics while it sends a response may leave the body open.
func TestRequestThatEndsBeforeItsBodyIsClosedCountsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bounded(t, Options{}, 2, 1.5)
		r, end := until(get())
		res, err := b.send(r, 0, func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: make(http.Header), Body: io.NopCloser(strings.NewReader("x"))}, nil
		})
		if err != nil || b.has(0) != 1 {
			t.Fatalf("%v, %d in flight", err, b.has(0))
		}
		end()
		synctest.Wait()
		if n := b.has(0); n != 0 {
			t.Errorf("%d in flight", n)
		}
		res.Body.Close()
		if n := b.has(0); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}
