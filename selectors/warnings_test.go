package selectors

import (
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// A templated configuration may drain its last upstream.
func TestAllWeightsZeroGivesNobody(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, object{"weights": object{pooltest.Dial(0): 0, pooltest.Dial(1): 0}}), 2)
		if got := pooltest.PicksOfClients(h, 20); got[pooltest.None] != 20 {
			t.Errorf("%v", got)
		}
	})
}
