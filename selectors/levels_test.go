package selectors

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

// backups is the option that makes upstreams from the first number to before the
// last those of level 1.
func backups(from, to int) object {
	levels := object{}
	for i := from; i < to; i++ {
		levels[dial(i)] = 1
	}
	return object{"priorities": levels}
}

// expectPercent compares a share of n with what it should be: none and all
// exactly, the rest within four points.
func expectPercent(t *testing.T, what string, share, n int, want float64) {
	t.Helper()
	got := 100 * float64(share) / float64(n)
	if math.Abs(got-want) > 4 || want == 0 && share > 0 || want == 100 && share < n {
		t.Errorf("%s: %.1f%%, want %v%%", what, got, want)
	}
}

// As many of five die, so many percent of the traffic spill over to the next five.
func TestSpillOver(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := newHandler(t, with(config, with(checked, backups(5, 10))), 10)
		const n = 4000
		for down, want := range []float64{0, 0, 16, 44, 72, 100} {
			var dead []string
			for i := range down {
				dead = append(dead, dial(i))
			}
			setDown(dead...)
			got := ofMany(h, n)
			if got[none] > 0 || sum(got, 0, down) > 0 {
				t.Errorf("%d down: %v", down, got)
			}
			expectPercent(t, strings.Repeat("x", down)+" down", sum(got, 5, 10), n, want)
		}
		var dead []string
		for i := range 10 {
			if i != 7 {
				dead = append(dead, dial(i))
			}
		}
		setDown(dead...)
		if got := ofMany(h, 50); got[dial(7)] != 50 {
			t.Errorf("only %s is left, yet %v", dial(7), got)
		}
	})
}

func TestOverprovisioning(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := newHandler(t, with(config, with(checked, with(backups(5, 10), object{"overprovisioning": 1}))), 10)
		setDown(dial(1))
		const n = 4000
		expectPercent(t, "one of five is down", sum(ofMany(h, n), 5, 10), n, 20)
	})
}

// Policies that let a client stay where it is let it stay at its level.
func TestClientStaysAtItsLevel(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		if !strings.Contains(t.Name(), "ip_hash") && !strings.Contains(t.Name(), "cookie") {
			t.Skip("picks by nothing of the client's")
		}
		h := newHandler(t, with(config, with(checked, backups(4, 8))), 8)
		setDown(dial(0), dial(1))
		levels := make(map[bool]int)
		for client := range 100 {
			r := newRequestOf(client)
			level := func() bool { return sum(map[string]int{pick(h, h.Upstreams, r): 1}, 4, 8) > 0 }
			at := level()
			levels[at]++
			for range 5 {
				if level() != at {
					t.Fatalf("client %d is sent to and fro", client)
				}
			}
		}
		if levels[false] == 0 || levels[true] == 0 {
			t.Errorf("all are at one level: %v", levels)
		}
	})
}

// A request to which all of a level is lost goes to the next.
func TestRequestFailsOverToTheNextLevel(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := staged(t, with(config, backups(2, 4)), 4)
		for i := range 4 {
			play(dial(i), refuse)
		}
		r, got := newRequest(), make(map[string]int)
		for n := 1; n <= 4; n++ {
			got[serve(h, r)]++
			if first, second := sum(got, 0, 2), sum(got, 2, 4); first != min(n, 2) || second != n-first {
				t.Fatalf("after %d attempts: %v", n, got)
			}
		}
		if len(got) != 4 {
			t.Errorf("tried %v", got)
		}
	})
}

func TestNextLevelTakesWhatAFullOneCannot(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		const limit = 60
		h := newHandler(t, with(config, with(backups(2, 4), object{"default_max_requests": limit})), 4)
		for _, u := range h.Upstreams {
			defer busy(u, 0)
		}
		busy(h.Upstreams[0], limit)
		if got := ofMany(h, 50); got[dial(1)] != 50 {
			t.Errorf("%s has room, yet %v", dial(1), got)
		}
		busy(h.Upstreams[1], limit)
		if got := ofMany(h, 50); sum(got, 2, 4) != 50 {
			t.Errorf("only the next level has room, yet %v", got)
		}
	})
}

// A level of which all are on probation gets the request that proves one of them.
func TestLevelOnProbationIsTried(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := staged(t, with(config, backups(1, 3)), 3)
		failUntil(t, h, dial(0), refuse, 5)
		expectTries(t, h, "ejected", dial(0), 20, 0)
		time.Sleep(30 * time.Second)
		play(dial(0), nil)
		expectTries(t, h, "on probation, and it succeeds", dial(0), 20, 20)
	})
}

func TestLevelWithoutTrafficIsNotTried(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		flat, victim := ejected(t, object{"policy": "weighted_random"}, 3)
		level := object{"priorities": object{victim: 1}}
		h := staged(t, with(config, level), 3)
		time.Sleep(30 * time.Second)
		expectTries(t, h, "on probation at a level that nobody needs", victim, 50, 0)
		expectTries(t, flat, "on probation", victim, 50, 1)
	})
}

func TestFailbackDelay(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := newHandler(t, with(config, with(checked, with(backups(2, 4), object{"failback_delay": "1m"}))), 4)
		expect := func(when string, second float64) {
			t.Helper()
			synctest.Wait()
			const n = 200
			expectPercent(t, when, sum(ofMany(h, n), 2, 4), n, second)
		}
		expect("at the start", 0)
		setDown(dial(0), dial(1))
		expect("the first level is down", 100)
		setDown()
		expect("the first level is back", 100)
		time.Sleep(40 * time.Second)
		expect("the first level is back for less than a minute", 100)
		time.Sleep(20 * time.Second)
		expect("the first level is back for more than a minute", 0)

		setDown(dial(0), dial(1))
		setDown()
		setDown(dial(2), dial(3))
		expect("the first level is back, and the second one down", 0)
		setDown(dial(0), dial(1), dial(2))
		expect("only one of the second is left", 100)
	})
}

func TestFailbackDelayOutlivesAReload(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		config = with(config, with(checked, with(backups(2, 4), object{"failback_delay": "1m"})))
		newHandler(t, config, 4)
		setDown(dial(0), dial(1))
		setDown()
		h := newHandler(t, config, 4)
		if got := ofMany(h, 100); sum(got, 2, 4) != 100 {
			t.Errorf("the first level is not back for a minute, yet %v", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := ofMany(h, 100); sum(got, 0, 2) != 100 {
			t.Errorf("the first level is back for a minute, yet %v", got)
		}
	})
}

// degraded is what an upstream says that asks to be spared.
var degraded = healthcheck.Report{Header: http.Header{"X-Envoy-Degraded": {""}}}

func TestDegradedOnesServeOnlyWhereHealthyOnesFallShort(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := newHandler(t, with(config, told), 4)
		const n = 4000
		for i, want := range []float64{0, 30, 65, 100} {
			say(dial(i), degraded)
			got := ofMany(h, n)
			if got[none] > 0 {
				t.Errorf("%v", got)
			}
			expectPercent(t, "share of the degraded", sum(got, 0, i+1), n, want)
		}
		for i := range 3 {
			say(dial(i), healthcheck.Report{})
		}
		if got := ofMany(h, 100); got[dial(3)] > 0 {
			t.Errorf("%s is still degraded, yet %v", dial(3), got)
		}
	})
}

func TestDegradedOnesComeAfterAHealthyLevel(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := newHandler(t, with(config, with(told, backups(2, 4))), 4)
		say(dial(0), degraded)
		say(dial(1), degraded)
		if got := ofMany(h, 200); sum(got, 2, 4) != 200 {
			t.Errorf("all of the first level is degraded, yet %v", got)
		}
	})
}
