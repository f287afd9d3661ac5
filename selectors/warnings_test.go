package selectors

import "testing"

// A templated configuration may drain its last upstream.
func TestAllWeightsZeroGivesNobody(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := newHandler(t, with(config, object{"weights": object{dial(0): 0, dial(1): 0}}), 2)
		if got := ofMany(h, 20); got[none] != 20 {
			t.Errorf("%v", got)
		}
	})
}
