package pool

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// A naive list of picks and attempts says how many requests there are.
func TestLoadAgainstAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l load
		var sum tally
		sum.loads = append(sum.loads, &l)
		l.join(&sum)
		var picks []int64
		flying, now := 0, at(0)
		prune := func() {
			kept := picks[:0]
			for _, p := range picks {
				if now-p < lapse {
					kept = append(kept, p)
				}
			}
			picks = kept
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				prune()
				want := int64(len(picks) + flying)
				if got := l.is(now); got != want || sum.sum.Load() != want {
					t.Fatalf("%d, and %d of all, want %d", got, sum.sum.Load(), want)
				}
			},
			"wait": func(t *rapid.T) {
				now += rapid.SampledFrom([]int64{1, lapse / 2, lapse - 1, lapse}).Draw(t, "step")
			},
			"pick": func(t *rapid.T) {
				prune()
				most := rapid.Int64Range(0, 6).Draw(t, "most")
				room := int64(len(picks)+flying) < most
				if got := l.pick(now, most); got != room {
					t.Fatalf("picked: %t, want %t", got, room)
				}
				if room {
					picks = append(picks, now)
				}
			},
			"begin": func(*rapid.T) {
				prune()
				l.begin(now)
				flying++
				if len(picks) > 0 {
					picks = picks[1:]
				}
			},
			"unpick": func(*rapid.T) {
				prune()
				l.unpick(now)
				if len(picks) > 0 {
					picks = picks[1:]
				}
			},
			"end": func(t *rapid.T) {
				if flying == 0 {
					t.Skip("nothing to end")
				}
				l.end()
				flying--
			},
		})
	})
}

// Of many that pick at once no more are let in than there is room for.
func TestLoadLetsInAsManyAsItMay(t *testing.T) {
	const most = 7
	var l load
	var sum tally
	sum.loads = append(sum.loads, &l)
	l.join(&sum)
	var let atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 100 {
				if l.pick(at(0), most) {
					let.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if let.Load() != most || l.is(at(0)) != most || sum.sum.Load() != most {
		t.Errorf("%d were let in where there is room for %d", let.Load(), most)
	}
}

// bounded starts a pool of n upstreams with a bound.
func bounded(t *testing.T, o Options, n int, bound float64) *testPool {
	t.Helper()
	b := newPool(t, o, n)
	b.use(inOrder{}, Features{Bound: bound})
	return b
}

func (b *testPool) remake() {
	b.building.Lock()
	defer b.building.Unlock()
	b.build(b.static)
}

// pick picks for a request, and returns the number of the upstream.
func (b *testPool) pick() int {
	u := b.handle.Select(b.statics, get(), nil)
	for i := range b.statics {
		if b.statics[i] == u {
			return i
		}
	}
	return None
}

// has returns how many requests the i-th upstream has in flight.
func (b *testPool) has(i int) int64 {
	return b.static.members[i].load.is(instant.Now())
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

// Without attempts picks count for a second.
func TestPickThatNoAttemptFollowsLapses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bounded(t, Options{}, 2, 1.5)
		b.pick()
		time.Sleep(time.Second - 1)
		if n := b.has(0); n != 1 {
			t.Errorf("%d, although no second has passed", n)
		}
		time.Sleep(time.Nanosecond)
		if n := b.has(0); n != 0 {
			t.Errorf("%d, although a second has passed", n)
		}
		if got := b.pick(); got != 0 {
			t.Errorf("picked %d", got)
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
		b.pick()
		res, err := b.send(get(), 0, streaming)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := b.has(0); n != 1 {
			t.Errorf("%d while the response goes on", n)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		if n := b.has(0); n != 1 {
			t.Errorf("%d before the body is closed", n)
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
			b.pick()
			_, _ = b.send(get(), 0, by)
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
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		_, err := b.send(get().WithContext(ctx), 0, func(*http.Request) (*http.Response, error) {
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
			q.Candidates[picked].member.load.pick(instant.Now(), 100)
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
		b.eject(b.static.members[0], "test", false)
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
		ctx, end := context.WithCancel(context.Background())
		res, err := b.send(get().WithContext(ctx), 0, func(*http.Request) (*http.Response, error) {
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
