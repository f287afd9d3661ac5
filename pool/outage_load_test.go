package pool

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// All of ten are down for half a minute under 500 GETs a second: neither requests nor
// the plugin itself hammer them, and from the end of the hold on requests fail at once.
func TestOutageOfTenIsNotAmplified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const upstreams, rate, lasts = 10, 500, 30
		b := newOutage(t, Options{}, upstreams)
		var wg sync.WaitGroup
		var failed, slow atomic.Int64
		run := func(seconds int, count bool) {
			for n := range seconds * rate {
				late := count && n >= 4*rate
				wg.Go(func() {
					o := b.serve(get())
					if count && o.err != nil {
						failed.Add(1)
					}
					if late && o.took > 0 {
						slow.Add(1)
					}
				})
				time.Sleep(time.Second / rate)
			}
		}
		run(10, false)
		before, _ := b.counted()
		b.set(true)
		run(lasts, true)
		attempts, connections := b.counted()
		attempts -= before
		t.Logf("%d requests: %d attempts, %d failed; %d connections", lasts*rate, attempts, failed.Load(), connections)
		if attempts > lasts*rate*12/10+lasts*10 {
			t.Errorf("%d attempts", attempts)
		}
		if connections > 3*upstreams*lasts {
			t.Errorf("%d connections", connections)
		}
		if slow.Load() > 0 {
			t.Errorf("%d requests took long, though the outage had lasted longer than hold", slow.Load())
		}
		b.set(false)
		time.Sleep(5 * time.Second)
		run(1, true)
		wg.Wait()
		if o := b.serve(get()); o.err != nil {
			t.Errorf("after the return: %+v", o)
		}
	})
}

// Ten thousand requests wait for one upstream. All are answered in the order in which
// they came, and at most 16 are in flight before the first answer.
func TestTenThousandWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const requests = 10_000
		o := Options{}
		b := newOutage(t, o, 1)
		b.queueOf(requests)
		var mu sync.Mutex
		inFlight, most, answered := 0, 0, 0
		var allowed int
		at := make(map[string]time.Time) // at which an upstream got the request of the number
		b.serves = func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			inFlight++
			at[r.Header.Get("N")] = time.Now()
			if answered == 0 {
				most = max(most, inFlight)
			}
			allowed = max(allowed, inFlight-answered)
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			inFlight--
			answered++
			mu.Unlock()
			return &http.Response{StatusCode: 200, Header: make(http.Header), Body: http.NoBody}, nil
		}
		b.set(true)
		var wg sync.WaitGroup
		var failed atomic.Int64
		all := make([]*http.Request, requests)
		for n := range requests {
			all[n] = get()
			all[n].Header.Set("N", strconv.Itoa(n))
			wg.Go(func() {
				if o := b.serve(all[n]); o.err != nil {
					failed.Add(1)
				}
			})
			time.Sleep(10 * time.Microsecond)
		}
		b.set(false)
		back := time.Now()
		wg.Wait()
		t.Logf("answered within %v of the return", time.Since(back))
		if n := failed.Load(); n > 0 || answered != requests {
			t.Errorf("%d failed, %d were answered", n, answered)
		}
		if most > firstRequests || allowed > firstRequests {
			t.Errorf("%d in flight before the first answer; %d more than answers", most, allowed)
		}
		for n := range all[1:] {
			if at[all[n+1].Header.Get("N")].Before(at[all[n].Header.Get("N")]) {
				t.Fatalf("request %d has overtaken the one before", n+1)
			}
		}
	})
}

// A pool with few requests learns that its upstreams are down from its own connections:
// after the first request has waited, the next get no attempt.
func TestFewRequestsLearnOfALoss(t *testing.T) {
	for _, n := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			b := newOutage(t, Options{}, n)
			b.set(true)
			if o := <-b.come(); o.reason != string(holdTimeout) || o.took != 3*time.Second {
				t.Errorf("of %d upstreams, the first request: %+v", n, o)
			}
			for range 3 {
				time.Sleep(10 * time.Second)
				if o := <-b.come(); o.reason != string(allDown) || o.took > 0 || o.attempts > 0 || o.retryAfter != "1" {
					t.Errorf("of %d upstreams, a later request: %+v", n, o)
				}
			}
			b.set(false)
			time.Sleep(5 * time.Second)
			if o := <-b.come(); o.err != nil {
				t.Errorf("of %d upstreams, after the return: %+v", n, o)
			}
		})
	}
}

// What was held through an outage also waits for upstreams that have come back and are at
// their limits, though there is no queue: until hold has passed since the return.
func TestWhatWasHeldWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutage(t, Options{DefaultMaxRequests: 4}, 2)
		b.take(100 * time.Millisecond)
		b.set(true)
		var all []<-chan outcome
		for range 50 {
			all = append(all, b.come())
			time.Sleep(10 * time.Millisecond)
		}
		b.set(false)
		for i, done := range all {
			if o := <-done; o.err != nil {
				t.Errorf("request %d: %+v", i, o)
			}
		}

		// More come than the upstreams serve.
		refused, longest := 0, time.Duration(0)
		began := time.Now()
		all = all[:0]
		for time.Since(began) < 10*time.Second {
			for range 3 {
				all = append(all, b.come())
			}
			time.Sleep(10 * time.Millisecond)
		}
		for i, done := range all {
			if o := <-done; o.err != nil {
				refused++
			} else if i > len(all)/2 {
				longest = max(longest, o.took)
			}
		}
		if refused == 0 || longest > 200*time.Millisecond {
			t.Errorf("%d refused; in the second half, one waits for %v", refused, longest)
		}
	})
}
