package selectors

import (
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

// Below the threshold all may be picked, and their levels do not count; at it,
// only those that are healthy.
func TestBelowThePanicThresholdVerdictsAreIgnored(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := newHandler(t, with(config, with(checked, with(backups(3, 4), object{"panic_threshold": 50}))), 4)
		setDown(dial(0), dial(1))
		if got := ofMany(h, 200); got[dial(0)]+got[dial(1)]+got[none] > 0 {
			t.Errorf("half are up, yet %v", got)
		}
		setDown(dial(0), dial(1), dial(2))
		got := ofMany(h, 400)
		if got[dial(3)] == 400 || got[none] > 0 {
			t.Errorf("a quarter is up, yet %v", got)
		}
		setDown(dial(0), dial(2))
		if got := ofMany(h, 200); got[dial(0)]+got[dial(2)]+got[none] > 0 {
			t.Errorf("half are up again, yet %v", got)
		}
	})
}

func TestBelowThePanicThresholdEjectionsAreIgnored(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := ejected(t, with(config, with(checked, object{"panic_threshold": 60})), 2)
		play(victim, nil)
		failUntil(t, h, victim, nil, tries(victim)+5)
	})
}

// Drains, weights of 0 and checks that have not had their say hold in a panic.
func TestPanicSparesWhoIsNotToBePicked(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := staged(t, with(config, object{
			"weights": object{dial(1): 0},
			"health_checks": []object{
				{"interval": "1s", "checker": object{"type": "switchboard"}},
				{"interval": "1s", "checker": object{"type": "mouthpiece"}},
			},
		}), 4)
		say(dial(2), healthcheck.Report{Order: healthcheck.Order{Mode: healthcheck.Drain}})
		setDown(dial(0), dial(1), dial(2), dial(3))
		if got := ofMany(h, 200); got[dial(1)]+got[dial(2)]+got[none] > 0 {
			t.Errorf("%s has weight 0, %s is drained, yet %v", dial(1), dial(2), got)
		}
		for _, i := range []int{0, 3} {
			acts.Lock()
			acts.says[dial(i)] = healthcheck.Report{Order: healthcheck.Order{Mode: healthcheck.Maint}}
			acts.Unlock()
		}
		time.Sleep(10 * time.Second)
		if got := ofMany(h, 20); got[none] != 20 {
			t.Errorf("nobody wants any, yet %v", got)
		}
	})
}
