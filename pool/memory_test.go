package pool

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// claims are the pools of one configuration: each is its policy's whole
// configuration, and its upstreams. Returned are the memories that they get.
func claims(t *testing.T, r *memoryRegistry, pools ...string) (all []*Pool) {
	t.Helper()
	generation++
	for _, text := range pools {
		config, upstreams, _ := strings.Cut(text, ": ")
		p := &Pool{policy: "policy", generation: generation}
		p.identity = identity{configOf(nil, nil) + uint64(len(config))<<32 + uint64(config[0]), slices.Sorted(slices.Values(strings.Fields(upstreams)))}
		r.claim(p, at(0))
		all = append(all, p)
	}
	// What was taken away by a better claim shows in the registry.
	for _, p := range all {
		for _, m := range r.all {
			if c := m.claimOf(generation); c != nil && c.pool == p {
				p.memory = m
			}
		}
	}
	return all
}

func TestWhichMemoryBelongsToWhichPool(t *testing.T) {
	for name, c := range map[string]struct {
		before, after []string
		want          string // numbers of those before; - for a new one
	}{
		"nothing has changed":           {[]string{"x: a b", "y: c d"}, []string{"x: a b", "y: c d"}, "0 1"},
		"the order has":                 {[]string{"x: a b", "y: c d"}, []string{"y: c d", "x: a b"}, "1 0"},
		"alike, told by their options":  {[]string{"x: a b", "y: a b"}, []string{"y: a b", "x: a b"}, "1 0"},
		"all alike, told by order":      {[]string{"x: a b", "x: a b"}, []string{"x: a b", "x: a b"}, "0 1"},
		"an option has":                 {[]string{"x: a b"}, []string{"y: a b"}, "0"},
		"one of two alike has":          {[]string{"x: a b", "y: a b"}, []string{"z: a b", "y: a b"}, "0 1"},
		"the other one has":             {[]string{"x: a b", "y: a b"}, []string{"x: a b", "z: a b"}, "0 1"},
		"another one comes before":      {[]string{"x: a b", "y: a b"}, []string{"z: a b", "x: a b", "y: a b"}, "- 0 1"},
		"another one comes behind":      {[]string{"x: a b"}, []string{"x: a b", "x: a b"}, "0 -"},
		"an upstream is new":            {[]string{"x: a b", "y: c d"}, []string{"x: a b e", "y: c d"}, "0 1"},
		"an upstream moves":             {[]string{"x: a b", "y: c d e"}, []string{"y: b c d e", "x: a"}, "1 0"},
		"all upstreams are new":         {[]string{"x: a b"}, []string{"x: c d"}, "-"},
		"nobody is like one that stays": {[]string{"x: a b"}, []string{"y: b c", "x: a b"}, "- 0"},
	} {
		t.Run(name, func(t *testing.T) {
			var r memoryRegistry
			before := claims(t, &r, c.before...)
			var numbers []string
			after := claims(t, &r, c.after...)
			for _, p := range after {
				number := "-"
				for i, old := range before {
					if old.memory == p.memory {
						number = fmt.Sprint(i)
					}
				}
				numbers = append(numbers, number)
			}
			if got := strings.Join(numbers, " "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// A configuration that fails to load changes nothing, and what no pool has is kept
// for a while.
func TestMemoriesOfConfigurationsThatGo(t *testing.T) {
	var r memoryRegistry
	running := claims(t, &r, "x: a b", "y: a b")
	failed := claims(t, &r, "y: a b", "z: a c")
	for _, p := range failed {
		r.release(p, at(0))
	}
	next := claims(t, &r, "x: a b", "y: a b")
	for i, p := range running {
		if next[i].memory != p.memory {
			t.Errorf("%d has another one", i)
		}
		r.release(p, at(0))
	}
	for _, p := range next {
		r.release(p, at(0))
	}
	late := claims(t, &r, "x: a b")
	if late[0].memory != running[0].memory {
		t.Error("forgotten at once")
	}
	r.release(late[0], at(0))
	r.sweep(at(0) + keepUnused)
	if len(r.all) > 0 {
		t.Errorf("%d are kept for ever", len(r.all))
	}
}

// Two pools of one configuration with the same upstreams share what is of the
// address, and nothing else.
func TestPoolsShareNothingButTheAddress(t *testing.T) {
	one := newPool(t, Options{}, 3)
	generation-- // of the same configuration
	two := reloaded(t, Options{}, 3)
	if one.memory == two.memory || one.static.history == two.static.history {
		t.Fatal("one memory for two pools")
	}
	one.serve(0, 1, says(200))
	now := instant.Now()
	one.static.members[1].latency.observe(now, time.Second, false, time.Second)
	one.static.members[1].known.joined.Store(now)
	mine, theirs := one.static.members[1], two.static.members[1]
	expect := func(m *member) time.Duration { return m.latency.Expect(0, 0, m.ages().Oldest(), present) }
	if got := expect(theirs); got != 0 || theirs.joined() != 0 {
		t.Errorf("an estimate of %v from elsewhere, joined %d", got, theirs.joined())
	}
	e := new(endpoint.Entry)
	mine.ages().Begin(e, now-int64(time.Minute))
	if got := expect(theirs); got < time.Minute {
		t.Errorf("an attempt of a minute is in flight: %v", got)
	}
	mine.ages().End(e)
	theirs.latency.forget()
	if got := expect(mine); got != time.Second {
		t.Errorf("forgotten by another pool: %v", got)
	}
}

// What client-chosen names have brought is bounded, and goes without a trace.
func TestAFloodOfAddressesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 0)
		b.source.configure([]byte(`{"source":"a","name":"{x}.test"}`))
		b.expiry, b.limit = time.Minute, 50
		others := endpoint.Count()
		series := len(scrape(t, b.Pool))
		for i := range 2000 {
			upstreams := returns(fmt.Sprintf("flood-%d:80", i), fmt.Sprintf("flood-%d:80", i+1), fmt.Sprintf("flood-%d:80", i+2))
			if b.handle.Select(upstreams, asking("x", fmt.Sprint(i)), nil) == nil {
				t.Fatal("nobody")
			}
			if m := b.member(upstreams[0].Dial); m != nil && m.host != nil {
				b.eject(m, outlier.Finding{Rule: outlier.ByLocal})
			}
			if i%100 == 0 {
				time.Sleep(time.Second)
			}
		}
		addresses, memberships, listed, answers := b.sizes()
		if addresses > b.limit || memberships > maxMemberships || listed > maxListed*b.limit || answers > maxAsked {
			t.Errorf("%d addresses, %d memberships of %d upstreams, %d answers", addresses, memberships, listed, answers)
		}
		if n := endpoint.Count() - others; n > b.limit {
			t.Errorf("%d addresses are known", n)
		}
		if n := ejectionsIn(scrape(t, b.Pool)); n < 1 || n > b.limit {
			t.Errorf("%d series of ejections", n)
		}
		time.Sleep(3 * time.Minute) // and nobody asks for anything
		if addresses, memberships, _, _ := b.sizes(); addresses != 0 || memberships != 0 {
			t.Errorf("%d addresses and %d memberships are left", addresses, memberships)
		}
		if n := endpoint.Count() - others; n != 0 {
			t.Errorf("%d addresses are known for ever", n)
		}
		if n := len(scrape(t, b.Pool)); n != series {
			t.Errorf("%d series are left, of %d at the start", n, series)
		}
	})
}

// sizes returns how much there is of what sources have returned.
func (b *testPool) sizes() (addresses, memberships, listed, answers int) {
	d, lasts := &b.dynamic, &b.source.lasts
	d.mu.Lock()
	defer d.mu.Unlock()
	memberships, listed = d.memberships.Len()
	answers, _ = lasts.Len()
	return d.count, memberships, listed, answers
}

// ejectionsIn returns how many series of ejections there are.
func ejectionsIn(series map[string]float64) (n int) {
	for name := range series {
		if strings.HasPrefix(name, "caddy_load_balancer_ejections_total") {
			n++
		}
	}
	return n
}
