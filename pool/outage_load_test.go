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
