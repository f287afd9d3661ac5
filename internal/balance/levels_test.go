package balance

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// epsilon is more than rounding makes of sums and differences of shares.
const epsilon = 1e-9

// healthy returns a level whose health is all trusted.
func healthy(up, upstreams int, factor float64) Level {
	return Level{Upstreams: upstreams, Healthy: up, Trusted: Health(up, upstreams, factor)}
}

func drawFactor(t *rapid.T) float64 { return rapid.Float64Range(1, 3).Draw(t, "overprovisioning") }

// drawLevels draws levels of which some trust less than their health.
func drawLevels(t *rapid.T, factor float64) []Level {
	level := rapid.Custom(func(t *rapid.T) Level {
		n := rapid.IntRange(0, 10).Draw(t, "upstreams")
		up := rapid.IntRange(0, n).Draw(t, "healthy")
		l := healthy(up, n, factor)
		l.Degraded = rapid.IntRange(0, n-up).Draw(t, "degraded")
		if rapid.Bool().Draw(t, "recovering") {
			l.Trusted *= rapid.Float64Range(0, 1).Draw(t, "trusted")
		}
		return l
	})
	return rapid.SliceOfN(level, 0, 5).Draw(t, "levels")
}

// naiveLoads lines up what may be asked of each level, and gives each part as
// much of the first 100 % as it covers; where all parts cover less, they are
// stretched.
func naiveLoads(levels []Level, factor float64) []Load {
	loads := make([]Load, len(levels))
	health := func(n, of int) float64 {
		if of == 0 {
			return 0
		}
		return min(1, factor*float64(n)/float64(of))
	}
	var parts []float64
	var owners []*float64
	add := func(owner *float64, part float64) { parts, owners = append(parts, part), append(owners, owner) }
	for i, l := range levels {
		add(&loads[i].Healthy, min(l.Trusted, health(l.Healthy, l.Upstreams)))
	}
	for i, l := range levels {
		all := health(l.Healthy, l.Upstreams)
		add(&loads[i].Healthy, all-min(l.Trusted, all))
	}
	for i, l := range levels {
		add(&loads[i].Degraded, health(l.Degraded, l.Upstreams))
	}
	total := 0.0
	for _, part := range parts {
		total += part
	}
	from := 0.0
	for i, part := range parts {
		*owners[i] += min(1, from+part) - min(1, from)
		from += part
	}
	for i := range loads {
		if total > 0 && total < 1 {
			loads[i].Healthy /= total
			loads[i].Degraded /= total
		}
	}
	return loads
}

func TestLoadsAgainstNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		factor := drawFactor(t)
		levels := drawLevels(t, factor)
		got, want := Loads(levels, factor), naiveLoads(levels, factor)
		for i := range levels {
			if math.Abs(got[i].Healthy-want[i].Healthy) > epsilon || math.Abs(got[i].Degraded-want[i].Degraded) > epsilon {
				t.Fatalf("level %d gets %+v, want %+v", i, got[i], want[i])
			}
		}
	})
}

func TestLoadsAddUpToOneUnlessNobodyIsLeft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		factor := drawFactor(t)
		levels := drawLevels(t, factor)
		sum, left := 0.0, 0
		for i, load := range Loads(levels, factor) {
			l := levels[i]
			left += l.Healthy + l.Degraded
			sum += load.Healthy + load.Degraded
			if load.Healthy < 0 || load.Degraded < 0 || l.Healthy == 0 && load.Healthy != 0 || l.Degraded == 0 && load.Degraded != 0 {
				t.Errorf("level %d, which is %+v, gets %+v", i, l, load)
			}
		}
		want := 0.0
		if left > 0 {
			want = 1
		}
		if math.Abs(sum-want) > epsilon {
			t.Errorf("%d are left, and the loads add up to %v", left, sum)
		}
	})
}

// As many of a level's five die, the next level gets so many percent.
func TestLoadsSpillOver(t *testing.T) {
	for down, want := range []float64{0, 0, 16, 44, 72, 100} {
		loads := Loads([]Level{healthy(5-down, 5, 1.4), healthy(5, 5, 1.4)}, 1.4)
		if got := loads[1].Healthy * 100; math.Abs(got-want) > epsilon {
			t.Errorf("%d down: %v%%, want %v%%", down, got, want)
		}
	}
}

// Three levels of so many percent health, and what they get: Envoy's
// documentation has these rows, in whole percents.
func TestLoadsOfThreeLevels(t *testing.T) {
	for _, row := range []struct{ healthy, want [3]int }{
		{[3]int{100, 100, 100}, [3]int{100, 0, 0}},
		{[3]int{72, 72, 100}, [3]int{100, 0, 0}},
		{[3]int{71, 71, 100}, [3]int{99, 1, 0}},
		{[3]int{50, 50, 100}, [3]int{70, 30, 0}},
		{[3]int{25, 100, 100}, [3]int{35, 65, 0}},
		{[3]int{25, 25, 100}, [3]int{35, 35, 30}},
		{[3]int{25, 25, 20}, [3]int{36, 36, 28}},
		{[3]int{0, 0, 10}, [3]int{0, 0, 100}},
		{[3]int{0, 0, 0}, [3]int{0, 0, 0}},
	} {
		var levels []Level
		for _, percent := range row.healthy {
			levels = append(levels, healthy(percent, 100, 1.4))
		}
		for i, load := range Loads(levels, 1.4) {
			if got := load.Healthy * 100; math.Abs(got-float64(row.want[i])) > 1 {
				t.Errorf("%v: level %d gets %.1f%%, want %v", row.healthy, i, got, row.want)
			}
		}
	}
}

// With one more healthy upstream a level gets no less, and no other gets more.
func TestLoadsAreMonotoneInHealth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		factor := drawFactor(t)
		level := rapid.Custom(func(t *rapid.T) Level {
			n := rapid.IntRange(1, 10).Draw(t, "upstreams")
			return healthy(rapid.IntRange(0, n).Draw(t, "healthy"), n, factor)
		})
		levels := rapid.SliceOfN(level, 1, 5).Draw(t, "levels")
		at := rapid.IntRange(0, len(levels)-1).Draw(t, "at")
		if levels[at].Healthy == levels[at].Upstreams {
			t.Skip("all are healthy")
		}
		before := Loads(levels, factor)
		levels[at] = healthy(levels[at].Healthy+1, levels[at].Upstreams, factor)
		after := Loads(levels, factor)
		for i := range levels {
			change := after[i].Healthy - before[i].Healthy
			if i == at && change < -epsilon || i != at && change > epsilon {
				t.Errorf("level %d has one more, and level %d gets %+v more", at, i, change)
			}
		}
	})
}

// No failure moves more than the failed one's share of the overprovisioned level.
func TestLoadsAreGradual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		factor := drawFactor(t)
		n := rapid.IntRange(1, 200).Draw(t, "upstreams")
		next := healthy(n, n, factor)
		before := Loads([]Level{healthy(n, n, factor), next}, factor)[0].Healthy
		for up := n - 1; up >= 0; up-- {
			load := Loads([]Level{healthy(up, n, factor), next}, factor)[0].Healthy
			if moved := before - load; moved < -epsilon || moved > factor/float64(n)+epsilon {
				t.Fatalf("the failure of one of %d, with %d left, moves %v", n, up, moved)
			}
			before = load
		}
		if before > epsilon {
			t.Errorf("with nobody left it gets %v", before)
		}
	})
}

// Health that is not trusted yet serves only where trusted health falls short of
// the traffic, and degraded upstreams only where all health does.
func TestLoadsOfTheRecoveringAndTheDegraded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		factor := drawFactor(t)
		levels := drawLevels(t, factor)
		var trusted, health float64
		for _, l := range levels {
			h := Health(l.Healthy, l.Upstreams, factor)
			health += h
			trusted += min(l.Trusted, h)
		}
		for i, load := range Loads(levels, factor) {
			if trusted >= 1 && load.Healthy > levels[i].Trusted+epsilon {
				t.Errorf("trusted health is enough, and level %d gets %v for %v", i, load.Healthy, levels[i].Trusted)
			}
			if health >= 1 && load.Degraded > epsilon {
				t.Errorf("health is enough, and degraded ones of level %d get %v", i, load.Degraded)
			}
		}
	})
	for name, test := range map[string]struct {
		levels []Level
		want   []Load
	}{
		"the first one is back, not for long": {
			[]Level{{5, 5, 0, 0.28}, {5, 5, 0, 1}}, []Load{{0.28, 0}, {0.72, 0}},
		},
		"the first one is back, and the other gone": {
			[]Level{{5, 5, 0, 0}, {5, 0, 0, 0}}, []Load{{1, 0}, {0, 0}},
		},
		"degraded ones fill in": {
			[]Level{{10, 5, 5, 0.5}}, []Load{{0.5, 0.5}},
		},
		"degraded ones come after another level's healthy ones": {
			[]Level{{10, 2, 8, 0.2}, {10, 5, 0, 0.5}}, []Load{{0.2, 0.3}, {0.5, 0}},
		},
		"all are degraded": {
			[]Level{{4, 0, 4, 0}, {4, 0, 4, 0}}, []Load{{0, 1}, {0, 0}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for i, got := range Loads(test.levels, 1) {
				want := test.want[i]
				if math.Abs(got.Healthy-want.Healthy) > epsilon || math.Abs(got.Degraded-want.Degraded) > epsilon {
					t.Errorf("level %d gets %+v, want %+v", i, got, want)
				}
			}
		})
	}
}
