package healthcheck

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hung is a probe that lasts until its time is up.
func hung(ctx context.Context, _ Target) error {
	<-ctx.Done()
	return ctx.Err()
}

// gaps records the longest time between two probes of an address.
type gaps struct {
	mu    sync.Mutex
	began time.Time
	last  map[string]time.Time
	most  time.Duration
	count int
	takes time.Duration
}

func newGaps(takes time.Duration) *gaps {
	return &gaps{began: time.Now(), last: make(map[string]time.Time), takes: takes}
}

func (g *gaps) probe(ctx context.Context, t Target) error {
	g.mu.Lock()
	now := time.Now()
	last, ok := g.last[t.Upstream]
	if !ok {
		last = g.began
	}
	g.last[t.Upstream], g.most = now, max(g.most, now.Sub(last))
	g.count++
	g.mu.Unlock()
	time.Sleep(g.takes)
	return nil
}

// longest returns the longest time without a probe of any of n addresses.
func (g *gaps) longest(n int) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	most := g.most
	if len(g.last) < n {
		most = time.Since(g.began)
	}
	for _, last := range g.last {
		most = max(most, time.Since(last))
	}
	return most
}

// watchFrom watches n addresses from the given number on.
func (c *config) watchFrom(first, n int) *config {
	c.t.Helper()
	for i := range n {
		w, err := c.check.Watch(address(first+i), func() {}, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		c.own = append(c.own, w)
	}
	return c
}

// address(i) has room for 65,536.

func TestHungUpstreamsOfOnePoolDelayNoOthers(t *testing.T) {
	const interval = time.Second
	for _, test := range []struct {
		name          string
		hungPools     int
		each          int    // upstreams of such a pool
		hung          string // their options
		pools, others int    // that are well, and upstreams of such a pool
		takes         time.Duration
	}{
		{"as by default", 1, 10_000, `{}`, 3, 100, 20 * time.Millisecond},
		{"for half a minute each", 1, 10_000, `{"interval":"1s","timeout":"30s"}`, 3, 100, 20 * time.Millisecond},
		{"in many pools", 50, 200, `{"interval":"1s","timeout":"30s"}`, 3, 100, 20 * time.Millisecond},
		{"beside as many that are well", 1, 10_000, `{"timeout":"30s"}`, 1, 5_000, 5 * time.Millisecond},
		{"beside slow ones", 1, 10_000, `{"timeout":"30s"}`, 1, 300, 900 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := 0
				for range test.hungPools {
					newConfig(t, test.hung, hung).watchFrom(next, test.each).start()
					next += test.each
				}
				sleep(40 * time.Second) // until they have all places that they get
				var all []*gaps
				for range test.pools {
					g := newGaps(test.takes)
					all = append(all, g)
					newConfig(t, `{"interval":"1s","timeout":"1s","jitter":0}`, g.probe).watchFrom(next, test.others).start()
					next += test.others
				}
				sleep(20 * time.Second)
				for _, g := range all {
					late := g.longest(test.others) - interval
					t.Logf("%d probes, at most %v late", g.count, late)
					if late > interval {
						t.Errorf("a probe was %v late", late)
					}
				}
			})
		})
	}
}

func TestPoolAloneLeavesSlotsFree(t *testing.T) {
	for limit, want := range map[int]int{1: 1, 2: 1, 5: 4, 16: 12, 1024: 819} {
		synctest.Test(t, func(t *testing.T) {
			b := newRecorder()
			b.takes = time.Hour
			c := newConfig(t, `{"interval":"1s","timeout":"20s"}`, b.probe)
			c.check.group.configuration.app.ProbeConcurrency = limit
			c.watch(2000, nil).start()
			sleep(10 * time.Second)
			if b.most != want {
				t.Errorf("%d probes at once, of %d", b.most, limit)
			}
		})
	}
}

func TestCommandsHaveABoundOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecorder()
		b.takes = time.Hour
		commands := newConfig(t, `{"interval":"1s","timeout":"20s"}`, b.probe)
		commands.check.slotClass = commandSlots
		commands.watch(100, nil).start()
		g := newGaps(0)
		newConfig(t, `{"interval":"1s","jitter":0}`, g.probe).watchFrom(100, 100).start()
		sleep(15 * time.Second)
		if b.most != 12 { // of 16
			t.Errorf("%d commands at once", b.most)
		}
		if late := g.longest(100) - time.Second; late > 2*tick {
			t.Errorf("another check was %v late", late)
		}
		other := newGaps(0)
		c := newConfig(t, `{"interval":"1s","jitter":0}`, other.probe)
		c.check.slotClass = commandSlots
		c.watchFrom(200, 10).start()
		sleep(30 * time.Second) // among them one wait for the first slot
		other.mu.Lock()
		other.most = 0
		other.mu.Unlock()
		sleep(60 * time.Second)
		if late := other.longest(10) - time.Second; late > time.Second {
			t.Errorf("another command was %v late", late)
		}
	})
}

// More pools that hang than there are slots get them by turns.
func TestSlotsGoRoundWherePoolsAreMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []*recorder
		for i := range 40 {
			b := newRecorder()
			b.takes = time.Hour
			c := newConfig(t, fmt.Sprintf(`{"interval":"1s","timeout":"%ds"}`, 1+i%2), b.probe)
			c.check.group.configuration.app.ProbeConcurrency = 10
			c.watchFrom(10*i, 10).start()
			all = append(all, b)
		}
		sleep(2 * time.Minute)
		for i, b := range all {
			if n := b.count(); n < 10 || n > 40 {
				t.Errorf("pool %d has had %d probes", i, n)
			}
		}
	})
}
